// Package fsslow is the stage of the slow lane: each family goes to the feature service
// in a request of its own, and the requests of a sample run side by side.
package fsslow

import (
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// NewStage gives the stage.
func NewStage(client *featureservice.Client, slots featureservice.Slots, timed featureservice.Timed) *featureservice.Lane {
	return featureservice.NewLane(client, slots, runfile.LaneSlow, limits, timed)
}

func limits(s *runfile.FeatureService) runfile.LaneLimits {
	l := s.Slow
	l.MaxFamilies = 1
	return l
}
