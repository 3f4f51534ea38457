package room_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fastfeaturefetch/fff/shared/room"
)

func TestARunLeavesSomeFree(t *testing.T) {
	r := room.New(90)
	for _, step := range []struct {
		run  string
		want int
	}{{"stuck", 60}, {"second", 20}, {"third", 6}} {
		got := 0
		for r.Try(step.run, 1) {
			got++
		}
		if got != step.want {
			t.Errorf("run %s gets %d of 90 bytes, want %d", step.run, got, step.want)
		}
	}
	if !r.Try("new", 1000) {
		t.Error("a run that holds nothing must get what it asks for")
	}
	if r.Try("new", 1) {
		t.Error("a run got more of what is overdrawn")
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(30)
		if !r.Try("a", 20) {
			t.Fatal("no room at the start")
		}
		var served atomic.Int64
		for _, bytes := range []int64{15, 1, 1} {
			go func() {
				if err := r.Take(t.Context(), "a", bytes); err != nil {
					t.Error(err)
				}
				served.Add(1)
			}()
			synctest.Wait()
		}
		if r.Try("a", 1) {
			t.Error("a try has overtaken those that wait")
		}
		if err := r.Take(t.Context(), "b", 1); err != nil {
			t.Errorf("another run waits behind those of the first: %v", err)
		}
		r.Give("a", 10)
		synctest.Wait()
		if n := served.Load(); n != 0 {
			t.Errorf("%d that ask for little have overtaken one that asks for much", n)
		}
		r.Give("a", 10)
		synctest.Wait()
		if n := served.Load(); n != 3 {
			t.Errorf("%d of 3 are served", n)
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(3)
		r.Try("a", 2)
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- r.Take(ctx, "a", 100) }()
		synctest.Wait()
		go func() { second <- r.Take(t.Context(), "a", 0) }()
		synctest.Wait()
		cancel(why)
		if err := <-first; !errors.Is(err, why) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		r.Give("a", 2)
		if r.Used() != 0 {
			t.Errorf("%d bytes are in use after all was given back", r.Used())
		}
	})
}

// A strict room is never overdrawn, and who holds nothing goes before who holds some.
func TestAStrictRoomIsNotOverdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.NewStrict(90)
		if !r.Try("stuck", 60) || r.Try("stuck", 1) {
			t.Fatal("a run that is alone gets two thirds")
		}
		if !r.Try("small", 5) || r.Try("large", 30) {
			t.Fatal("a run that holds nothing gets what is free, and no more")
		}
		var order []string
		for _, run := range []string{"small", "large"} {
			go func() {
				if err := r.Take(t.Context(), run, 26); err != nil {
					t.Error(err)
				}
				order = append(order, run)
			}()
			synctest.Wait()
		}
		if r.Try("small", 1) || !r.Try("new", 1) {
			t.Error("a run that waits with empty hands goes before those that hold some, and keeps nobody else from what is free")
		}
		r.Give("new", 1)
		r.Give("small", 5)
		synctest.Wait()
		if len(order) != 1 {
			t.Fatalf("%v were served; there is room for one", order)
		}
		r.Give("stuck", 60)
		synctest.Wait()
		if len(order) != 2 || r.Used() != 52 {
			t.Errorf("%v were served, %d bytes are in use", order, r.Used())
		}
		if !r.Try("huge", 38) || r.Try("more", 1) {
			t.Error("it is full now")
		}
	})
}

// TestAllGetOn has many runs take and give at random: none waits for ever, and the bytes
// in use stay within the room, and one thing more for each run where it is not strict.
func TestAllGetOn(t *testing.T) {
	const total, runs, most = 1000, 5, 300
	t.Run("lenient", func(t *testing.T) { allGetOn(t, room.New(total), runs, most, total+runs*most) })
	t.Run("strict", func(t *testing.T) { allGetOn(t, room.NewStrict(total), runs, most, total) })
}

func allGetOn(t *testing.T, r *room.Room, runs int, most, bound int64) {
	var wg sync.WaitGroup
	for i := range runs * 8 {
		wg.Go(func() {
			run := strconv.Itoa(i % runs)
			for range 500 {
				bytes := 1 + rand.Int64N(most)
				if err := r.Take(t.Context(), run, bytes); err != nil {
					t.Error(err)
					return
				}
				if used := r.Used(); used > bound {
					t.Errorf("%d bytes are in use", used)
				}
				part := rand.Int64N(bytes + 1)
				r.Give(run, part)
				r.Give(run, bytes-part)
			}
		})
	}
	wg.Wait()
	if r.Used() != 0 {
		t.Errorf("%d bytes are in use after all was given back", r.Used())
	}
}
