package shares

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Ask brings a request to the leader and its answer back.
type Ask func(ctx context.Context, r Request) (Grant, error)

// Holder keeps the shares of one process. It asks for the share of a key when a run
// first wants a slot of it, renews it while runs use it, and gives it back when none
// has for a lease.
//
// While the leader cannot be reached the share stays valid to the end of its lease.
// Then the limit becomes 0: new requests are held until the leader answers again, and
// requests in flight run to their end.
type Holder struct {
	instance string
	ask      Ask

	mu     sync.Mutex
	shares map[Key]*share
	fresh  []*share      // not renewed by Run yet
	added  chan struct{} // says that fresh has grown
}

// NewHolder gives the holder of a process. The instance's name is unique among
// processes and never used again by a later one.
func NewHolder(instance string, ask Ask) *Holder {
	return &Holder{
		instance: instance,
		ask:      ask,
		shares:   make(map[Key]*share),
		added:    make(chan struct{}, 1),
	}
}

// Run renews the shares until ctx ends, and gives them back then. No slot is given
// before Run is called or after it has returned.
func (h *Holder) Run(ctx context.Context) {
	var keepers sync.WaitGroup
	defer keepers.Wait()
	for {
		h.mu.Lock()
		fresh := h.fresh
		h.fresh = nil
		h.mu.Unlock()
		for _, s := range fresh {
			keepers.Go(func() { s.keep(ctx) })
		}
		select {
		case <-h.added:
		case <-ctx.Done():
			return
		}
	}
}

// Acquire takes a slot for a request of the run, and waits for one as long as ctx
// lives. Its error is the context's. Each slot is given back with Release.
func (h *Holder) Acquire(ctx context.Context, w Want) error {
	s := h.share(w.Key)
	s.join(w)
	if err := s.limiter.Acquire(ctx, w.Run); err != nil {
		s.part(w.Run)
		return err
	}
	return nil
}

// Release gives a slot back, and says what it was good for.
func (h *Holder) Release(w Want, o Outcome) {
	s := h.share(w.Key)
	s.limiter.Release(w.Run, o)
	s.part(w.Run)
}

// PauseUntil holds the run's new requests on the key until t.
func (h *Holder) PauseUntil(w Want, t time.Time) {
	h.share(w.Key).limiter.PauseUntil(w.Run, t)
}

// Status tells how a share stands.
type Status struct {
	Key
	Limit   int
	InUse   int
	Waiting int
	Err     error // of the last attempt to renew the share; nil = it was renewed
}

// Status tells how the shares stand, in the order of their keys.
func (h *Holder) Status() []Status {
	h.mu.Lock()
	all := make([]*share, 0, len(h.shares))
	for _, s := range h.shares {
		all = append(all, s)
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b *share) int {
		return cmp.Or(cmp.Compare(a.key.URL, b.key.URL), cmp.Compare(a.key.Lane, b.key.Lane))
	})
	status := make([]Status, len(all))
	for i, s := range all {
		status[i] = s.status()
	}
	return status
}

// share finds or makes the share of a key.
func (h *Holder) share(key Key) *share {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.shares[key]
	if !ok {
		s = newShare(key, h.instance, h.ask)
		h.shares[key] = s
		h.fresh = append(h.fresh, s)
		select {
		case h.added <- struct{}{}:
		default:
		}
	}
	return s
}
