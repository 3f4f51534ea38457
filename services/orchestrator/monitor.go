package orchestrator

import (
	"context"
	"time"

	"github.com/fastfeaturefetch/fff/services/orchestrator/monitor"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// maxWarnings bounds the warnings of a run that are kept; all are logged.
const maxWarnings = 50

// heeded is what the failure policy has made of a run.
type heeded struct {
	rules    *monitor.Monitor // of this epoch
	began    time.Time        // when this leader took the epoch up
	warnings []string         // of all epochs, as far as this leader has seen them
	stop     string           // why the run is to be stopped, until it is
}

// begin forgets what was seen of an epoch before.
func (h *heeded) begin(file *runfile.File) {
	h.rules, h.began, h.stop = monitor.New(file), time.Now(), ""
}

func (h *heeded) warn(text string) {
	if len(h.warnings) < maxWarnings {
		h.warnings = append(h.warnings, text)
	}
}

// committed shows the monitor what stands in a part.
func (h *heeded) committed(p *dataset.Part) {
	if h.rules != nil {
		h.rules.Part(time.Now(), p)
	}
}

// heed looks whether a rule of the failure policy is broken, and does what it says. last says
// that nothing is left to do.
func (j *job) heed(ctx context.Context, last bool) (stopped bool, err error) {
	h := &j.watch.heeded
	if !j.rec.State.Working() {
		return false, nil // its records wait, as they are meant to
	}
	for _, f := range h.rules.Look(j.observation(last)) {
		log := j.log.Warn().Str("rule", f.Rule).Str("cause", f.Cause).Str("cure", f.Cure)
		if f.Do == runfile.Stop {
			log.Msg("the failure policy stops the run")
			if h.stop == "" {
				h.stop = "stopped by " + f.String()
			}
			continue
		}
		log.Msg("the failure policy warns")
		h.warn(f.String())
	}
	if h.stop == "" {
		return false, nil
	}
	return true, j.stop(ctx, runs.Failed, h.stop) // if it fails now, it is tried at the next look
}

// observation gathers what the rules look at.
func (j *job) observation(last bool) *monitor.Observation {
	w := &j.watch
	o := &monitor.Observation{Now: time.Now(), Last: last, Settled: w.settled(), Drifted: w.failed[string(failure.TypeDrift)], Drift: w.drift}
	var beats []fleet.Beat
	if j.s.beats != nil {
		beats = j.s.beats.Beats()
	}
	for _, name := range []stage.Name{stage.Ingest, stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer} {
		st := monitor.Stage{Name: string(name), Lag: w.lags[name], Families: map[string]monitor.Cells{}, Attempts: map[string]monitor.Attempts{}}
		for i := range beats {
			if b := &beats[i]; b.Service == services[name] {
				j.observe(b, &st, o)
			}
		}
		o.Stages = append(o.Stages, st)
	}
	return o
}

// observe adds what an instance says of itself.
func (j *job) observe(b *fleet.Beat, st *monitor.Stage, o *monitor.Observation) {
	if b.Alive() {
		st.Alive++
	}
	run := b.Runs[j.rec.Run]
	// One that fell silent before the run began is of no concern to it. One that did at once
	// after has not said yet that it works on the run.
	if b.Seen.After(j.watch.heeded.began.Add(-2 * fleet.BeatInterval)) {
		instance := monitor.Instance{Service: b.Service, ID: b.Instance, Held: run.Held}
		if b.State != "stopped" {
			instance.Silent = time.Since(b.Seen)
		}
		o.Instances = append(o.Instances, instance)
	}
	if run.Epoch != j.rec.Epoch {
		return
	}
	if run.Waiting != "" && b.Alive() {
		st.Waiting = run.Waiting
	}
	for family, n := range run.Families {
		sum := st.Families[family]
		st.Families[family] = monitor.Cells{Fetched: sum.Fetched + n.Fetched, Failed: sum.Failed + n.Failed}
	}
	for code, a := range run.Attempts {
		st.Attempts[code] = monitor.Attempts{Count: st.Attempts[code].Count + a.Count, Last: a.Last}
	}
}
