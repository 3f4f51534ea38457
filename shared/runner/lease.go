package runner

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/streams"
)

// held is a message in hand. Its lease is kept until it is settled.
type held struct {
	msg       jetstream.Msg
	seq       uint64
	delivered uint64
	epoch     uint64 // 0 = none given: a producer's message
	renew     time.Duration
	until     time.Time // the lease is not kept beyond

	// Bytes that it takes while it is worked on, and from then on until it is settled.
	working, held int64

	mu      sync.Mutex
	renewed time.Time
	settled bool                    // or given up, because the lease was over before the work began
	expired context.CancelCauseFunc // tells the worker that the lease is over
}

func newHeld(m jetstream.Msg, ackWait time.Duration, until time.Time) *held {
	h := &held{msg: m, renew: ackWait / 3, until: until, renewed: time.Now()}
	if meta, err := m.Metadata(); err == nil {
		h.seq, h.delivered = meta.Sequence.Stream, meta.NumDelivered
	}
	h.epoch, _ = strconv.ParseUint(m.Headers().Get(streams.HeaderEpoch), 10, 64)
	return h
}

// begin notes how the worker is told that the lease is over; false if it is over already.
func (h *held) begin(expired context.CancelCauseFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expired = expired
	return !h.settled
}

// settle marks the message as settled and runs how, once. how may wait for the broker: the
// leases of other messages are kept meanwhile.
func (h *held) settle(how func() error) error {
	h.mu.Lock()
	was := h.settled
	h.settled = true
	h.mu.Unlock()
	if was {
		return nil
	}
	return how()
}

// ack acks the message; with double it waits for the broker's word.
func (h *held) ack(ctx context.Context, double bool) error {
	return h.settle(func() error {
		if double {
			return h.msg.DoubleAck(ctx)
		}
		return h.msg.Ack()
	})
}

// giveBack returns the message to the queue, to be delivered again after the delay.
func (h *held) giveBack(delay time.Duration) {
	_ = h.settle(func() error { return h.msg.NakWithDelay(delay) }) // if it does not arrive, AckWait does the same later
}

// leaseKeeper says InProgress for every message in hand.
type leaseKeeper struct {
	mu   sync.Mutex
	held map[*held]struct{}
}

func newLeaseKeeper() *leaseKeeper { return &leaseKeeper{held: map[*held]struct{}{}} }

func (k *leaseKeeper) add(h *held) {
	k.mu.Lock()
	k.held[h] = struct{}{}
	k.mu.Unlock()
}

func (k *leaseKeeper) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.renew(now)
		}
	}
}

func (k *leaseKeeper) renew(now time.Time) {
	k.mu.Lock()
	all := make([]*held, 0, len(k.held))
	for h := range k.held {
		all = append(all, h)
	}
	k.mu.Unlock()
	for _, h := range all {
		if h.keep(now) {
			continue
		}
		k.mu.Lock()
		delete(k.held, h)
		k.mu.Unlock()
	}
}

// keep renews the lease when it is time and tells whether it is to be kept further.
func (h *held) keep(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.settled {
		return false
	}
	if now.After(h.until) {
		if h.expired != nil {
			h.expired(errLeaseOver)
		} else {
			h.settled = true
		}
		return false
	}
	if now.Sub(h.renewed) >= h.renew {
		h.renewed = now
		_ = h.msg.InProgress() // the next one comes before AckWait is over
	}
	return true
}
