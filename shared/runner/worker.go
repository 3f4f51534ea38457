package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/goroutine"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// A message that was delivered so often is suspected of killing its process. It is then
// worked on alone of its run, and dead-lettered if that fails too. One that was never
// settled in the deliveries after that is dead-lettered unseen.
const (
	suspectDeliveries = 50
	buryDeliveries    = 60
)

var errNeverSettled = errors.New("it was never settled, even when processed alone; it may end the process that works on it")

// worker works on the units of one message.
type worker[U any] struct {
	r        *Runner[U]
	f        *feed
	m        *stage.Message
	h        *held
	o        *outputs
	units    []U
	attempts int
	suspect  bool
}

func (r *Runner[U]) newWorker(f *feed, h *held) *worker[U] {
	header := h.msg.Headers()
	w := &worker[U]{
		r: r, f: f, h: h, attempts: r.cfg.Attempts(f.run), suspect: h.delivered > suspectDeliveries,
		m: &stage.Message{Run: f.run, ID: header.Get(jetstream.MsgIDHeader), ContentType: header.Get("Content-Type"), Sequence: h.seq, Data: h.msg.Data()},
	}
	if w.suspect {
		w.attempts = 1
	}
	w.o = &outputs{g: f.out, t: newTracker(), alone: w.suspect}
	return w
}

// work splits the message and works on its units, until each part of each is done or a
// dead letter. An error is about the message as a whole: it goes back to the queue.
func (w *worker[U]) work(ctx context.Context) error {
	units, err := w.split()
	if err != nil {
		return w.deadLetter(ctx, w.whole(), failure.As(err), 1)
	}
	w.units = units
	if w.h.delivered > buryDeliveries {
		return w.bury(ctx, errNeverSettled)
	}
	return each(units, func(u U) error { return w.one(ctx, u, 1) })
}

// enter waits until a message may be worked on; a suspected one waits until nothing else of
// its run is, and keeps the rest of its run out. Other runs go on: a step of one of them may
// last as long as its destination is dead, and a suspect that waited for it would stop the
// process. Nobody waits in here for a back-off.
func (w *worker[U]) enter() (leave func()) {
	if w.suspect {
		w.f.alone.Lock()
		return w.f.alone.Unlock
	}
	w.f.alone.RLock()
	return w.f.alone.RUnlock
}

func (w *worker[U]) split() (units []U, err error) {
	defer w.enter()()
	defer w.rescue(&err)
	return w.r.st.Units(w.m)
}

func (w *worker[U]) do(ctx context.Context, u U) (verdicts []stage.Verdict[U]) {
	var err error
	defer func() {
		if err != nil {
			verdicts = []stage.Verdict[U]{{Rest: u, Err: err}}
		}
	}()
	defer w.enter()()
	defer w.rescue(&err)
	return w.r.st.Do(ctx, w.m, u, w.o)
}

// letter gives the dead letter of a unit; the whole message if the stage cannot.
func (w *worker[U]) letter(u U) (l stage.Letter) {
	var err error
	defer func() {
		if err != nil {
			l = w.whole()
		}
	}()
	defer w.rescue(&err)
	return w.r.st.Letter(w.m, u)
}

// whole gives the dead letter of a message that cannot be split.
func (w *worker[U]) whole() stage.Letter {
	return stage.Letter{Kind: stage.KindBatch, Data: w.m.Data, ContentType: w.m.ContentType, Count: 1}
}

// rescue turns a panic into a failed attempt. The stack goes to the log, where a
// developer finds it, and not into the failure that a user reads.
func (w *worker[U]) rescue(err *error) {
	if p := recover(); p != nil {
		w.r.log.Error().Str("run", w.m.Run.ID).Uint64("sequence", w.m.Sequence).Bytes("stack", debug.Stack()).Msgf("panic: %v", p)
		*err = failure.Retry(failure.Internal, "panic in stage %s: %v", w.r.cfg.Stage, p)
	}
}

// each calls fn for all at the same time and waits for them.
func each[T any](all []T, fn func(T) error) error {
	if len(all) == 1 {
		return fn(all[0])
	}
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, one := range all {
		goroutine.Go(&wg, func() { errs[i] = fn(one) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// one works on a unit until every part of it is done or a dead letter.
func (w *worker[U]) one(ctx context.Context, u U, attempt int) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		verdicts := w.do(ctx, u)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(verdicts) != 1 {
			return each(verdicts, func(v stage.Verdict[U]) error {
				next, err := w.judge(ctx, v, attempt)
				if next == 0 || err != nil {
					return err
				}
				return w.one(ctx, v.Rest, next)
			})
		}
		next, err := w.judge(ctx, verdicts[0], attempt)
		if next == 0 || err != nil {
			return err
		}
		u, attempt = verdicts[0].Rest, next
	}
}

// judge does with a part of a unit what its error says, and waits if it is to be tried
// again. It gives the number of the next attempt, 0 if the part is settled.
func (w *worker[U]) judge(ctx context.Context, v stage.Verdict[U], attempt int) (next int, err error) {
	e := failure.As(v.Err)
	run := w.m.Run.ID
	switch {
	case e.Action == failure.HoldOn:
		w.r.stats.waiting(run, e.Error())
		if err := sleep(ctx, max(e.Delay, minDelay)); err != nil {
			return 0, err
		}
		w.r.stats.waiting(run, "")
		return attempt, nil
	case e.Action == failure.TryAgain && attempt < w.attempts:
		w.r.stats.failedAttempt(run, e)
		w.r.metrics.Retries.WithLabelValues(string(w.r.cfg.Stage), string(e.Code)).Inc()
		return attempt + 1, sleep(ctx, backOff(attempt))
	}
	w.r.stats.failedAttempt(run, e)
	if w.suspect && e.Action == failure.TryAgain {
		e = w.poison(e)
	}
	return 0, w.deadLetter(ctx, w.letter(v.Rest), e, attempt)
}

func (w *worker[U]) poison(err error) *failure.Error {
	return &failure.Error{Code: failure.Poison, Action: failure.GiveUp, Err: fmt.Errorf("delivered %d times, and failed when processed alone: %w", w.h.delivered, err)}
}

// bury makes a dead letter of each unit.
func (w *worker[U]) bury(ctx context.Context, why error) error {
	return each(w.units, func(u U) error { return w.deadLetter(ctx, w.letter(u), w.poison(why), w.attempts) })
}

// minDelay is the shortest wait before something is tried again.
const minDelay = 10 * time.Millisecond

// backOff grows from 200 ms to 10 s, with full jitter.
func backOff(attempt int) time.Duration {
	ceiling := min(200*time.Millisecond<<min(attempt-1, 10), 10*time.Second)
	return minDelay + rand.N(ceiling)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
