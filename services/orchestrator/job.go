package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// tick is how often a run is looked at, soon how often one that is about to end, rest how
// often one with which nothing is left to do.
const (
	tick = 150 * time.Millisecond
	soon = 20 * time.Millisecond
	rest = time.Minute
)

// job is a run that the leader looks after. Its steps run one at a time under mu.
type job struct {
	s    *Service
	log  zerolog.Logger
	wake chan struct{} // a request has changed what there is to do

	mu       sync.Mutex
	rec      *runs.Record
	file     *runfile.File // nil until it could be read
	store    dataset.Store
	commits  *commits.Log
	rolls    int    // rollbacks of the log that were dealt with
	last     string // entry of the log up to which this job has taken it in
	restored bool
	idle     bool // made for an opening that has not succeeded yet: there is nothing to do
	gone     bool

	warm  *tender // of what is scaled up for the run
	order *order  // what the run's warm-up raises; nil until the demand is known
	left  bool    // something may have been left scaled up before

	// What is committed, by the indexes of the live files.
	samples   *completion.Samples
	committed *completion.Cells
	fromCache map[commitlog.FileID]int64 // rows that came from DynamoDB

	owning sync.Mutex // of what writes _owner

	hurried atomic.Bool            // somebody wants the run to end, and waits for mu
	atWork  atomic.Pointer[string] // what a long step is at, for the status

	copy *localCopy // of the dataset, during the teardown; nil while there is none

	watch    watch
	spending spending
	status   atomic.Pointer[control.Status]
	maxInput atomic.Int64 // bytes of input reserved for the run
}

func newJob(s *Service, rec *runs.Record) *job {
	j := &job{s: s, rec: rec, log: s.d.Log.With().Str("run", rec.Run).Logger(), wake: make(chan struct{}, 1), warm: s.tender(rec.Run)}
	j.warm.orphan.Store(false)
	j.forget()
	j.spending.ledger = budget.NewLedger()
	j.publish()
	return j
}

func (j *job) forget() {
	j.samples, j.committed, j.fromCache = completion.NewSamples(), completion.NewCells(), map[commitlog.FileID]int64{}
}

// loop looks at the run until ctx ends or nothing is left to do.
func (j *job) loop(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.endCopy()
	}()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		case <-wait.C:
		}
		pause := tick
		j.mu.Lock()
		if j.gone {
			j.mu.Unlock()
			return
		}
		err := j.step(ctx)
		if err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			failures++
			pause = min(tick<<min(failures, 6), 5*time.Second)
			j.log.Warn().Err(err).Str("state", string(j.rec.State)).Msg("a step of the run failed; trying again")
			j.watch.trouble = err.Error()
		}
		if err == nil {
			j.watch.trouble = ""
			pause = j.pace()
		}
		j.publish()
		j.mu.Unlock()
		wait.Reset(pause)
	}
}

// hurry has the run looked at now.
func (j *job) hurry() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// step does what the run's state asks for.
func (j *job) step(ctx context.Context) error {
	if j.idle {
		return nil
	}
	err := j.advance(ctx)
	if !errors.Is(err, errTakenOver) {
		j.tend() // also when a step fails again and again
	}
	if errors.Is(err, commits.ErrBase) {
		err = j.relog(ctx, err)
	}
	if errors.Is(err, errTakenOver) {
		return j.abandon(ctx)
	}
	return err
}

func (j *job) advance(ctx context.Context) error {
	if !j.restored {
		if _, err := j.refresh(ctx); err != nil {
			return err
		}
	}
	if j.rec.State.Ended() {
		if j.store == nil && (j.left || j.rec.Teardown == runs.TeardownPending) {
			_ = j.prepare(ctx) // without the dataset what the broker's journal knows is brought down
		}
		if j.rec.Teardown != runs.TeardownPending || !j.cooled() {
			return nil
		}
		if err := j.teardown(ctx); !errors.Is(err, errCopying) {
			return err
		}
		return nil
	}
	if !j.restored {
		if err := j.restore(ctx); err != nil || j.rec.State.Ended() {
			return err
		}
	}
	if j.rec.State == runs.Finalising {
		j.tend() // before anything that takes long, or fails
		return j.finalise(ctx)
	}
	if err := j.look(ctx); err != nil {
		return err
	}
	return j.warmUp(ctx)
}

// errRunFile says that the run file cannot be used by this instance, as when a variable
// that it names is not set here.
var errRunFile = errors.New("the run file cannot be used by this orchestrator")

// prepare reads the run file (errRunFile) and opens the dataset and the log.
func (j *job) prepare(ctx context.Context) error {
	file, err := j.rec.File()
	if err != nil {
		return fmt.Errorf("%w: %w", errRunFile, err)
	}
	store, where, err := j.s.openStore(ctx, &file.Output, j.rec.Run)
	if err != nil {
		return err
	}
	j.file, j.store, j.rec.Dataset = file, store, where
	j.maxInput.Store(file.Input.MaxBytes)
	j.findJournal(ctx)
	j.commits = commits.New(j.s.d.Client, j.rec.Run, j.base)
	j.rolls = 0
	return nil
}

