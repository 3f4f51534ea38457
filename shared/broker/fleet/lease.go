// Package fleet lets the instances know of each other: leases, heartbeats, and their
// registration with NATS micro.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/streams"
)

// LeaseTTL is how long a lease lasts that is not renewed.
const LeaseTTL = 6 * time.Second

// Lease is a name in FFF_LEASES that one instance holds at a time.
//
// It is no exclusion: a holder that was stopped and woken believes in it for a moment.
// What it guards must refuse a stale holder by itself, as the commit log does.
type Lease struct {
	c        *broker.Client
	name     string
	holder   string
	revision uint64
	held     atomic.Bool
}

// NewLease gives the lease with a name for a holder; it does not take it.
func NewLease(c *broker.Client, name, holder string) *Lease {
	return &Lease{c: c, name: name, holder: holder}
}

// Held tells whether the lease was held when last looked at.
func (l *Lease) Held() bool { return l.held.Load() }

func (l *Lease) subject() string { return "$KV." + streams.LeasesBucket + "." + l.name }

// Keep takes the lease when it is free and renews it until ctx ends, then gives it back.
// While it is held, fn runs with a context that ends with the lease; when fn returns, the
// lease is given back and taken again later. When ctx ends, the lease is kept until fn has
// returned.
func (l *Lease) Keep(ctx context.Context, fn func(context.Context)) {
	for ctx.Err() == nil {
		if l.take(ctx) {
			l.hold(ctx, fn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(LeaseTTL / 6):
		}
	}
}

// trust is how long the lease is believed in after it was renewed: it must be over before
// somebody else can take it.
const trust = LeaseTTL * 3 / 4

func (l *Lease) hold(ctx context.Context, fn func(context.Context)) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.held.Store(true)
	defer l.held.Store(false)
	done := make(chan struct{})
	go func() { defer close(done); fn(work) }()
	end := time.Now().Add(trust)
	next := time.NewTimer(LeaseTTL / 4)
	defer next.Stop()
	for {
		select {
		case <-done:
			l.release()
			return
		case <-next.C:
		}
		try, stop := context.WithDeadline(context.WithoutCancel(ctx), end)
		began := time.Now()
		err := l.renew(try)
		stop()
		switch {
		case err == nil:
			end = began.Add(trust)
			next.Reset(LeaseTTL / 4)
		case errors.Is(err, errTaken) || !time.Now().Before(end):
			cancel(fmt.Errorf("lease %s was lost: %w", l.name, err))
			<-done
			return
		default:
			next.Reset(LeaseTTL / 12)
		}
	}
}

var errTaken = errors.New("somebody else holds it")

func (l *Lease) take(ctx context.Context) bool {
	st, err := l.c.JS.Stream(ctx, "KV_"+streams.LeasesBucket)
	if err != nil {
		return false
	}
	last, err := st.GetLastMsgForSubject(ctx, l.subject())
	expect := uint64(0)
	switch {
	case err == nil && len(last.Data) > 0:
		return false // held; it expires by itself
	case err == nil:
		expect = last.Sequence // the marker of an expired lease
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return false
	}
	l.revision = expect
	return l.renew(ctx) == nil
}

func (l *Lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, LeaseTTL/3)
	defer cancel()
	ack, err := l.c.JS.PublishMsg(ctx, &nats.Msg{Subject: l.subject(), Data: []byte(l.holder)},
		jetstream.WithExpectLastSequencePerSubject(l.revision), jetstream.WithMsgTTL(LeaseTTL), jetstream.WithRetryAttempts(0))
	if err == nil {
		l.revision = ack.Sequence
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return l.settle(ctx)
	}
	return err
}

// settle looks whether a renewal whose answer was lost went through after all.
func (l *Lease) settle(ctx context.Context) error {
	st, err := l.c.JS.Stream(ctx, "KV_"+streams.LeasesBucket)
	if err != nil {
		return err
	}
	last, err := st.GetLastMsgForSubject(ctx, l.subject())
	if err == nil && string(last.Data) == l.holder {
		l.revision = last.Sequence
		return nil
	}
	return errTaken
}

// release gives the lease back, so that another instance need not wait for its end.
func (l *Lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	st, err := l.c.JS.Stream(ctx, "KV_"+streams.LeasesBucket)
	if err != nil {
		return // it expires by itself
	}
	if last, err := st.GetLastMsgForSubject(ctx, l.subject()); err == nil && last.Sequence == l.revision {
		_ = st.Purge(ctx, jetstream.WithPurgeSubject(l.subject()), jetstream.WithPurgeSequence(l.revision+1))
	}
}
