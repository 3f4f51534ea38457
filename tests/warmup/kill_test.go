package warmup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Killed at random moments of warm-up, run and teardown, with and without somebody left to
// bring things down, and started again each time: in the end all is as it was.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(harness.Seed(t), 0))
	w := newWorld(t, enough)
	for n := range kills() {
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

// The leader is killed at random moments of warm-up, run and teardown, by turns with another
// instance alive and with one started later: all is restored every time, and the journal
// empty. So often as TestKilledAtRandomMoments.
func TestOrchestratorsKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(harness.Seed(t), 1))
	for left := kills(); left > 0; left -= decreases {
		killOrchestrators(t, random, min(left, decreases))
	}
}

// decreases are those that a table allows at any time of a day: after them a run is refused.
const decreases = 4

func killOrchestrators(t *testing.T, random *rand.Rand, kills int) {
	t.Helper()
	w := newHits(t)
	f := newFleet(t, w, 2)
	for n := range kills {
		w.job.Run = fmt.Sprintf("job-%d", n)
		p := f.Submit(w.job)
		m := harness.After(time.Duration(random.IntN(8000)) * time.Millisecond)
		harness.Await(t, "its moment has come", m.Reached)
		at := w.state()
		alone := n%2 == 1
		for _, i := range f.Of("orchestrator") {
			if alone || i == f.Leader() {
				i.Kill()
			}
		}
		t.Logf("kill %d at %s, with nobody left: %t; the account had %s", n+1, m.Name, alone, at)
		for _, i := range f.Of("orchestrator") {
			if alone {
				i.Start(t)
			}
		}
		p.Wait(t).Expect(t, 0)
		w.clean()
		forgotten(t, f)
		w.job.Verify(t, 0)
		f.Heal()
		f.AwaitReady()
	}
}

// kills is how often a test kills: 25 times with FFF_CHAOS set, as `make warmup` does, else 3.
func kills() int {
	if os.Getenv("FFF_CHAOS") != "" {
		return 25
	}
	return 3
}
