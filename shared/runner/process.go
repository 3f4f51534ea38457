package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// poisonDeliveries is how often a message may be delivered before it is suspected of
// killing its process: it is then processed alone, and dead-lettered if that fails too.
const poisonDeliveries = 50

var errLeaseOver = errors.New("the longest lease of a message is over")

// process works on one message. It holds a worker's slot until its units are done, and a
// place in hand until it is settled.
func (r *Runner[U]) process(f *feed, h *held) {
	defer func() { <-f.held }()
	free := sync.OnceFunc(func() { <-f.slots })
	defer free()
	if h.epoch != 0 && h.epoch < f.run.Epoch {
		_ = h.ack(f.work, false) // purged or about to be: a message of an epoch that has ended
		return
	}
	if h.epoch > f.run.Epoch {
		h.giveBack(time.Second) // this instance has not heard of the epoch yet
		return
	}
	ctx, cancel := context.WithCancelCause(f.work)
	defer cancel(nil)
	h.mu.Lock()
	h.expired = cancel
	h.mu.Unlock()

	m := &stage.Message{Run: f.run, ID: h.msg.Headers().Get("Nats-Msg-Id"), ContentType: h.msg.Headers().Get("Content-Type"), Sequence: h.seq, Data: h.msg.Data()}
	t := newTracker()
	o := &outputs{g: f.out, t: t}
	err := r.workOn(ctx, m, h, o)
	free()
	if err == nil {
		err = t.wait(ctx)
	}
	r.settle(f, h, err)
}

func (r *Runner[U]) settle(f *feed, h *held, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.work), 10*time.Second)
	defer cancel()
	switch {
	case err == nil:
		if aerr := h.ack(ctx, r.cfg.DoubleAck); aerr != nil && f.work.Err() == nil {
			r.log.Warn().Err(aerr).Str("run", f.run.ID).Uint64("sequence", h.seq).Msg("ack failed; the message will come again")
		}
		r.stats.message(f.run.ID)
		r.metrics.Messages.WithLabelValues(string(r.cfg.Stage), "ok").Inc()
	case errors.Is(err, errEnded):
		// Not acked: the queue was purged, and the input is read again by a consumer of
		// the same name, in which an ack of ours would settle a message unread.
		_ = h.settle(func() error { return nil })
		r.metrics.Messages.WithLabelValues(string(r.cfg.Stage), "dropped").Inc()
	default:
		h.giveBack(time.Duration(rand.Int64N(int64(time.Second)))) // jitter
		r.metrics.Messages.WithLabelValues(string(r.cfg.Stage), "given_back").Inc()
		if f.pull.Err() == nil {
			r.log.Warn().Err(err).Str("run", f.run.ID).Uint64("sequence", h.seq).Msg("message given back to the queue")
		}
	}
}

// workOn splits a message and works on its units, alone if the message is suspected.
func (r *Runner[U]) workOn(ctx context.Context, m *stage.Message, h *held, o *outputs) error {
	suspect := h.delivered > poisonDeliveries
	if suspect {
		r.alone.Lock()
		defer r.alone.Unlock()
	} else {
		r.alone.RLock()
		defer r.alone.RUnlock()
	}
	units, err := r.units(m)
	if err != nil {
		return r.deadLetter(ctx, m, h, letterOf(m), failure.As(err), 1)
	}
	w := &worker[U]{r: r, m: m, h: h, o: o, attempts: r.cfg.Attempts(m.Run), suspect: suspect}
	if suspect {
		w.attempts = 1
	}
	return w.all(ctx, units)
}

// letterOf makes a dead letter of a message that cannot be split: it goes there whole.
func letterOf(m *stage.Message) stage.Letter {
	return stage.Letter{Kind: stage.KindBatch, Data: m.Data, ContentType: m.ContentType, Count: 1}
}

func (r *Runner[U]) units(m *stage.Message) (units []U, err error) {
	defer r.rescue(m, &err)
	return r.st.Units(m)
}

// rescue turns a panic into a failed attempt. The stack goes to the log, where a
// developer finds it, and not into the failure that a user reads.
func (r *Runner[U]) rescue(m *stage.Message, err *error) {
	if p := recover(); p != nil {
		r.log.Error().Str("run", m.Run.ID).Uint64("sequence", m.Sequence).Bytes("stack", debug.Stack()).Msgf("panic: %v", p)
		*err = failure.Retry(failure.Internal, "panic in stage %s: %v", r.cfg.Stage, p)
	}
}

// worker works on the units of one message.
type worker[U any] struct {
	r        *Runner[U]
	m        *stage.Message
	h        *held
	o        *outputs
	attempts int
	suspect  bool
}

// all works on the units at the same time and waits for them. The first error that is
// not about a unit (the epoch has ended, the lease is over) is returned.
func (w *worker[U]) all(ctx context.Context, units []U) error {
	if len(units) == 1 {
		return w.one(ctx, units[0], 1)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(units))
	for i, u := range units {
		wg.Go(func() { errs[i] = w.one(ctx, u, 1) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// one works on a unit until every part of it is done or a dead letter.
func (w *worker[U]) one(ctx context.Context, u U, attempt int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	verdicts := w.do(ctx, u)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(verdicts) == 1 {
		return w.verdict(ctx, verdicts[0], attempt)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(verdicts))
	for i, v := range verdicts {
		wg.Go(func() { errs[i] = w.verdict(ctx, v, attempt) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *worker[U]) do(ctx context.Context, u U) (verdicts []stage.Verdict[U]) {
	var err error
	defer func() {
		if err != nil {
			verdicts = []stage.Verdict[U]{{Rest: u, Err: err}}
		}
	}()
	defer w.r.rescue(w.m, &err)
	return w.r.st.Do(ctx, w.m, u, w.o)
}

// verdict does with a part of a unit what its error says.
func (w *worker[U]) verdict(ctx context.Context, v stage.Verdict[U], attempt int) error {
	e := failure.As(v.Err)
	run := w.m.Run.ID
	switch {
	case e.Action == failure.HoldOn:
		w.r.stats.waiting(run, e.Error())
		if err := sleep(ctx, e.Delay); err != nil {
			return err
		}
		w.r.stats.waiting(run, "")
		return w.one(ctx, v.Rest, attempt)
	case e.Action == failure.TryAgain && attempt < w.attempts:
		w.r.stats.failedAttempt()
		w.r.metrics.Retries.WithLabelValues(string(w.r.cfg.Stage), string(e.Code)).Inc()
		if err := sleep(ctx, backOff(attempt)); err != nil {
			return err
		}
		return w.one(ctx, v.Rest, attempt+1)
	}
	w.r.stats.failedAttempt()
	if w.suspect && e.Action == failure.TryAgain {
		e = &failure.Error{Code: failure.Poison, Err: fmt.Errorf("delivered %d times, and failed when processed alone: %w", w.h.delivered, e.Err)}
	}
	return w.r.deadLetter(ctx, w.m, w.h, w.r.st.Letter(w.m, v.Rest), e, attempt)
}

// backOff grows from 200 ms to 10 s, with full jitter.
func backOff(attempt int) time.Duration {
	ceiling := min(200*time.Millisecond<<min(attempt-1, 10), 10*time.Second)
	return time.Duration(rand.Int64N(int64(ceiling))) + 10*time.Millisecond
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
