package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker/journal"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/warmup"
)

// goal is what a tender is to see to.
type goal int

const (
	unknown goal = iota // nothing is known of the run yet
	hold                // what is up stays up, within max_hold
	raise               // what the order says is to be up
	down                // nothing is to be up
	leave               // another system has the dataset, and with it the journal
)

// order is what is to be raised, and warmed up after that.
type order struct {
	wishes []warmup.Wish
	sample *sampling // nil = the feature service gets no sample requests
}

// tender looks after what one run has scaled up, beside the steps of the run's job: raising
// takes minutes, and what cannot be brought down is tried again for as long as we lead.
type tender struct {
	s       *Service
	run     string
	log     zerolog.Logger
	wake    chan struct{}
	running atomic.Bool
	orphan  atomic.Bool // nobody knows the run

	// The keeper is for loop alone.
	keeper *warmup.Keeper

	mu     sync.Mutex
	goal   goal
	order  *order
	source source
	stale  bool                    // the keeper was made for another source
	hurry  bool                    // try again now
	cancel context.CancelCauseFunc // of what is under way
	done   *order                  // that was carried out
	failed error                   // why it could not be
	opened bool                    // the journal was read
	up     []control.ScaledUp
	word   string // what is waited for
}

// source is where a keeper finds what it needs. Its zero value is enough to bring down what
// the broker's journal knows.
type source struct {
	files warmup.Files // dataset
	file  *runfile.File
}

func newTender(s *Service, run string) *tender {
	return &tender{s: s, run: run, log: s.d.Log.With().Str("run", run).Logger(), wake: make(chan struct{}, 1)}
}

// Pauses of a tender.
const (
	tenderRetry = 2 * time.Second // after an error, or when another keeper was there
	tenderRest  = time.Minute
)

var errOtherGoal = errors.New("something else is to be done")

// aim tells what to see to from now on. What is under way for another goal is given up.
func (t *tender) aim(g goal, o *order, from source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from != t.source && from != (source{}) {
		t.source, t.stale = from, true
	}
	if g == t.goal && (g != raise || o == t.order) && !t.stale {
		return
	}
	t.goal, t.order = g, o
	t.interrupt(errOtherGoal)
}

// again has what could not be brought down tried now.
func (t *tender) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hurry = true
	t.interrupt(errOtherGoal)
}

// interrupt is called with mu held.
func (t *tender) interrupt(why error) {
	if t.cancel != nil {
		t.cancel(why)
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// outcome tells whether an order was carried out, and with which error.
func (t *tender) outcome(o *order) (done bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return o != nil && t.done == o, t.failed
}

// isDown tells whether nothing is up any more.
func (t *tender) isDown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.opened && t.goal == down && !slices.ContainsFunc(t.up, func(s control.ScaledUp) bool { return s.Up() })
}

// isDone tells whether nothing is up or watched any more.
func (t *tender) isDone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.opened && len(t.up) == 0
}

// stillUp has what is up tried again now, and says what it is.
func (t *tender) stillUp() error {
	t.again()
	up, _ := t.view()
	text := ""
	for _, u := range up {
		if u.Up() {
			text += "; " + u.Resource
			if u.Problem != "" {
				text += ": " + u.Problem
			}
		}
	}
	return control.Errorf(control.CodeTryAgain, "what run %s has scaled up is being brought down%s", t.run, text)
}

// view gives what is up, or watched, and what is waited for.
func (t *tender) view() ([]control.ScaledUp, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.up, t.word
}

func (t *tender) say(text string) {
	t.mu.Lock()
	t.word = text
	t.mu.Unlock()
}

// loop works until ctx ends.
func (t *tender) loop(ctx context.Context) {
	if !t.running.CompareAndSwap(false, true) {
		return
	}
	defer t.running.Store(false)
	for pause := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-pause.C:
		}
		pause.Reset(t.turn(ctx))
	}
}

