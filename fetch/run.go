package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"

	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Run is a run that was opened. Its methods but Close, Done and ID are for one goroutine at
// a time.
type Run struct {
	cfg            Config
	file, expanded *runfile.File
	system         *system.System
	store          string // of this process's broker; "" elsewhere
	warms          bool   // this process looks after what the run scales up
	follower       *control.Follower
	input          string // tells the run's present input from those before, which are gone
	sealed         bool   // it has its input already
	refused        bool   // it was not opened, so what it is, if it is, is not ours to end
	release        func() // the guard

	alive  context.Context // ends when a service of this process ends by itself, or with Close
	died   context.CancelCauseFunc
	wanted context.Context // ends when no more records are wanted
	enough context.CancelCauseFunc

	closing sync.Once
	closed  error
}

// EndError says that a run has ended without success: it failed, was stopped or cancelled.
// What is committed stays; the same run, opened again, goes on from there.
type EndError struct{ Status *Status }

// Error gives cause and cure, as the orchestrator has them.
func (e *EndError) Error() string {
	if e.Status.Reason == "" {
		return fmt.Sprintf("run %s: %s", e.Status.Run, e.Status.State)
	}
	return fmt.Sprintf("run %s: %s: %s", e.Status.Run, e.Status.State, e.Status.Reason)
}

// Causes of contexts of a run that end.
var (
	errEnded  = errors.New("the run has ended")
	errClosed = errors.New("the run was closed")
)

// Open starts the system, or connects to it, and opens the run: its warm-up begins. An error
// leaves nothing started. ctx bounds Open alone.
func Open(ctx context.Context, cfg Config) (r *Run, err error) {
	cfg.setDefaults()
	if cfg.Detach && cfg.NATS == "" {
		return nil, errors.New("fetch: Detach leaves a run to a system elsewhere, but none is named; set NATS, or leave out Detach")
	}
	file, expanded, err := cfg.load()
	if err != nil {
		return nil, err
	}
	r = &Run{cfg: cfg, file: file, expanded: expanded, refused: true, release: func() {}}
	if r.system, r.store, err = cfg.start(ctx, file, expanded); err != nil {
		return nil, err
	}
	r.alive, r.died = context.WithCancelCause(context.Background())
	r.wanted, r.enough = context.WithCancelCause(r.alive)
	opened := false
	defer func() {
		if !opened { // also on panic
			err = also(err, r.Close())
			r = nil
		}
	}()
	if r.system.Failed != nil {
		go func() {
			if err := <-r.system.Failed; err != nil {
				r.died(err)
			}
		}()
	}
	r.warms = cfg.NATS == "" && !cfg.Sandbox && expanded.WarmUp != nil
	if err = r.prepare(); err != nil {
		return r, err
	}
	ctx, end := r.while(ctx)
	defer end()
	if err = r.open(ctx); err != nil {
		return r, err
	}
	opened = true
	return r, nil
}

// prepare makes ready what must be there before the run is opened.
func (r *Run) prepare() (err error) {
	if r.warms && len(r.cfg.Guard) > 0 {
		place, err := destination.Where(&r.expanded.Output, r.file.Run)
		if err != nil {
			return err
		}
		if r.release, err = guarded(r.cfg.Guard, place, r.store); err != nil {
			r.release = func() {}
			return err
		}
	}
	if url := r.system.FeatureService; url != "" && r.file.FeatureService != nil {
		if r.file, err = r.file.Override(runfile.Overrides{FeatureServiceURL: url}); err != nil {
			return err
		}
	}
	r.follower = r.followed(r.cfg.Note)
	if r.store != "" { // elsewhere, not everyone may listen
		var stop func()
		if r.follower.Changed, stop, err = runs.Open(r.system.Broker.NC, r.system.Broker.JS).Changes(); err != nil {
			return err
		}
		context.AfterFunc(r.alive, stop)
	}
	if !r.cfg.Detach && r.expanded != nil && r.expanded.WarmUp != nil {
		r.cfg.Pace.Cancel = max(r.cfg.Pace.Cancel, warmCancel)
	}
	return nil
}

func (r *Run) followed(note func(string)) *control.Follower {
	return &control.Follower{
		Client: r.system.Ctl, Run: r.file.Run, Poll: r.cfg.Pace.Poll, Silence: r.cfg.Pace.Silence,
		Progress: r.cfg.Progress, Note: note,
	}
}

