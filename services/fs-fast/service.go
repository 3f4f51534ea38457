package fsfast

import (
	"github.com/fastfeaturefetch/fff/shared/lane"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Config is what the environment says of fs-fast: nothing so far. Its limits are the run's.
type Config struct{}

// MemoryBound tells what the service takes at the most.
func (Config) MemoryBound() service.Memory { return lane.MemoryBound() }

// New makes the service. It starts nothing.
func New(_ Config, d service.Deps) *lane.Service {
	return lane.New(stage.FSFast, d, NewStage, func(f *runfile.FeatureService) runfile.LaneLimits { return f.Fast })
}
