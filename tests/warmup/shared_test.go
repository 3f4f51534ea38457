package warmup

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Two systems with brokers of their own raise the same things. The first one out leaves them
// up, in whichever order they end, and however; the last one restores the first state.
func TestTwoSystems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		last int // which of the two ends last
		end  func(*testing.T, *harness.Process)
	}{
		"the second ends first": {0, interrupt},
		"the first ends first":  {1, interrupt},
		"the first is killed":   {1, func(_ *testing.T, p *harness.Process) { p.Kill() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, enough)
			w.backends.SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{Delay: 5 * time.Second} }}) // neither ends by itself meanwhile
			other := newJob(t, enough)
			other.Run = "other"
			w.backends.Serve(other)
			var both [2]*harness.Process
			both[0] = w.start()
			w.running()
			both[1] = other.Start(t, "--progress", "plain")
			both[1].Stderr(t, "the other is warmed up too", harness.Says("other draining"))
			c.end(t, both[1-c.last])
			left := []*harness.Job{other, w.job}[c.last]
			harness.Await(t, "the first one out has left", func() bool { return len(journal(t, left)) == 0 })
			if s := w.state(); !s.raised() {
				t.Errorf("one still needs it, and the account has %s", s)
			}
			w.backends.SetFaults(sandbox.Faults{})
			both[c.last].Wait(t).Expect(t, 0)
			w.clean()
		})
	}
}

func interrupt(t *testing.T, p *harness.Process) {
	p.Interrupt()
	p.Wait(t).Expect(t, 130)
}