func (r *Run) open(ctx context.Context) error {
	run := r.file.Run
	_, err := r.system.Ctl.Open(ctx, run, r.file.Source(), r.cfg.TakeOver)
	var status *Status
	if err == nil {
		status, err = r.system.Ctl.Status(ctx, run)
	}
	if err != nil {
		if ctx.Err() != nil { // the run may be open all the same
			r.refused = false
			return context.Cause(ctx)
		}
		return err
	}
	r.input = strconv.FormatInt(status.StartedAt.UnixMilli(), 36)
	r.sealed = status.InputSealed
	if hash := r.cfg.InputHash; r.sealed && hash != "" && status.InputHash != "" && status.InputHash != hash {
		return control.Errorf(control.CodeWrongState, "run %s is sealed with other records already; wait for it (`fff runs wait %s`), cancel it, or give the run another id", run, run)
	}
	r.refused = false
	return nil
}

// while gives a context that ends with ctx, or when this process's system fails.
func (r *Run) while(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.alive, func() { cancel(context.Cause(r.alive)) })
	return ctx, func() { stop(); cancel(nil) }
}

// ID gives the run's id.
func (r *Run) ID() string { return r.file.Run }

// BrokerURL gives the URL of the broker, for others that publish records.
func (r *Run) BrokerURL() string { return r.system.URL }

// Sealed tells whether the run has all its records since before it was opened. Fetch then
// takes none and follows it.
func (r *Run) Sealed() bool { return r.sealed }

// Done is closed when no more records are wanted: an iterator that waits is to end then.
func (r *Run) Done() <-chan struct{} { return r.wanted.Done() }

// Status asks how the run gets on.
func (r *Run) Status(ctx context.Context) (*Status, error) {
	return r.system.Ctl.Status(ctx, r.file.Run)
}

// WarmUp waits until what the run file's warm_up names is up. Fetch need not wait for it:
// records that come earlier wait in their queue.
func (r *Run) WarmUp(ctx context.Context) error {
	ctx, end := r.while(ctx)
	defer end()
	status, err := r.follower.UntilIt(ctx, func(s *Status) bool {
		return s.TornDown() || s.State != control.Created && s.State != control.WarmingUp && !s.Ended()
	})
	return success(status, err)
}

// Wait follows the run until it is torn down. The error is an *EndError if it ended without
// success.
func (r *Run) Wait(ctx context.Context) (*Status, error) {
	ctx, end := r.while(ctx)
	defer end()
	status, err := r.follower.Until(ctx)
	return status, success(status, err)
}

func success(s *Status, err error) error {
	if err == nil && (s.State == control.Failed || s.State == control.Cancelled) {
		return &EndError{s}
	}
	return err
}

// Fetch publishes the records and follows the run until it is torn down. A run that ends
// earlier ends the publishing. The iterator runs in the caller's goroutine, so that its panic
// meets the caller's deferred Close; Progress and Note are called from others.
func (r *Run) Fetch(ctx context.Context, records iter.Seq2[Record, error]) (*Status, error) {
	if r.sealed {
		return r.Wait(ctx)
	}
	publishing, endPublishing := r.while(ctx)
	defer endPublishing()
	publishing, stop := context.WithCancelCause(publishing)
	defer stop(nil)
	following, endFollowing := context.WithCancelCause(ctx)
	followed := make(chan struct{})
	var status *Status
	var ferr error
	var panicked any
	go func() {
		defer close(followed)
		defer stop(errEnded)
		defer func() { panicked = recover() }()
		status, ferr = r.Wait(following)
	}()
	defer func() { <-followed }()
	defer endFollowing(nil)
	perr := r.Publish(publishing, records)
	if perr != nil && !errors.Is(perr, errEnded) {
		endFollowing(perr)
	}
	<-followed
	if panicked != nil {
		panic(panicked) // where the caller's deferred Close meets it
	}
	if perr == nil || errors.Is(perr, errEnded) {
		return status, ferr
	}
	if ctx.Err() == nil && r.follower.Ended(ctx) {
		// The run ended while something was published to it: its end is the cause.
		return r.Wait(ctx)
	}
	return status, perr
}

// also joins errors, but for a cause that is known already.
func also(err, more error) error {
	if err != nil && more != nil && errors.Is(err, more) {
		return err
	}
	return errors.Join(err, more)
}
