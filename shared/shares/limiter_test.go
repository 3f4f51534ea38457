package shares

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// acquire starts an Acquire and tells on the channel when it has returned.
func acquire(ctx context.Context, l *Limiter, run string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- l.Acquire(ctx, run) }()
	return done
}

func returned(done <-chan error) bool {
	synctest.Wait()
	return len(done) == 1
}

func TestLimiterGivesSlotsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := l.Acquire(t.Context(), "run"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				l.Release("run", Answered)
			})
			synctest.Wait()
		}
		if n := l.Waiting(); n != 20 {
			t.Fatalf("%d wait while the limit is 0, want 20", n)
		}
		l.SetLimit(1)
		all.Wait()
		if !slices.IsSorted(order) || len(order) != 20 {
			t.Errorf("slots were given in the order %v", order)
		}
		if n := l.InUse(); n != 0 {
			t.Errorf("%d slots in use at the end", n)
		}
	})
}

// A run that asks for little does not wait behind all that another asks for, and two that
// ask for much have half of the slots each.
func TestLimiterGivesRunsTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4
		var l Limiter
		l.SetLimit(limit)
		var large, small int
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		ask := func(run string, got *int) {
			all.Go(func() {
				if l.Acquire(ctx, run) == nil {
					*got++ // only one goroutine goes on at a time, and the test waits for it
				}
			})
			synctest.Wait()
		}
		for range 10 * limit {
			ask("large", &large)
		}
		for range limit {
			ask("small", &small)
		}
		if large != limit || small != 0 {
			t.Fatalf("the large run has %d slots and the small one %d, want %d and 0", large, small, limit)
		}
		for i, want := range []int{1, 2, 2, 2} { // then they have as many
			l.Release("large", Answered)
			synctest.Wait()
			if small != want {
				t.Errorf("after %d slots given back the small run has %d, want %d", i+1, small, want)
			}
		}
		cancel()
		all.Wait()
		for range 2 {
			l.Release("large", Answered)
			l.Release("small", Answered)
		}
		if l.InUse() != 0 || len(l.queues) != 0 {
			t.Errorf("%d slots in use and %d queues are kept at the end", l.InUse(), len(l.queues))
		}
	})
}

func TestLimiterSmallerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.SetLimit(3)
		for range 3 {
			if err := l.Acquire(t.Context(), "run"); err != nil {
				t.Fatal(err)
			}
		}
		l.SetLimit(1)
		next := acquire(t.Context(), &l, "run")
		for inUse := 2; inUse >= 1; inUse-- {
			l.Release("run", Answered)
			if returned(next) {
				t.Fatalf("a slot was given while %d were in use of 1", inUse)
			}
		}
		l.Release("run", Answered)
		if !returned(next) {
			t.Error("no slot was given though none was in use")
		}
	})
}

func TestLimiterGivenUpWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		why := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		first := acquire(ctx, &l, "run")
		synctest.Wait()
		second := acquire(t.Context(), &l, "run")
		synctest.Wait()
		cancel(why)
		if err := <-first; !errors.Is(err, why) {
			t.Errorf("error %v, want the cause of the context's end", err)
		}
		l.SetLimit(1)
		if !returned(second) {
			t.Error("the next in line got no slot")
		}
		if err := l.Acquire(ctx, "run"); !errors.Is(err, why) {
			t.Errorf("error %v from an ended context", err)
		}
	})
}

func TestLimiterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.SetLimit(1)
		start := time.Now()
		l.PauseUntil("slow", start.Add(10*time.Second))
		l.PauseUntil("slow", start.Add(2*time.Second)) // shorter: changes nothing
		slow := acquire(t.Context(), &l, "slow")
		if returned(slow) {
			t.Fatal("a paused run got a slot")
		}
		other := acquire(t.Context(), &l, "other")
		if !returned(other) {
			t.Fatal("a pause of one run held another")
		}
		l.Release("other", Answered)
		if err := <-slow; err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("the run went on after %v, want 10s", waited)
		}
		l.PauseUntil("slow", time.Now().Add(-time.Second)) // past: changes nothing
		l.Release("slow", Answered)
		if !returned(acquire(t.Context(), &l, "slow")) {
			t.Error("a pause that is over holds the run")
		}
		l.Release("slow", Answered)
		if len(l.queues) != 0 {
			t.Errorf("%d queues are kept for nothing", len(l.queues))
		}
	})
}

func TestLimiterPauseMadeLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.SetLimit(1)
		start := time.Now()
		l.PauseUntil("run", start.Add(time.Second))
		l.PauseUntil("run", start.Add(3*time.Second))
		if err := l.Acquire(t.Context(), "run"); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the run went on after %v, want 3s", waited)
		}
	})
}

func TestLimiterUnderLoad(t *testing.T) {
	const most = 8
	var l Limiter
	l.SetLimit(most)
	var inFlight, peak atomic.Int64
	var workers sync.WaitGroup
	for i := range 64 {
		workers.Go(func() {
			run := string(rune('a' + i%3))
			for j := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%7 == 0 {
					go cancel()
				}
				if l.Acquire(ctx, run) == nil {
					for n := inFlight.Add(1); ; {
						p := peak.Load()
						if n <= p || peak.CompareAndSwap(p, n) {
							break
						}
					}
					inFlight.Add(-1)
					l.Release(run, Answered)
				}
				cancel()
				if j%50 == 0 {
					l.SetLimit(1 + (i+j)%most)
					l.PauseUntil(run, time.Now().Add(time.Millisecond))
				}
			}
		})
	}
	workers.Wait()
	if p := peak.Load(); p > most {
		t.Errorf("%d requests in flight, the limit was never above %d", p, most)
	}
	if l.InUse() != 0 || l.Waiting() != 0 {
		t.Errorf("%d in use and %d waiting at the end", l.InUse(), l.Waiting())
	}
}

// Slots are counted as wanted while they are used, or would be but for a pause.
func TestLimiterCountsWhatSlotsAreGoodFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		l.SetLimit(3)
		if err := l.Acquire(t.Context(), "run"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // one of three is used
		l.PauseUntil("run", time.Now().Add(2*time.Second))
		l.Release("run", Refused)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := acquire(ctx, &l, "run"), acquire(ctx, &l, "run")
		synctest.Wait()
		time.Sleep(time.Second) // two are wanted
		u := l.Usage()
		if want := (Usage{Refused: 1, Wanted: 3 * time.Second, Offered: 6 * time.Second, Paused: true}); u != want {
			t.Errorf("usage %+v, want %+v", u, want)
		}
		cancel()
		<-first
		<-second
		time.Sleep(2 * time.Second)
		if after := l.Usage(); after.Wanted != u.Wanted || after.Paused {
			t.Errorf("usage %+v after nobody wanted anything, want no more than %+v", after, u)
		}
	})
}
