package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// noteEvery is how often what a run has used goes into its record, for the leader that comes
// after this one and for instances that are gone by then.
const noteEvery = 10 * time.Second

// spending is what a run uses while this leader looks after it.
type spending struct {
	ledger *budget.Ledger
	looked time.Time     // when it was looked at last
	worked time.Duration // beyond what the record has
	noted  time.Time     // when the record was written for it
	ebb    ebb           // once the read units are used up
	pace   pace
}

// pace is what tells, once, that a run will not be done within its time.
type pace struct {
	worked  time.Duration // when the pace was taken first
	settled int64         // cells, by then
	taken   bool
	told    bool
}

// overrun gives how long a run will have worked when it is done, once a tenth of its time
// shows that this will be too long; 0 = it will not be, or that cannot be told.
func (p *pace) overrun(worked, most time.Duration, settled, requested int64) time.Duration {
	if !p.taken {
		p.worked, p.settled, p.taken = worked, settled, true
	}
	did, took := settled-p.settled, worked-p.worked
	if p.told || did <= 0 || took < most/10 {
		return 0
	}
	left := time.Duration(float64(took) / float64(did) * float64(max(0, requested-settled)))
	if worked+left <= most {
		return 0
	}
	p.told = true
	return worked + left
}

// ebb waits until what was read is committed, so that nothing is paid for and dropped. It
// does not wait for a feature service that gives nothing any more.
type ebb struct {
	settled int64
	since   time.Time // when that was different last
	used    float64   // read units: a smaller call may still have found enough
	empty   int       // looks in a row at which nothing was under way behind the look-ups
}

// Bounds of ebb.
const (
	ebbLooks   = 5 // outputs linger for less
	ebbPatient = time.Minute
)

func (e *ebb) over(now time.Time, settled, underWay int64, used float64) bool {
	if e.since.IsZero() || settled != e.settled {
		e.settled, e.since = settled, now
	}
	if e.empty++; underWay > 0 || used != e.used {
		e.empty = 0
	}
	e.used = used
	return e.empty >= ebbLooks || now.Sub(e.since) > ebbPatient
}

// account adds up what the run has used, and stops it when its budget allows no more.
func (j *job) account(ctx context.Context) (stopped bool, err error) {
	now, s, u := time.Now(), &j.spending, &j.rec.Usage
	if s.looked.IsZero() {
		s.looked, s.noted = now, now
	}
	since := min(now.Sub(s.looked), 5*time.Second) // one that was stopped for longer did not work
	s.worked += since
	s.looked = now
	if now.Sub(s.noted) > noteEvery {
		s.noted = now
		if err := j.put(ctx, func(*runs.Record) {}); err != nil {
			return false, err
		}
	}
	for instance, tables := range j.used() {
		s.ledger.Used(instance, total(tables))
	}
	b := &j.file.Budget
	limit, bounded := budget.ReadUnits(b)
	if bounded && (j.s.beats == nil || j.s.beats.Listened() > 2*fleet.BeatInterval) { // instances have said what they have used
		s.ledger.Limit(limit + u.FreeUnits)
	}
	switch {
	case bounded && s.ledger.Short() > 0:
		used := total(j.newestUnits(ctx))
		if !j.ebbed(now, used) {
			return false, nil
		}
		return true, j.stop(ctx, runs.Failed, unitsUsedUp(b.MaxReadUnits, limit, used-u.FreeUnits))
	case b.MaxDuration > 0 && u.Worked+s.worked-u.FreeWork+since >= b.MaxDuration: // at the next look it would be passed
		return true, j.stop(ctx, runs.Failed, fmt.Sprintf("stopped by budget.max_duration: the run has worked for %s; raise it and run again: the run goes on from here", b.MaxDuration))
	case b.MaxDuration > 0 && j.rec.Input.Sealed:
		if total := s.pace.overrun(u.Worked+s.worked-u.FreeWork, b.MaxDuration, j.watch.settled(), j.watch.requested); total > 0 {
			j.log.Warn().Dur("max_duration", b.MaxDuration).Dur("expected", total).Msg("the run will not be done within its time")
			j.watch.heeded.warn(fmt.Sprintf("budget.max_duration: at this pace the run takes %s and is stopped after %s; raise it, or give the stage that is slowest more instances: it goes on from here", total.Round(time.Second), b.MaxDuration))
		}
	}
	return false, nil
}

