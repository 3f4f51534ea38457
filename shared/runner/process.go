package runner

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

var errLeaseOver = errors.New("the longest lease of a message is over")

// process works on one message. It holds a worker's slot, and the memory of its units,
// until they are done; a place in hand, and its own memory, until it is settled.
func (r *Runner[U]) process(f *feed, h *held) {
	defer func() {
		r.memory.Give(f.run.ID, h.held)
		<-f.held
	}()
	free := sync.OnceFunc(func() {
		r.memory.Give(f.run.ID, h.working-h.held)
		<-f.slots
	})
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
	if !h.begin(cancel) {
		return // it waited here until its lease was over: another copy is on its way
	}
	w := r.newWorker(f, h)
	err := w.work(ctx)
	free()
	if err == nil {
		err = w.o.t.wait(ctx)
	}
	if err != nil && w.suspect && ctx.Err() == nil {
		err = w.bury(ctx, err) // what it makes cannot be published
	}
	r.settling.Add(h.held)
	defer r.settling.Add(-h.held)
	r.settle(f, h, err)
}

func (r *Runner[U]) settle(f *feed, h *held, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.work), 10*time.Second)
	defer cancel()
	switch {
	case err == nil:
		if aerr := h.ack(ctx, r.cfg.DoubleAck); aerr != nil && f.work.Err() == nil {
			r.log.Debug().Err(aerr).Str("run", f.run.ID).Uint64("sequence", h.seq).Msg("no answer to an ack; the message comes again if it was lost")
		}
		r.stats.message(f.run.ID)
		r.metrics.Messages.WithLabelValues(string(r.cfg.Stage), "ok").Inc()
	case errors.Is(err, errEnded):
		if h.epoch != 0 {
			// It may have been published behind the purge. Whoever works on the next epoch
			// acks it; kept, it would be in that one's way until AckWait is over.
			h.giveBack(stopDelay)
		}
		// A producer's message is not settled: the input is read again by a consumer of the
		// same name, in which an ack of ours would settle a message unread.
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
