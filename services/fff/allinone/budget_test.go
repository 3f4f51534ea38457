package allinone_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// A run stops before it passes its budget of read units, whether in units or in money, by
// what DynamoDB itself has counted; it goes on when the budget is raised. One that needs a
// little less than its budget does not stop.
func TestTheBudgetOfReadUnits(t *testing.T) {
	const needs = 600 * 0.5 // a unit covers 8 KB when a read need not be consistent; misses take one too
	for name, c := range map[string]struct {
		budget string
		most   float64 // 0 = it is enough
	}{
		"units":             {"{max_read_units: 200}", 200},
		"money":             {"{max_cost_usd: 0.2, usd_per_million_read_units: 1000}", 200},
		"just enough units": {"{max_read_units: 330}", 0},
		"just enough money": {"{max_cost_usd: 0.33, usd_per_million_read_units: 1000}", 0},
	} {
		t.Run(name, func(t *testing.T) {
			j := job{families: "\n  - {id: fast_a}", more: "budget: " + c.budget}
			s := start(t, j)
			r, records := s.open(j), many(600)
			r.publish(records)
			counted := func() float64 { return s.Sandbox().DynamoDB.Stats().ReadUnits }
			if c.most > 0 {
				st := r.ends(control.Failed)
				bound, _, _ := strings.Cut(strings.Trim(c.budget, "{"), ":")
				if !strings.HasPrefix(st.Reason, "stopped by budget."+bound+": ") || !strings.Contains(st.Reason, fmt.Sprintf(" of %v read units are used", c.most)) {
					t.Errorf("the run was stopped because %q", st.Reason)
				}
				if n := counted(); n > c.most || n == 0 {
					t.Errorf("%v read units were used of %v", n, c.most)
				}
				if got, want := float64(st.Committed), counted()/0.5; got != want || !strings.Contains(st.Reason, fmt.Sprintf(": %v of ", math.Ceil(counted()))) {
					t.Errorf("%v cells are committed, %v were paid for; %s", got, want, st.Reason)
				}
				r.isCounted(counted())
				// What was used counts on: another start with the same budget gets no further.
				before := counted()
				r.reopen(j)
				r.publish(records)
				r.ends(control.Failed)
				if n := counted(); n > c.most || n < before {
					t.Errorf("%v read units were used of %v when the run was run again", n, c.most)
				}
				j.more = "budget: {max_read_units: 10000}"
				r.reopen(j)
				r.publish(records)
			}
			r.close(len(records))
			r.ends(control.Completed)
			r.isExact()
			r.isCounted(counted())
			if n := counted(); n != needs {
				t.Errorf("%v read units were used, the run needs %v", n, needs)
			}
		})
	}
}

// isCounted checks the read units of the status and of the manifest.
func (r *run) isCounted(want float64) {
	r.t.Helper()
	if got := r.status().ReadUnits["features"]; got != want {
		r.t.Errorf("the status counts %v read units, the table %v", got, want)
	}
	data, err := os.ReadFile(filepath.Join(r.dir(), dataset.ManifestName))
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := dataset.DecodeManifest(data)
	if err != nil {
		r.t.Fatal(err)
	}
	if got := float64(m.ReadUnits["features"]); got < want || got >= want+1 {
		r.t.Errorf("the manifest counts %v read units, the table %v", got, want)
	}
}

// A run stops when it has worked for as long as it may, and goes on when it may work longer.
func TestTheBudgetOfTime(t *testing.T) {
	for _, most := range []string{"1s", "60s"} {
		t.Run(most, func(t *testing.T) {
			j := job{families: "\n  - {id: direct_a, cached: false}", more: "budget: {max_duration: " + most + "}"}
			s := start(t, j)
			s.Sandbox().SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
				return featureservice.Fault{Status: 503}
			}})
			r, records := s.open(j), many(20)
			r.submit(records)
			if most == "1s" {
				if st := r.ends(control.Failed); !strings.HasPrefix(st.Reason, "stopped by budget.max_duration: the run has worked for 1s") {
					t.Errorf("the run was stopped because %q", st.Reason)
				}
				j.more = ""
				r.reopen(j)
				r.submit(records)
			}
			s.Sandbox().SetFaults(sandbox.Faults{})
			r.ends(control.Completed)
			r.isExact()
		})
	}
}
