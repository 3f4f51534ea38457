package e2e

import (
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// A run that its failure policy stops ends with 1, and says on stderr which rule, why and what
// to do. When the cause is cured the same command brings it to its end: in one process, and
// submitted to a system that goes on.
func TestAStoppedRunGoesOnWhenTheCauseIsCured(t *testing.T) {
	t.Parallel()
	for _, submitted := range []bool{false, true} {
		name := "in one process"
		if submitted {
			name = "submitted"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := harness.NewJob(t, 1100)
			j.Families = []string{"{id: session, cached: false}"}
			j.More = "failure_policy: {data: {constant: stop}}\n"
			b := harness.NewBackends(t, j)
			b.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
				return featureservice.Fault{Body: []byte(`{"features":{"session":{"clicks":0}}}`)}
			}})
			command := func() harness.Result { return j.Start(t, "--progress", "none").Wait(t) }
			if submitted {
				s := up(t, j)
				command = func() harness.Result {
					return s.fff("submit", "-f", j.RunFile(t), "--records", j.JSONL(t), "--wait", "--progress", "none")
				}
			}
			stopped := command().Expect(t, 1)
			for _, says := range []string{
				"fff: run job failed: stopped by failure_policy.data.constant: ", "have one and the same value everywhere: clicks", // cause
				"look at how the family is computed, and run again", // cure
			} {
				if !strings.Contains(stopped.Stderr, says) {
					t.Errorf("stderr lacks %q:\n%s", says, stopped)
				}
			}
			b.SetFaults(sandbox.Faults{})
			command().Expect(t, 0)
			j.Verify(t, 0)
		})
	}
}