// base reads the files that an epoch started with.
func (j *job) base(e *commitlog.Entry) ([]commitlog.File, error) {
	if e.Base == "" {
		return nil, nil
	}
	data, err := j.store.GetIndex(context.Background(), e.Base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", commits.ErrBase, err)
	}
	if err != nil {
		return nil, err
	}
	if sum := checksum(data); sum != e.BaseSum {
		return nil, fmt.Errorf("%w: %s has checksum %s, the commit log says %s", commits.ErrBase, e.Base, sum, e.BaseSum)
	}
	var files []commitlog.File
	if err := json.Unmarshal(data, &files); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", commits.ErrBase, e.Base, err)
	}
	return files, nil
}

// restore takes up a run where the last leader left it.
func (j *job) restore(ctx context.Context) error {
	if j.commits != nil { // what was seen of a store that was put back must not be forgotten
		if err := j.commits.CatchUp(ctx); err != nil {
			return err
		}
		if j.commits.Rollbacks() != j.rolls {
			return j.reopen(ctx, putBack)
		}
	}
	if err := j.prepare(ctx); errors.Is(err, errRunFile) {
		return j.fail(ctx, err)
	} else if err != nil {
		return err
	}
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	// Listed before the log was read again below, so that a file made visible meanwhile
	// is in the log by then.
	visible, err := j.store.ListVisible(ctx)
	if err != nil {
		return err
	}
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	why := ""
	if j.rec.State != runs.Finalising {
		if why, err = j.fencedOff(ctx); err != nil {
			return err
		}
	}
	j.commits.View(func(s *commitlog.State) {
		switch {
		case why != "":
		case s.Epoch != j.rec.Epoch:
			why = fmt.Sprintf("the run's record is at epoch %d, its commit log at %d", j.rec.Epoch, s.Epoch)
		case s.Sealed && j.rec.State != runs.Finalising:
			why = "its epoch is sealed"
		}
		for _, v := range visible {
			if _, ours := epochOf(v); why == "" && ours && s.Stranger(commitlog.FileID{Family: v.Family, Name: v.Name}) {
				why = fmt.Sprintf("%s is visible, but not in the commit log: the broker's store was put back", v.Path)
			}
		}
	})
	if why != "" {
		return j.reopen(ctx, why)
	}
	j.note()
	if err := j.load(ctx); err != nil {
		return err
	}
	if err := j.rewound(ctx); err != nil {
		return err
	}
	j.restored = true
	j.watch.reset(j)
	j.watch.countLive(j)
	return nil
}

// load reads the completion indexes of the live files.
func (j *job) load(ctx context.Context) error {
	j.forget()
	files, indexes := j.liveFiles(), indexCache{store: j.store}
	for i := range files {
		p, f, err := indexes.of(ctx, &files[i])
		if errors.Is(err, fs.ErrNotExist) {
			continue // the finaliser voids it, and its cells are fetched again
		}
		if err != nil {
			return err
		}
		j.committed.AddPart(j.samples, p, f)
		j.fromCache[files[i].ID()] = f.FromDynamoDB
	}
	return nil
}

// put writes the run's record.
func (j *job) put(ctx context.Context, change func(*runs.Record)) error {
	next := *j.rec
	change(&next)
	j.noteUsage(&next)
	if err := j.s.bucket.Put(ctx, &next); err != nil {
		if errors.Is(err, runs.ErrConflict) {
			_, rerr := j.refresh(ctx)
			return errors.Join(err, rerr)
		}
		return err
	}
	*j.rec, j.spending.worked = next, 0
	return nil
}

// fail ends a run whose dataset this instance cannot open. What is committed is in the
// dataset and in the log, which both stay as they are.
func (j *job) fail(ctx context.Context, why error) error {
	j.log.Error().Err(why).Msg("the run ends here; run it again when the cause is gone")
	return j.put(ctx, func(r *runs.Record) {
		r.State, r.Outcome, r.Reason, r.Teardown, r.EndedAt = runs.Failed, "", why.Error(), runs.TeardownPending, time.Now().UTC()
	})
}

// stop ends a run early: what is committed is kept and written up, the rest is dropped.
func (j *job) stop(ctx context.Context, outcome runs.State, reason string) error {
	if j.rec.State.Ended() || (j.rec.State == runs.Finalising && j.rec.Outcome != "") {
		return nil
	}
	j.log.Warn().Str("reason", reason).Msg("the run is stopped")
	return j.put(ctx, func(r *runs.Record) {
		r.State, r.Outcome, r.Reason = runs.Finalising, outcome, reason
	})
}
