package allinone_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// Two runs of the same families at once: one is stuck and is cancelled, the other neither
// waits for it nor loses anything by it.
func TestARunIsCancelledAlone(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if strings.HasPrefix(q.UserID, "stuck") {
			return featureservice.Fault{Delay: time.Hour}
		}
		return featureservice.Fault{}
	}})
	stuck, other := s.open(job{}), s.open(job{run: "other"})
	stuck.submit(recordsOf("stuck"))
	other.publish(recordsOf("u"))
	s.await("a request is stuck", func() bool { return s.Sandbox().FeatureService.Stats().InFlight > 0 })
	if err := s.control.Cancel(t.Context(), stuck.id); err != nil {
		t.Fatal(err)
	}
	other.close(users)
	stuck.ends(control.Cancelled)
	other.ends(control.Completed)
	other.isExact()
	s.Sandbox().SetFaults(sandbox.Faults{})

	// What the cancelled run has is its own, once each, and the rest is told to be missing.
	report, err := dataset.Verify(t.Context(), stuck.dir(), stuck.wanted(), dataset.VerifyOptions{})
	if err != nil || report.Doubled != 0 || len(report.Corrupt) != 0 || report.Missing == 0 || stuck.has(dataset.SuccessName) {
		t.Errorf("%+v, %v", report, err)
	}
	stuck.reopen(job{})
	stuck.submit(recordsOf("stuck"))
	stuck.ends(control.Completed)
	stuck.isExact()
	other.isExact()
}
