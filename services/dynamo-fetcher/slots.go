package dynamofetcher

import "context"

// slots bound how many calls are in flight; nil slots bound nothing.
type slots chan struct{}

// newSlots gives n slots; none = no bound.
func newSlots(n int) slots {
	if n <= 0 {
		return nil
	}
	return make(slots, n)
}

// take waits for a slot.
func (s slots) take(ctx context.Context) error {
	if s == nil {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give gives a slot back.
func (s slots) give() {
	if s != nil {
		<-s
	}
}
