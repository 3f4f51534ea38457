package writer

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// Those who wait go on in the order of their messages; who has left holds nobody up.
func TestTurns(t *testing.T) {
	t.Parallel()
	const n = 200
	var q turns
	var all []*turn
	for _, i := range rand.Perm(n) {
		all = append(all, q.join(uint64(i)))
	}
	gone := func(t *turn) bool { return t.sequence%3 == 0 || t.sequence == n-1 }
	for _, one := range all {
		if gone(one) && one.sequence%2 == 0 && q.leave(one) {
			t.Fatal("the last one has left while others wait")
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var order []uint64
	lasts := 0
	leave := func(one *turn) {
		if q.leave(one) {
			mu.Lock()
			defer mu.Unlock()
			lasts++
		}
	}
	for _, one := range all {
		switch {
		case !gone(one):
			group.Go(func() {
				<-one.come
				mu.Lock()
				order = append(order, one.sequence)
				mu.Unlock()
				leave(one)
			})
		case one.sequence%2 == 1:
			group.Go(func() { leave(one) }) // whether it is its turn or not
		}
	}
	q.begin()
	group.Wait()
	want := 0
	for _, one := range all {
		if !gone(one) {
			want++
		}
	}
	if len(order) != want || !slices.IsSorted(order) || lasts != 1 {
		t.Errorf("%d of %d went on, as %v, and %d were the last", len(order), want, order, lasts)
	}
}

func TestTurnsOfNobody(t *testing.T) {
	t.Parallel()
	var q turns
	if one := q.join(1); !q.leave(one) {
		t.Error("the only one was not the last")
	}
	q.begin()
}