// turn does what the goal asks for and tells when to come again.
func (t *tender) turn(leading context.Context) time.Duration {
	ctx, cancel := context.WithCancelCause(leading)
	defer cancel(nil)
	t.mu.Lock()
	goal, order, hurry := t.goal, t.order, t.hurry
	if t.stale {
		t.keeper, t.stale, t.opened = nil, false, false
	}
	t.cancel, t.hurry = cancel, false
	carried := t.done == order
	t.mu.Unlock()
	if goal == unknown || goal == leave {
		return tenderRest
	}
	err := t.open(ctx)
	if err == nil && hurry {
		t.keeper.Hurry()
	}
	if err == nil && goal == raise && !carried {
		err = t.raise(ctx, order)
	}
	if err == nil && goal == down {
		err = t.lower(ctx)
	}
	var next time.Time
	if err == nil {
		next, err = t.keeper.Keep(ctx)
		t.look()
		t.say("")
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, warmup.ErrOvertaken):
		t.log.Info().Err(err).Msg("the undo journal is read anew")
		t.keeper = nil
		return tenderRetry
	case err != nil:
		t.log.Warn().Err(err).Msg("what is scaled up cannot be looked after; trying again")
		return tenderRetry
	case next.IsZero():
		return tenderRest
	}
	return min(max(time.Until(next), t.s.poll), tenderRest)
}

// open makes the keeper, unless there is one.
func (t *tender) open(ctx context.Context) error {
	if t.keeper != nil {
		return nil
	}
	t.mu.Lock()
	from := t.source
	t.mu.Unlock()
	var w *runfile.WarmUp
	held := runfile.DefaultMaxHold
	if from.file != nil && from.file.WarmUp != nil {
		w, held = from.file.WarmUp, from.file.WarmUp.MaxHold
	}
	backends, err := t.s.openBackends(ctx, w)
	if err != nil {
		return err
	}
	stores := []warmup.Store{journal.Open(t.s.d.Client.JS, t.run)}
	if from.files != nil {
		stores = append(stores, warmup.FileStore{Files: from.files})
	}
	keeper, err := warmup.Open(ctx, warmup.Config{
		Run: t.run, System: t.s.system, Backends: backends, Stores: stores,
		Hold: held, Watch: t.s.cfg.Watch, Poll: t.s.poll, Report: t.report,
	})
	if err != nil {
		return err
	}
	t.keeper = keeper
	t.look()
	return nil
}

// patience is for how long an order that fails is tried again, unless it was refused.
const patience = 30 * time.Second

// raise carries out an order.
func (t *tender) raise(ctx context.Context, o *order) error {
	began := time.Now()
	err := t.keeper.Raise(ctx, o.wishes)
	for err != nil && !final(err) && time.Since(began) < patience && ctx.Err() == nil {
		t.log.Warn().Err(err).Msg("trying again")
		select {
		case <-ctx.Done():
		case <-time.After(tenderRetry):
			err = t.keeper.Raise(ctx, o.wishes)
		}
	}
	t.look()
	if err == nil && o.sample != nil {
		err = o.sample.send(ctx, t)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, warmup.ErrOvertaken) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.failed = o, err
	return nil // what failed is told by outcome
}

// final tells whether trying again changes nothing.
func final(err error) bool {
	_, refused := errors.AsType[*warmup.Refused](err)
	return refused || errors.Is(err, warmup.ErrOvertaken) || errors.Is(err, warmup.ErrGone)
}

// lower brings everything down, for as long as it takes.
func (t *tender) lower(ctx context.Context) error {
	err := t.keeper.Lower(ctx)
	t.look()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// look takes over what the keeper knows.
func (t *tender) look() {
	if t.keeper == nil {
		return
	}
	var up []control.ScaledUp
	for _, e := range t.keeper.Entries() {
		one := control.ScaledUp{
			Resource: e.Resource.String(), Stage: string(e.Stage), Deadline: e.Deadline, Foreign: e.Foreign,
			Shared: e.Shared, Problem: e.Problem, Attempts: e.Attempts,
		}
		if e.Attempts > 0 {
			one.NextTry = e.NextTry
		}
		before, raised := warmup.Values{}, warmup.Values{}
		for name, pair := range e.Pairs {
			before[name], raised[name] = pair.Before, pair.Raised[len(pair.Raised)-1]
		}
		one.Before, one.Raised = before.String(), raised.String()
		up = append(up, one)
	}
	t.mu.Lock()
	t.up, t.opened = up, true
	t.mu.Unlock()
}

// report tells what the keeper does.
func (t *tender) report(e warmup.Event) {
	log := t.log.Info()
	switch e.What {
	case warmup.Failed:
		log = t.log.Error()
	case warmup.Foreign, warmup.Late, warmup.Gone:
		log = t.log.Warn()
	case warmup.Waiting:
		log = t.log.Debug()
	}
	log.Str("resource", e.Resource.String()).Str("what", string(e.What)).Msg(cmp.Or(e.Text, string(e.What)))
	t.look()
	t.say(fmt.Sprintf("%s %s: %s", e.What, e.Resource, e.Text))
}
