package shares

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// leader answers requests with a granter, unless it is down.
type leader struct {
	mu      sync.Mutex
	granter *Granter
	down    bool
	log     []Request
}

func (l *leader) ask(_ context.Context, r Request) (Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, r)
	if l.down {
		return Grant{}, errors.New("no leader")
	}
	return l.granter.Grant(time.Now(), r), nil
}

func (l *leader) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *leader) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.log)
}

func (l *leader) claimed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.granter.Claimed(time.Now(), fast)
}

// start runs a holder until the function that it gives is called.
func start(t *testing.T, instance string, ask Ask) (h *Holder, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	h = NewHolder(instance, ask)
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }()
	return h, func() { cancel(); <-done }
}

func limitOf(h *Holder) int {
	synctest.Wait()
	for _, s := range h.Status() {
		if s.Key == fast {
			return s.Limit
		}
	}
	return 0
}

func TestHolderSharesWithOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{granter: NewGranter(lease)}
		w := Want{Key: fast, Run: "run", Max: 10}
		a, stopA := start(t, "a", l.ask)
		b, stopB := start(t, "b", l.ask)
		defer stopB()
		for range 10 {
			if err := a.Acquire(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		if n := limitOf(a); n != 10 {
			t.Fatalf("alone: limit %d, want 10", n)
		}
		got := make(chan error, 1)
		go func() { got <- b.Acquire(t.Context(), w) }()
		time.Sleep(2 * lease)
		if len(got) != 0 || limitOf(a) != 5 {
			t.Fatalf("b got a slot while a has 10 requests in flight, or a's limit is %d", limitOf(a))
		}
		for range 10 {
			a.Release(w, Answered)
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		time.Sleep(lease / renewals)
		if la, lb := limitOf(a), limitOf(b); la != 5 || lb != 5 {
			t.Fatalf("limits %d and %d, want 5 and 5", la, lb)
		}
		stopA()
		time.Sleep(lease / renewals)
		if n := limitOf(b); n != 10 {
			t.Errorf("limit %d after the other has left, want 10", n)
		}
	})
}

func TestHolderHoldsWhenItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{granter: NewGranter(lease)}
		w := Want{Key: fast, Run: "run", Max: 10}
		h, stop := start(t, "a", l.ask)
		defer stop()
		if err := h.Acquire(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		defer h.Release(w, Answered)
		l.setDown(true)
		time.Sleep(lease - time.Millisecond)
		if n := limitOf(h); n != 10 {
			t.Fatalf("limit %d during the lease, want 10", n)
		}
		time.Sleep(time.Millisecond)
		if n := limitOf(h); n != 0 {
			t.Fatalf("limit %d after the lease, want 0", n)
		}
		if s := h.Status()[0]; s.Err == nil || s.InUse != 1 {
			t.Errorf("status %+v, want the error and the request in flight", s)
		}
		got := make(chan error, 1)
		go func() { got <- h.Acquire(t.Context(), w) }()
		synctest.Wait()
		l.setDown(false)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		h.Release(w, Answered)
		if s := h.Status()[0]; s.Err != nil || s.Limit != 10 {
			t.Errorf("status %+v after the leader is back", s)
		}
	})
}

func TestHolderGivesIdleShareBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{granter: NewGranter(lease)}
		small := Want{Key: fast, Run: "small", Max: 3}
		large := Want{Key: fast, Run: "large", Max: 10}
		h, stop := start(t, "a", l.ask)
		defer stop()
		for _, w := range []Want{small, large} {
			if err := h.Acquire(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		h.Release(small, Answered)
		if n := limitOf(h); n != 3 {
			t.Fatalf("limit %d, want the smaller one", n)
		}
		time.Sleep(2 * lease)
		if n := limitOf(h); n != 10 {
			t.Fatalf("limit %d after the smaller run has gone, want 10", n)
		}
		h.Release(large, Answered)
		time.Sleep(2 * lease)
		if n, c := limitOf(h), l.claimed(); n != 0 || c != 0 {
			t.Fatalf("idle: limit %d, %d claimed, want 0", n, c)
		}
		asked := l.requests()
		time.Sleep(10 * lease)
		if n := l.requests(); n != asked {
			t.Errorf("%d requests while idle", n-asked)
		}
		if err := h.Acquire(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		h.Release(large, Answered)
	})
}

func TestHolderPausesOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{granter: NewGranter(lease)}
		h, stop := start(t, "a", l.ask)
		defer stop()
		w, other := Want{Key: fast, Run: "run", Max: 10}, Want{Key: fast, Run: "other", Max: 10}
		begin := time.Now()
		h.PauseUntil(w, begin.Add(time.Minute))
		if err := h.Acquire(t.Context(), other); err != nil || time.Since(begin) != 0 {
			t.Fatalf("the other run waited %v, error %v", time.Since(begin), err)
		}
		if err := h.Acquire(t.Context(), w); err != nil || time.Since(begin) != time.Minute {
			t.Fatalf("the paused run waited %v, error %v", time.Since(begin), err)
		}
		h.Release(w, Answered)
		h.Release(other, Answered)
	})
}

func TestHolderGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{granter: NewGranter(lease), down: true}
		h, stop := start(t, "a", l.ask)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := h.Acquire(ctx, Want{Key: fast, Run: "run", Max: 10})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		stop()
		if n := limitOf(h); n != 0 {
			t.Errorf("limit %d after Run has returned", n)
		}
	})
}
