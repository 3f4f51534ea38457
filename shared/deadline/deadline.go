// Package deadline gives time-outs that stand still while whoever has them waits for
// something of his own: a backend is not to blame for that time.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Deadline ends a context after a time. It is not safe for use after Stop.
type Deadline struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	left  time.Duration
	since time.Time
}

// With gives a context that ends after d with the cause [context.DeadlineExceeded]. Its
// Err is [context.Canceled]. Stop must be called.
func With(ctx context.Context, d time.Duration) (context.Context, *Deadline) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &Deadline{cancel: cancel, left: d, since: time.Now()}
	t.timer = time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, t
}

// Pause lets fn take as long as it does. One pause does not lie within another.
func (t *Deadline) Pause(fn func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.timer.Stop() {
		return fn() // it is over already
	}
	t.left -= time.Since(t.since)
	err := fn()
	t.since = time.Now()
	t.timer.Reset(max(t.left, 0))
	return err
}

// Stop ends the context.
func (t *Deadline) Stop() {
	t.timer.Stop()
	t.cancel(context.Canceled)
}