// ebbed tells whether what was read is committed, and hurries the writers on; used is how
// many read units were used by now.
func (j *job) ebbed(now time.Time, used float64) bool {
	w := &j.watch
	fetching := w.lags[stage.FSFast] + w.lags[stage.FSSlow]
	writing := w.lags[stage.Writer] + w.lags[stage.Parts]
	if fetching == 0 && writing > 0 {
		j.s.d.Client.AskFlush(j.rec.Run, uint64(w.lags[stage.Writer]))
	}
	return j.spending.ebb.over(now, w.settled(), fetching+writing, used)
}

// newestUnits is readUnits by the newest word of all: what was heard may be a second old.
func (j *job) newestUnits(ctx context.Context) map[string]float64 {
	if j.s.beats != nil {
		j.s.beats.Ask(ctx, j.s.d.Client, services[stage.Dynamo])
	}
	return j.readUnits()
}

// unitsUsedUp says which bound of the budget has ended a run, and how much it has used.
func unitsUsedUp(most int64, limit, used float64) string {
	bound := "budget.max_read_units"
	if most == 0 || limit < float64(most) {
		bound = "budget.max_cost_usd"
	}
	return fmt.Sprintf("stopped by %s: %s of %s read units are used, and the next call may take more than is left; raise it and run again: the run goes on from here",
		bound, humanize.Commaf(math.Ceil(used)), humanize.Commaf(math.Floor(limit)))
}

// used gives the read units that instances have used for the run, by instance and table: by
// its record, and by what they say since.
func (j *job) used() map[string]map[string]float64 {
	all := make(map[string]map[string]float64, len(j.rec.Usage.ReadUnits))
	for instance, tables := range j.rec.Usage.ReadUnits {
		all[instance] = maps.Clone(tables)
	}
	if j.s.beats == nil {
		return all
	}
	for _, b := range j.s.beats.Beats() {
		for table, n := range b.Runs[j.rec.Run].Units {
			if all[b.Instance] == nil {
				all[b.Instance] = map[string]float64{}
			}
			all[b.Instance][table] = max(all[b.Instance][table], n)
		}
	}
	return all
}

// readUnits adds up the read units that were used for the run, by table.
func (j *job) readUnits() map[string]float64 {
	units := map[string]float64{}
	for _, tables := range j.used() {
		for table, n := range tables {
			units[table] += n
		}
	}
	return units
}

func total(tables map[string]float64) (n float64) {
	for _, units := range tables {
		n += units
	}
	return n
}

// noteUsage has the record say what was used.
func (j *job) noteUsage(r *runs.Record) {
	r.Usage.ReadUnits = j.used()
	r.Usage.Worked += j.spending.worked
}

// beginUsage prepares a run's account when it is opened. A budget holds until the run is
// complete, however often it is stopped and run again; a run whose record is gone goes on
// from what its dataset says.
func (j *job) beginUsage(ctx context.Context) error {
	j.spending.ebb = ebb{}
	j.spending.ledger.Begin()
	complete := j.rec.State == runs.Completed
	if j.rec.Epoch == 0 {
		m, err := j.oldManifest(ctx)
		if err != nil || m == nil {
			return err
		}
		units := map[string]float64{}
		for table, n := range m.ReadUnits {
			units[table] = float64(n)
		}
		j.rec.Usage = runs.Usage{ReadUnits: map[string]map[string]float64{"": units}}
		for _, e := range m.Epochs {
			j.rec.Usage.Worked += max(0, e.SealedAt.Sub(e.OpenedAt))
		}
		complete = m.State == string(runs.Completed)
	}
	if complete {
		j.rec.Usage.FreeWork = j.rec.Usage.Worked
		j.rec.Usage.FreeUnits = total(j.readUnits())
	}
	return nil
}

// oldManifest reads the manifest that is in the dataset; nil if there is none that can be read.
func (j *job) oldManifest(ctx context.Context) (*dataset.Manifest, error) {
	data, err := j.store.Get(ctx, dataset.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := dataset.DecodeManifest(data)
	if err != nil {
		return nil, nil //nolint:nilerr // it is written anew at the end
	}
	return m, nil
}

// grant answers an instance that wants to use more of a run's read units.
func (s *Service) grant(ask budget.Ask) budget.Answer {
	if j := s.job(ask.Run); j != nil {
		return j.spending.ledger.Grant(ask)
	}
	return budget.Answer{Until: ask.Has}
}
