package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/journal"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// A run is warmed up for what its records ask for, so they come first and wait: for the end
// of the input, for a pause in it, or for so long.
const (
	inputPause = 10 * time.Second
	inputWait  = 5 * time.Minute
)

// demand is what the records that have come so far ask for, and some of them.
type demand struct {
	of      *forecast.Demand
	samples samples
	since   time.Time // when the first record came
}

// warms tells whether a run file asks for anything to be raised or warmed up.
func warms(file *runfile.File) bool {
	if file == nil || file.WarmUp == nil {
		return false
	}
	w := file.WarmUp
	return w.DynamoDB != nil || w.FeatureService != nil && file.FeatureService != nil || len(w.RDS) > 0
}

// count adds what a batch asks for to the demand. What is committed is not fetched again.
func (j *job) count(requests []work.Request) {
	if j.rec.State != runs.WarmingUp || j.order != nil || !warms(j.file) {
		return
	}
	w := &j.watch
	if w.demand == nil {
		w.demand = &demand{of: forecast.NewDemand(j.file), since: time.Now()}
	}
	for i := range requests {
		r := &requests[i]
		families := j.missing(r)
		if len(families) == 0 {
			continue
		}
		w.demand.of.Add(r.UserID, r.EpochMS, families)
		if j.file.FeatureService != nil && j.file.WarmUp.FeatureService != nil {
			w.demand.samples.add(j.file, r)
		}
	}
}

// missing gives the families of a request that are not committed.
func (j *job) missing(r *work.Request) []string {
	n, known := j.samples.Find(sample.KeyOf(r.UserID, r.EpochMS))
	if !known {
		return r.Families
	}
	return slices.DeleteFunc(slices.Clone(r.Families), func(family string) bool { return j.committed.Has(family, n) })
}

// warmUp goes on with the warm-up of a run, and lets its records flow when it is done.
func (j *job) warmUp(ctx context.Context) error {
	if j.rec.State != runs.WarmingUp {
		return nil
	}
	if !warms(j.file) {
		return j.flow(ctx)
	}
	if j.order == nil {
		if !j.demandKnown() {
			j.warm.say(fmt.Sprintf("warm-up waits for the records: %s so far", humanize.Comma(j.watch.records)))
			return nil
		}
		j.order = j.makeOrder()
		j.watch.demand = nil // it takes memory
	}
	j.tend()
	done, err := j.warm.outcome(j.order)
	switch {
	case !done:
		return nil
	case err != nil:
		return j.stop(ctx, runs.Failed, fmt.Sprintf("%v; nothing was fetched yet, and what was raised comes down; run again to go on", err))
	}
	return j.flow(ctx)
}

// demandKnown tells whether enough of the input has come to say what the run will take.
func (j *job) demandKnown() bool {
	w := &j.watch
	if j.rec.Input.Sealed {
		return w.lastRead >= j.rec.Input.LastSeq
	}
	return w.demand != nil && (time.Since(w.lastInput) > inputPause || time.Since(w.demand.since) > inputWait)
}

func (j *job) makeOrder() *order {
	d := j.watch.demand
	if d == nil {
		return &order{} // nothing is asked for
	}
	o := &order{wishes: backends.Wishes(j.file, forecast.Make(d.of, forecast.Assume(j.file)))}
	if w := j.file.WarmUp.FeatureService; w != nil && j.file.FeatureService != nil {
		o.sample = &sampling{run: j.rec.Run, service: j.file.FeatureService, warmUp: w, requests: d.samples.all}
	}
	return o
}

// flow lets the stages work on the run.
func (j *job) flow(ctx context.Context) error {
	return j.put(ctx, func(r *runs.Record) {
		r.State = runs.Running
		if r.Input.Sealed {
			r.State = runs.Draining
		}
	})
}

