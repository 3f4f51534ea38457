package shares

import (
	"context"
	"sync"
	"time"
)

// Limiter bounds how many requests of a process are in flight. A slot goes to the run
// that has the fewest, so that a small run does not wait behind all that a large one asks
// for; within a run, first come, first served. Runs which are paused are passed over. The
// limit can be changed at any time; a limit of 0 holds every new request. The zero value
// holds everything until SetLimit is called.
type Limiter struct {
	mu     sync.Mutex
	limit  int
	inUse  int
	ticket uint64 // of the next waiter
	queues map[string]*queue

	usage   Usage
	counted time.Time // up to when usage knows the time of slots
}

// queue holds the slots and waiters of one run, and the run's pause.
type queue struct {
	inUse       int
	waiting     []*waiter
	pausedUntil time.Time
	wake        *time.Timer // fires when the pause ends; nil = not paused
}

// waiter is one blocked Acquire.
type waiter struct {
	ticket uint64
	ready  chan struct{} // closed under the limiter's lock when the slot is given
}

// Acquire takes a slot for a request of the run, and waits for one as long as ctx
// lives. Its error is the context's.
func (l *Limiter) Acquire(ctx context.Context, run string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	l.count()
	q := l.queue(run)
	w := &waiter{ticket: l.ticket, ready: make(chan struct{})}
	l.ticket++
	q.waiting = append(q.waiting, w)
	l.give()
	l.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count()
	if !l.forget(run, w) { // the slot came at the same moment
		l.takeBack(run)
	}
	return context.Cause(ctx)
}

// Release gives a slot of the run back, and says what it was good for.
func (l *Limiter) Release(run string, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count()
	switch o {
	case Answered:
		l.usage.Answered++
	case Refused:
		l.usage.Refused++
	}
	l.takeBack(run)
}

func (l *Limiter) takeBack(run string) {
	q := l.queues[run]
	q.inUse--
	l.inUse--
	l.drop(run, q)
	l.give()
}

// SetLimit changes the limit. Requests above a smaller limit run to their end; no new
// one starts until enough of them have.
func (l *Limiter) SetLimit(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count()
	l.limit = max(0, n)
	l.give()
}

// PauseUntil holds the run's new requests until t. A pause is never shortened.
func (l *Limiter) PauseUntil(run string, t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue(run)
	if !t.After(q.pausedUntil) {
		return
	}
	q.pausedUntil = t
	if q.wake != nil {
		q.wake.Stop()
	}
	q.wake = time.AfterFunc(d, func() { l.resume(run, t) })
}

// resume ends the pause that lasts until t, unless a longer one has replaced it.
func (l *Limiter) resume(run string, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, ok := l.queues[run]
	if !ok || !q.pausedUntil.Equal(t) {
		return
	}
	q.wake, q.pausedUntil = nil, time.Time{}
	l.drop(run, q)
	l.give()
}

// Limit gives the limit.
func (l *Limiter) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// InUse counts the slots that are taken.
func (l *Limiter) InUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inUse
}

// Waiting counts the requests that wait for a slot.
func (l *Limiter) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting()
}

func (l *Limiter) waiting() int {
	n := 0
	for _, q := range l.queues {
		n += len(q.waiting)
	}
	return n
}

// Usage tells what the slots were good for up to now.
func (l *Limiter) Usage() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count()
	u := l.usage
	for _, q := range l.queues {
		u.Paused = u.Paused || q.wake != nil
	}
	return u
}

// count adds the time since it was called last to the usage. It comes before everything
// that changes the limit, the slots in use or the waiters. A slot that a pause keeps from
// its waiter is wanted: what the service asks to wait for is part of what an answer costs.
func (l *Limiter) count() {
	now := time.Now()
	if !l.counted.IsZero() {
		passed := now.Sub(l.counted)
		wanted := max(l.inUse, min(l.limit, l.inUse+l.waiting()))
		l.usage.Wanted += time.Duration(wanted) * passed
		l.usage.Offered += time.Duration(max(l.inUse, l.limit)) * passed
	}
	l.counted = now
}

// give hands free slots to the longest waiting requests of the runs whose turn it is.
func (l *Limiter) give() {
	for l.inUse < l.limit {
		q := l.next()
		if q == nil {
			return
		}
		w := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		q.inUse++
		l.inUse++
		close(w.ready)
	}
}

// next finds the run that is not paused and has the fewest slots; of several, the one whose
// oldest waiter came first. Runs are few.
func (l *Limiter) next() (next *queue) {
	for _, q := range l.queues {
		if q.wake != nil || len(q.waiting) == 0 {
			continue
		}
		if next == nil || q.inUse < next.inUse ||
			q.inUse == next.inUse && q.waiting[0].ticket < next.waiting[0].ticket {
			next = q
		}
	}
	return next
}

// forget takes a waiter out of its queue; false if it is no longer there.
func (l *Limiter) forget(run string, w *waiter) bool {
	q, ok := l.queues[run]
	if !ok {
		return false
	}
	for i, x := range q.waiting {
		if x == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			l.drop(run, q)
			return true
		}
	}
	return false
}

// queue finds or makes the queue of a run.
func (l *Limiter) queue(run string) *queue {
	q, ok := l.queues[run]
	if !ok {
		if l.queues == nil {
			l.queues = make(map[string]*queue)
		}
		q = &queue{}
		l.queues[run] = q
	}
	return q
}

// drop removes a queue that holds nothing.
func (l *Limiter) drop(run string, q *queue) {
	if q.inUse == 0 && len(q.waiting) == 0 && q.wake == nil {
		delete(l.queues, run)
	}
}
