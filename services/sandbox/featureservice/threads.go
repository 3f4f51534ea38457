package featureservice

import (
	"context"
	"sync"
)

// threads are what requests are worked on with: first come, first served. Their number may
// be changed at any time; what is worked on is not interrupted.
type threads struct {
	mu      sync.Mutex
	number  int
	busy    int
	queue   int             // requests that may wait for one; -1 = any number
	waiting []chan struct{} // closed when a thread is given
}

// take waits for a thread. full says that there is no room to wait in. waits is called
// before it begins to wait, and after.
func (t *threads) take(ctx context.Context, waits func(change int64)) (taken, full bool) {
	t.mu.Lock()
	if t.busy < t.number {
		t.busy++
		t.mu.Unlock()
		return true, false
	}
	if t.queue >= 0 && len(t.waiting) >= t.queue {
		t.mu.Unlock()
		return false, true
	}
	turn := make(chan struct{})
	t.waiting = append(t.waiting, turn)
	t.mu.Unlock()
	waits(1)
	defer waits(-1)
	select {
	case <-turn:
		return true, false
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range t.waiting {
		if w == turn {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			return false, false
		}
	}
	t.busy-- // its turn came at the same moment
	t.next()
	return false, false
}

// give gives a thread back.
func (t *threads) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	t.next()
}

// set changes their number.
func (t *threads) set(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number = n
	t.next()
}

// next is called with mu held.
func (t *threads) next() {
	for t.busy < t.number && len(t.waiting) > 0 {
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
		t.busy++
	}
}
