// Package room bounds the memory that work in a process takes, in bytes, over all runs.
//
// Work takes room before it grows, waits while there is none, and gives it back. What
// waits for room must not hold room of the same [Room]: then whoever holds some gets on,
// and gives it back.
package room

import (
	"context"
	"slices"
	"sync"
)

// Room is a bounded number of bytes that runs share. A run may hold up to twice of what it
// leaves free: a run that is alone gets two thirds of all, one that is stuck keeps no
// other from working. A run that holds nothing always gets what it asks for, so that a
// single thing may be larger than all the room there is: the bytes in use are at most
// those of the room and one thing more for each run. In a strict room such a run waits
// until what it asks for is free, and goes before those that hold some.
type Room struct {
	mu      sync.Mutex
	total   int64
	strict  bool
	used    int64
	held    map[string]int64 // by run
	waiting []*waiter        // in the order in which they came
}

type waiter struct {
	run   string
	bytes int64
	got   chan struct{}
}

// New gives room of so many bytes.
func New(bytes int64) *Room { return &Room{total: bytes, held: map[string]int64{}} }

// NewStrict gives room of so many bytes for things that are large beside it: no more than
// these are ever in use, unless one thing alone is larger.
func NewStrict(bytes int64) *Room {
	r := New(bytes)
	r.strict = true
	return r
}

// Take waits for room for a run. Its error is the context's cause. Those that wait for the
// same run are served in the order in which they came.
func (r *Room) Take(ctx context.Context, run string, bytes int64) error {
	r.mu.Lock()
	if !r.waits(run) && r.take(run, bytes) {
		r.mu.Unlock()
		return nil
	}
	w := &waiter{run: run, bytes: bytes, got: make(chan struct{})}
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.waiting, w); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
		r.serve() // those behind it may need less
		return context.Cause(ctx)
	}
	return nil // it was served at the same moment
}

// Try takes room if it is there at once.
func (r *Room) Try(run string, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.waits(run) && r.take(run, bytes)
}

// Give gives back bytes that the run holds.
func (r *Room) Give(run string, bytes int64) {
	if bytes == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= bytes
	if r.held[run] -= bytes; r.held[run] < 0 || r.used < 0 {
		panic("room: more is given back than was taken")
	}
	if r.held[run] == 0 {
		delete(r.held, run)
	}
	r.serve()
}

// Used gives the bytes in use.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

func (r *Room) waits(run string) bool {
	return slices.ContainsFunc(r.waiting, func(w *waiter) bool { return w.run == run })
}

func (r *Room) take(run string, bytes int64) bool {
	held, free := r.held[run], r.total-r.used-bytes
	switch {
	case held > 0 && held+bytes > 2*free:
		return false
	case r.strict && held > 0 && r.emptyHandedWaits():
		return false
	case r.strict && free < 0 && r.used > 0:
		return false
	}
	r.held[run] = held + bytes
	r.used += bytes
	return true
}

// emptyHandedWaits tells whether a run waits that holds nothing.
func (r *Room) emptyHandedWaits() bool {
	return slices.ContainsFunc(r.waiting, func(w *waiter) bool { return r.held[w.run] == 0 })
}

// serve gives room to those that wait, as far as there is some.
func (r *Room) serve() {
	if len(r.waiting) == 0 {
		return
	}
	if r.strict {
		r.serveThose(func(w *waiter) bool { return r.held[w.run] == 0 })
	}
	r.serveThose(func(*waiter) bool { return true })
}

func (r *Room) serveThose(want func(*waiter) bool) {
	behind := map[string]bool{} // runs of which one waits on
	var left []*waiter
	for _, w := range r.waiting {
		if behind[w.run] || !want(w) || !r.take(w.run, w.bytes) {
			behind[w.run] = true
			left = append(left, w)
			continue
		}
		close(w.got)
	}
	r.waiting = left
}
