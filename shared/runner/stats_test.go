package runner

import (
	"testing"
	"time"
)

// The quicker answers tell what a family takes: waiting for a thread is no property of it.
func TestAnswersAreTimed(t *testing.T) {
	s := newStats()
	s.Answered("demo", []string{"a"}, time.Second) // nothing is counted of a run that is not fed
	s.open("demo", 1)
	for n := range 1000 {
		s.Answered("demo", []string{"a", "b"}, time.Duration(40+n%40)*time.Millisecond)
	}
	s.Answered("demo", []string{"c"}, time.Second)
	s.failed("demo", 1, []string{"c"})
	all, _ := s.snapshot()
	of := all["demo"].Families
	if a := of["a"]; a.Timed != maxTimed || a.Took < 20*time.Millisecond || a.Took > 30*time.Millisecond || a != of["b"] {
		t.Errorf("families of one request were timed as %+v and %+v, want half of its time each", a, of["b"])
	}
	if c := of["c"]; c.Timed != 1 || c.Took != time.Second || c.Failed != 1 {
		t.Errorf("one answer was timed as %+v", c)
	}
	s.open("demo", 2)
	s.Answered("demo", []string{"a"}, time.Millisecond)
	all, _ = s.snapshot()
	if a := all["demo"].Families["a"]; a.Timed != 1 || a.Took != time.Millisecond {
		t.Errorf("the next epoch goes on with %+v", a)
	}
	s.forget(func(run string) bool { return run == "demo" })
	if len(s.times) != 0 {
		t.Errorf("%d families are still timed of a run that is gone", len(s.times))
	}
}
