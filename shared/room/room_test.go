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

// TestAllGetOn has many runs take and give at random: none waits for ever, and the bytes
// in use stay within the room and one thing more for each run.
func TestAllGetOn(t *testing.T) {
	const total, runs, most = 1000, 5, 300
	r := room.New(total)
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
				if used := r.Used(); used > total+runs*most {
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
