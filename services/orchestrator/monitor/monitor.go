// Package monitor holds the rules of the failure policy: what goes wrong in a run that a
// person should hear of, or that should end it before it wastes a day.
//
// Rules are fed with observations and give findings. They know no broker and no clock: the
// orchestrator's leader observes, and acts on what is found.
package monitor

import (
	"fmt"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// MinCells is how many cells a ratio, or a statement about the data, must be made of. A
// window reaches back as far as it must to hold them.
const MinCells = 1000

// Observation is what the leader sees of a run at one moment. Counts only grow, as long as
// the run's epoch lasts.
type Observation struct {
	Now       time.Time
	Last      bool   // nothing is left to do: only what is wrong with the data can still stop the run
	Settled   int64  // cells that are committed, or have failed for good
	Drifted   int64  // cells that failed because a value does not fit its declared type
	Drift     string // why the last of them did
	Stages    []Stage
	Instances []Instance
}

// Stage is what is seen of a stage.
type Stage struct {
	Name     string
	Lag      int64  // messages
	Alive    int    // instances
	Waiting  string // for what, "" = for nothing
	Families map[string]Cells
	Attempts map[string]Attempts // by failure code
}

// Cells counts what became of a family's cells.
type Cells struct{ Fetched, Failed int64 }

// Attempts counts attempts that failed alike.
type Attempts struct {
	Count int64
	Last  string // reason of the last one
}

// Instance is one instance that works on the run, or did.
type Instance struct {
	Service, ID string
	Silent      time.Duration // since it was heard of last; 0 if it said good-bye
	Held        int64         // messages that it had in hand then
}

// Finding is a rule that is broken.
type Finding struct {
	Rule  string     // its field in the run file
	Do    runfile.Do // Warn or Stop
	Cause string
	Cure  string
}

// String gives the finding for people.
func (f Finding) String() string { return fmt.Sprintf("%s: %s; %s", f.Rule, f.Cause, f.Cure) }

// rule looks for one pattern of failure and reports it when it is new.
type rule interface {
	judge(o *Observation, report func(cause, cure string))
}

// watched is a rule with what the run file says about it.
type watched struct {
	rule
	name string
	do   runfile.Do
	data bool // it is about the data
}

// Monitor watches one epoch of a run. It is not safe for concurrent use.
type Monitor struct {
	rules []watched
	data  *columns
}

// New makes the monitor of a run. What the policy ignores is not looked for.
func New(f *runfile.File) *Monitor {
	p := &f.FailurePolicy
	m := &Monitor{data: newColumns(f.Families, p.Window)}
	add := func(name string, do runfile.Do, data bool, r rule) {
		if do != runfile.Ignore {
			m.rules = append(m.rules, watched{rule: r, name: "failure_policy." + name, do: do, data: data})
		}
	}
	add("stall", p.StallDo, false, &stall{after: p.StallAfter})
	add("silent_instance", p.SilentDo, false, newSilence(p.SilentAfter))
	add("failed_ratio", p.FailedRatio.Do, false, newFailedRatio(p.FailedRatio.Over, p.Window))
	add("repeated_errors", p.RepeatedErrors.Do, false, newRepeatedErrors(p.RepeatedErrors.Over, p.Window))
	add("data.type_drift", p.TypeDrift, true, &declaredDrift{})
	add("data.type_drift", p.TypeDrift, true, m.data.rule(typeDrift))
	add("data.null_ratio", p.NullRatio.Do, true, m.data.rule(nullRatio(p.NullRatio.Over)))
	add("data.not_finite", p.NotFinite.Do, true, m.data.rule(notFinite(p.NotFinite.Over)))
	add("data.constant", p.Constant, true, m.data.rule(constant))
	add("data.missing_feature", p.MissingFeature, true, m.data.rule(missingFeature))
	add("data.new_feature", p.NewFeature, true, m.data.rule(newFeature))
	return m
}

// Part takes in what stands in the columns of a part that was committed.
func (m *Monitor) Part(now time.Time, p *dataset.Part) {
	for i := range p.Families {
		m.data.add(now, &p.Families[i])
	}
}

// Look gives the rules that are broken and were not before.
func (m *Monitor) Look(o *Observation) (found []Finding) {
	for i := range m.rules {
		r := &m.rules[i]
		r.judge(o, func(cause, cure string) {
			f := Finding{Rule: r.name, Do: r.do, Cause: cause, Cure: cure}
			if o.Last && !r.data {
				f.Do = runfile.Warn // the run has ended by itself; there is nothing left to save
			}
			found = append(found, f)
		})
	}
	m.data.judged()
	return found
}
