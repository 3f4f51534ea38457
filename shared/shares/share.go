package shares

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A lease is renewed after a third of it; an attempt that gets no answer is given up
// after a sixth; when a share is on its way from one instance to another the leader is
// asked again after a fifteenth. So it is after errors, but sooner after the first ones:
// a leader may just be starting.
const (
	renewals   = 3
	timeouts   = 6
	soon       = 15
	firstRetry = 20 * time.Millisecond
)

// share is what a process holds of one key.
type share struct {
	key      Key
	instance string
	ask      Ask
	limiter  Limiter
	changed  chan struct{} // says that what the runs want has changed

	mu      sync.Mutex
	wants   map[string]*want // by run
	seq     uint64
	held    bool // the leader may have a claim of ours
	lease   time.Duration
	expires time.Time
	expiry  *time.Timer
	err     error
	errs    int // in a row
}

// want is what one run wants of the share.
type want struct {
	max       int
	users     int       // requests that hold a slot or wait for one
	idleSince time.Time // when users became 0
}

func newShare(key Key, instance string, ask Ask) *share {
	return &share{
		key:      key,
		instance: instance,
		ask:      ask,
		changed:  make(chan struct{}, 1),
		wants:    make(map[string]*want),
		lease:    DefaultLease,
	}
}

// join counts one more request of a run that wants a slot.
func (s *share) join(w Want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.wants[w.Run]
	if !ok {
		have = &want{}
		s.wants[w.Run] = have
	}
	have.users++
	if !ok || have.max != w.Max {
		have.max = w.Max
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// part counts one request less.
func (s *share) part(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wants[run]
	w.users--
	if w.users == 0 {
		w.idleSince = time.Now()
	}
}

// keep renews the share until ctx ends.
func (s *share) keep(ctx context.Context) {
	for {
		var again <-chan time.Time
		if wait, wanted := s.renew(ctx); wanted {
			again = time.After(wait)
		}
		select {
		case <-again:
		case <-s.changed:
		case <-ctx.Done():
			s.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// renew asks the leader once, and tells when to ask again. It is not wanted when no
// run wants anything.
func (s *share) renew(ctx context.Context) (wait time.Duration, wanted bool) {
	r, lease, wanted := s.request()
	if !wanted {
		s.leave(ctx)
		return 0, false
	}
	sent := time.Now()
	asking, cancel := context.WithTimeout(ctx, lease/timeouts)
	grant, err := s.ask(asking, r)
	cancel()

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = fmt.Errorf("ask the leader for a share of the %s lane: %w", s.key.Lane, err)
		s.errs++
		return min(lease/soon, firstRetry<<min(s.errs-1, 16)), true
	}
	s.err, s.errs = nil, 0
	s.lease = max(grant.Lease(), time.Millisecond)
	s.obey(grant.Limit, sent.Add(grant.Lease()))
	switch {
	case grant.Limit < r.Limit:
		return 0, true // tell the leader that the cut is obeyed
	case grant.Short, r.InUse > grant.Limit:
		return min(s.lease/soon, grant.Again()), true
	default:
		return grant.Again(), true
	}
}

// request makes the next request to the leader, and forgets the runs that have wanted
// nothing for a lease.
func (s *share) request() (r Request, lease time.Duration, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, smallest, auto := time.Now(), 0, false
	for run, w := range s.wants {
		if w.users == 0 && now.Sub(w.idleSince) >= s.lease {
			delete(s.wants, run)
			continue
		}
		wanted = true
		switch {
		case w.max == 0:
			auto = true
		case smallest == 0 || w.max < smallest:
			smallest = w.max
		}
	}
	if !wanted {
		return Request{}, s.lease, false
	}
	s.seq++
	s.held = true
	return Request{
		Key: s.key, Instance: s.instance, Seq: s.seq, Max: smallest, Auto: auto,
		Limit: s.limiter.Limit(), InUse: s.limiter.InUse(), Usage: s.limiter.Usage(),
	}, s.lease, true
}

// obey sets the limit for as long as the lease lasts. The caller holds the lock.
func (s *share) obey(limit int, expires time.Time) {
	s.expires = expires
	left := time.Until(expires)
	if left <= 0 {
		s.limiter.SetLimit(0)
		return
	}
	s.limiter.SetLimit(limit)
	if s.expiry == nil {
		s.expiry = time.AfterFunc(left, s.expire)
	} else {
		s.expiry.Reset(left)
	}
}

// expire holds new requests when the lease has ended.
func (s *share) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !time.Now().Before(s.expires) {
		s.limiter.SetLimit(0)
	}
}

// leave gives the share back. If the leader does not hear of it, the lease ends.
func (s *share) leave(ctx context.Context) {
	s.mu.Lock()
	s.limiter.SetLimit(0)
	if s.expiry != nil {
		s.expiry.Stop()
	}
	held := s.held
	s.held = false
	s.seq++
	r := Request{Key: s.key, Instance: s.instance, Seq: s.seq, InUse: s.limiter.InUse(), Leaving: true}
	lease := s.lease
	s.mu.Unlock()
	if !held {
		return
	}
	asking, cancel := context.WithTimeout(ctx, lease/timeouts)
	defer cancel()
	_, err := s.ask(asking, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *share) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{
		Key: s.key, Limit: s.limiter.Limit(), InUse: s.limiter.InUse(),
		Waiting: s.limiter.Waiting(), Err: s.err,
	}
}
