package fleet

import (
	"strings"
	"testing"
	"time"
)

// An instance that is told to end says good-bye, and the run goes on. One that is killed says
// nothing, and stops the run that asks for that; the run comes to its end when it is run again.
func TestAKilledInstanceStopsTheRun(t *testing.T) {
	t.Parallel()
	j := longJob(t, 30)
	j.Families = []string{"{id: graph, lane: slow, cached: false}"}
	j.Sandbox.SlowMin, j.Sandbox.SlowMax = 2*time.Second, 3*time.Second
	j.Lanes = "max_in_flight: 8"
	j.More = "failure_policy: {silent_instance: {after: 5s, do: stop}}"
	f, p, gate := start(t, j, 1)
	first := f.Of("fs-slow")[0]
	hasWork(t, f, first, j)
	f.Add("fs-slow")
	f.AwaitReady()
	first.Term()
	first.Wait(t)
	gate.Open()
	prove(t, f, p, j)

	j.Run = "killed"
	p = f.Submit(j)
	second := f.Of("fs-slow")[1]
	hasWork(t, f, second, j)
	second.Kill()
	ended := p.Wait(t)
	ended.Expect(t, 1)
	if says := "stopped by failure_policy.silent_instance: instance "; !strings.Contains(ended.Stdout+ended.Stderr, says) {
		t.Errorf("the run ended without saying %q:\n%s", says, ended)
	}
	j.More = ""
	f.Add("fs-slow")
	prove(t, f, f.Submit(j), j)
}
