// Package fsfast is the stage of the fast lane: all fast families of a sample go to the
// feature service in one request.
package fsfast

import (
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// NewStage gives the stage. A request carries at most fast.max_families families.
func NewStage(client *featureservice.Client, slots featureservice.Slots, timed featureservice.Timed) *featureservice.Lane {
	return featureservice.NewLane(client, slots, runfile.LaneFast,
		func(s *runfile.FeatureService) runfile.LaneLimits { return s.Fast }, timed)
}
