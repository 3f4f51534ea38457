package warmup

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Killed at random moments of warm-up, run and teardown, with and without somebody left to
// bring things down, and started again each time: in the end all is as it was. 25 times with
// FFF_CHAOS set, as `make chaos` does, else 5.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	kills := 5
	if os.Getenv("FFF_CHAOS") != "" {
		kills = 25
	}
	random := rand.New(rand.NewPCG(harness.Seed(t), 0))
	w := newWorld(t, enough)
	for n := range kills {
		m := harness.After(time.Duration(random.IntN(8000)) * time.Millisecond)
		p := w.start()
		harness.Await(t, "it ends or its moment has come: "+m.Name, func() bool {
			select {
			case <-p.Ended():
				return true
			default:
				return m.Reached()
			}
		})
		alone := random.IntN(2) == 0
		if alone {
			killAll(t, p)
		} else {
			p.Kill()
		}
		t.Logf("kill %d at %s, with nobody left: %t; the account had %s", n+1, m.Name, alone, w.state())
		if !alone && random.IntN(2) == 0 {
			w.clean()
		}
	}
	w.start().Wait(t).Expect(t, 0)
	w.clean()
	w.job.Verify(t, 0)
}
