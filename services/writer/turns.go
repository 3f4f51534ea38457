package writer

import (
	"cmp"
	"slices"
	"sync"
)

// turns lets those who wait for a part go on one after the other, in the order of their
// messages in the stream, so that the acks reach the broker in about that order. Woken all
// together they go on in any order, mostly the reverse, and a message that is acked before
// one in front of it is a hole in the broker's file: at half a file of holes the broker
// writes the other half anew, and syncs it.
type turns struct {
	mu      sync.Mutex
	all     []*turn // in order, once they have begun
	present int     // that have not left
	begun   bool
	at      int // whose turn it is
}

// turn is the place of one who waits.
type turn struct {
	sequence uint64        // of the message in its stream
	come     chan struct{} // closed when it is its turn
	left     bool
}

// join adds one who waits. The turns must not have begun.
func (q *turns) join(sequence uint64) *turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &turn{sequence: sequence, come: make(chan struct{})}
	q.all = append(q.all, t)
	q.present++
	return t
}

// count gives the number of those who have joined and not left.
func (q *turns) count() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return uint64(q.present)
}

// begin gives the first one its turn.
func (q *turns) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	slices.SortStableFunc(q.all, func(a, b *turn) int { return cmp.Compare(a.sequence, b.sequence) })
	q.begun = true
	q.giveLocked()
}

// leave is called by each one, whether its turn has come or not. It gives the turn on, and
// tells whether nobody waits any more.
func (q *turns) leave(t *turn) (last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.left = true
	q.present--
	if q.begun && q.all[q.at] == t {
		q.giveLocked()
	}
	return q.present == 0
}

// giveLocked gives the turn to the next one who is there.
func (q *turns) giveLocked() {
	for q.at < len(q.all) && q.all[q.at].left {
		q.at++
	}
	if q.at < len(q.all) {
		close(q.all[q.at].come)
	}
}
