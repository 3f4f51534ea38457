package allinone_test

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// A system that is stopped in the middle of a run finishes what it has in hand, to the
// commit. Another one on its store goes on with the rest.
func TestAStoppedSystemFinishesWhatIsInHand(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if q.UserID == "u007" {
			return featureservice.Fault{Delay: time.Second} // still in hand at the stop
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{})
	records := usual()
	r.publish(records)
	s.await("cells wait for the writer", func() bool { return len(r.waiting(stage.Writer)) > 0 })
	s.end()

	s = startOn(t, job{}, s.store, s.out)
	r = s.open(job{}) // the feature service has another URL now
	r.asked(records)
	r.close(users)
	r.ends(control.Completed)
	r.isExact()
}
