package monitor

import "time"

// tally is what a window adds up.
type tally[T any] interface {
	plus(T) T
	weight() int64 // what is counted towards the least that a window must hold
}

// window adds up what came within the last while: between half its length and all of it. It
// reaches back further when less than least came in that time.
type window[T tally[T]] struct {
	length time.Duration
	least  int64

	began     time.Time // when now began
	now, then T         // this half, and the one before
}

func (w *window[T]) add(at time.Time, more T) {
	if w.began.IsZero() {
		w.began = at
	}
	if at.Sub(w.began) >= w.length/2 && w.now.weight() >= w.least {
		var none T
		w.then, w.now, w.began = w.now, none, at
	}
	w.now = w.now.plus(more)
}

func (w *window[T]) sum() T { return w.then.plus(w.now) }
