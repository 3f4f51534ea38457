package e2e

import (
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Where the run file leaves the lanes and the limits to be found, families that take long get
// requests of their own, and the others come to travel together.
func TestLanesAndLimitsAreFound(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 3000)
	j.Families = []string{
		"{id: age, cached: false, lane: auto}", "{id: calls, lane: auto}", "{id: devices, cached: false, lane: auto}",
		"{id: graph, cached: false, lane: auto}", "{id: bureau, lane: auto}",
	}
	j.Lanes = "max_in_flight: auto"
	slow := []string{"graph", "bureau"}
	b := harness.NewBackends(t, j)
	var mu sync.Mutex
	together, mixed := 0, 0
	b.SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) (f featureservice.Fault) {
		mu.Lock()
		defer mu.Unlock()
		isSlow := slices.ContainsFunc(q.Families, func(id string) bool { return slices.Contains(slow, id) })
		if len(q.Families) > 1 {
			together++
			if isSlow {
				mixed++
			}
		}
		if isSlow {
			f.Delay = 100 * time.Millisecond
		}
		return f
	}})
	r := j.Start(t).Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
	if found := regexp.MustCompile(`lanes found +fast +age, calls, devices\n +slow +bureau, graph\n`); !found.MatchString(r.Stdout) {
		t.Errorf("the lanes that were found are not told\n%s", r.Stdout)
	}
	if together == 0 || mixed > 0 {
		t.Errorf("%d requests were for several families, %d of them with a slow one; want some, and none", together, mixed)
	}
}