// tend has the run's tender see to what the run's state asks for.
func (j *job) tend() {
	if !warms(j.file) && !j.left {
		return
	}
	from := source{file: j.file}
	if j.store != nil {
		from.files = j.store
	}
	switch {
	case j.rec.State == runs.WarmingUp && j.order != nil:
		j.warm.aim(raise, j.order, from)
	case warms(j.file) && (j.rec.State.Working() || j.rec.State == runs.WarmingUp):
		j.warm.aim(hold, nil, from)
	case j.rec.State != runs.Created:
		// All is fetched once the run is finalised. Cells that are sent again then get what
		// the backends have.
		j.warm.aim(down, nil, from)
	}
}

// cooled tells whether nothing of the run is up any more.
func (j *job) cooled() bool {
	if !warms(j.file) && !j.left {
		return true
	}
	j.tend()
	return j.warm.isDown()
}

// findJournal looks whether the dataset knows of something that is left to undo.
func (j *job) findJournal(ctx context.Context) {
	data, err := j.store.Get(ctx, warmup.JournalName)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	found, err := warmup.DecodeJournal(data)
	j.left = j.left || err != nil || len(found.Entries) > 0
}

// leaveJournal leaves what is up to the system that has taken the dataset over, and with it
// the journal there.
func (j *job) leaveJournal(ctx context.Context) error {
	j.warm.aim(leave, nil, source{})
	j.left = false
	_, err := streams.PurgeSubject(ctx, j.s.d.Client.JS, "KV_"+streams.WarmUpBucket, "$KV."+streams.WarmUpBucket+"."+j.rec.Run)
	return err
}

// leftBehind gives the runs that the broker's journal knows, and begins to bring down what
// is up for runs that nobody knows any more.
func (s *Service) leftBehind(ctx context.Context, known []*runs.Record, start func(*tender)) (map[string]bool, error) {
	all, err := journal.Runs(ctx, s.d.Client.JS)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for _, run := range all {
		left[run] = true
		if slices.ContainsFunc(known, func(r *runs.Record) bool { return r.Run == run }) {
			continue
		}
		s.d.Log.Warn().Str("run", run).Msg("the run is gone, and may have left something scaled up; bringing it down")
		t := s.tender(run)
		t.orphan.Store(true)
		t.aim(down, nil, source{})
		start(t)
	}
	return left, nil
}

// tender gives the tender of a run, a new one if there is none.
func (s *Service) tender(run string) *tender {
	s.tending.Lock()
	defer s.tending.Unlock()
	t := s.tenders[run]
	if t == nil {
		t = newTender(s, run)
		s.tenders[run] = t
	}
	return t
}

// orphans gives the tenders of runs that nobody knows.
func (s *Service) orphans() []*tender {
	s.tending.Lock()
	defer s.tending.Unlock()
	var all []*tender
	for _, t := range s.tenders {
		if t.orphan.Load() && !t.isDone() {
			all = append(all, t)
		}
	}
	return all
}

// lowerAll brings down what is up when the last orchestrator of a system is stopped: nobody
// would be there to do it later. Runs that are under way are warmed up again at the next
// start. Another orchestrator that is there takes over instead.
func (s *Service) lowerAll(ctx context.Context) {
	if slices.ContainsFunc(s.beats.Beats(), func(b fleet.Beat) bool {
		return b.Service == "orchestrator" && b.Instance != s.d.Instance && b.Alive()
	}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.d.Grace)
	defer cancel()
	s.tending.Lock()
	tenders := maps.Clone(s.tenders)
	s.tending.Unlock()
	for run, t := range tenders {
		up, _ := t.view()
		if !slices.ContainsFunc(up, func(u control.ScaledUp) bool { return u.Up() }) || t.keeper == nil {
			continue
		}
		if j := s.job(run); j != nil {
			if err := j.pause(ctx); err != nil {
				t.log.Warn().Err(err).Msg("the run cannot be noted as one to be warmed up again; it goes on with what its backends have then")
			}
		}
		if err := t.keeper.Lower(ctx); err != nil {
			t.log.Error().Err(err).Msgf("the last orchestrator stops and leaves something scaled up; the next one that starts brings it down, or `fff runs teardown %s --dir`", run)
		}
	}
}

// pause has a run that is under way warmed up again before it goes on.
func (j *job) pause(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.rec.State.Working() {
		return nil
	}
	return j.put(ctx, func(r *runs.Record) { r.State = runs.WarmingUp })
}
