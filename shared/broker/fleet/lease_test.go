package fleet_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/streams"
)

const (
	bucket  = "KV_" + streams.LeasesBucket
	subject = "$KV." + streams.LeasesBucket + ".leader"
)

// holder keeps the lease "leader" in the background.
type holder struct {
	*fleet.Lease
	cancel context.CancelFunc
	ended  chan struct{}
	lost   chan error    // why the work was ended, each time
	leave  chan struct{} // lets the work return by itself
}

// keep starts to keep the lease.
func keep(t *testing.T, c *broker.Client, name string) *holder {
	t.Helper()
	h := &holder{Lease: fleet.NewLease(c, "leader", name), ended: make(chan struct{}), lost: make(chan error, 10), leave: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	h.cancel = cancel
	go func() {
		defer close(h.ended)
		h.Keep(ctx, func(ctx context.Context) {
			select {
			case <-ctx.Done():
				h.lost <- context.Cause(ctx)
			case <-h.leave:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-h.ended })
	return h
}

// renewals gives a number that grows with each message of the lease.
func renewals(t *testing.T, b *brokertest.Broker) uint64 {
	t.Helper()
	n, err := streams.LastSequence(t.Context(), b.JS, bucket, subject)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOneHoldsTheLeaseAtATime(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first := keep(t, b.Connect(), "first")
	brokertest.Await(t, "the first holds it", first.Held)
	second := keep(t, b.Connect(), "second")
	from := renewals(t, b)
	brokertest.Await(t, "the first has renewed it", func() bool { return renewals(t, b) >= from+2 })
	if second.Held() || !first.Held() {
		t.Error("the second took a lease that is renewed")
	}
	first.cancel()
	<-first.ended
	if first.Held() {
		t.Error("the first believes in a lease that it has given back")
	}
	brokertest.Await(t, "the second holds it", second.Held)
}

func TestALeaseGivenBackIsFree(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := keep(t, b.Connect(), "only")
	brokertest.Await(t, "it is held", h.Held)
	h.cancel()
	<-h.ended
	if n := b.Count(bucket, subject); n != 0 {
		t.Errorf("%d messages are left of a lease that was given back", n)
	}
}

func TestTheLeaseIsKeptUntilTheWorkHasReturned(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := fleet.NewLease(b.Connect(), "leader", "draining")
	ctx, cancel := context.WithCancel(t.Context())
	ended, finish := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		l.Keep(ctx, func(context.Context) { <-finish })
	}()
	brokertest.Await(t, "it is held", l.Held)
	cancel()
	from := renewals(t, b)
	brokertest.Await(t, "it is renewed while the work is finished", func() bool { return renewals(t, b) >= from+2 })
	close(finish)
	<-ended
	if n := b.Count(bucket, subject); n != 0 {
		t.Errorf("%d messages are left of a lease that was given back", n)
	}
}

func TestADeadHoldersLeaseIsTakenOver(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	dying := b.Connect()
	first := keep(t, dying, "first")
	brokertest.Await(t, "the first holds it", first.Held)
	dying.NC.Close()
	if cause := <-first.lost; !strings.Contains(cause.Error(), "lease leader was lost") {
		t.Errorf("the work of the dead was ended because %v", cause)
	}
	// The lease expires on the broker, whose marker stands in its place for a second.
	second := keep(t, b.Connect(), "second")
	brokertest.Await(t, "the second holds it", second.Held)
	from := renewals(t, b)
	brokertest.Await(t, "the second renews it", func() bool { return renewals(t, b) > from })
}

func TestALeaseThatSomebodyElseHasIsLost(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := keep(t, b.Connect(), "first")
	brokertest.Await(t, "it is held", h.Held)
	b.Publish(subject, []byte("somebody else"))
	if cause := <-h.lost; !strings.Contains(cause.Error(), "somebody else holds it") {
		t.Errorf("the work was ended because %v", cause)
	}
	brokertest.Await(t, "it is not believed in any more", func() bool { return !h.Held() })
}

func TestARenewalWhoseAnswerWasLostIsOurs(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := keep(t, b.Connect(), "first")
	brokertest.Await(t, "it is held", h.Held)
	b.Publish(subject, []byte("first")) // stored, as a renewal of the holder's that it never heard of
	from := renewals(t, b)
	brokertest.Await(t, "it is renewed further", func() bool { return renewals(t, b) >= from+2 })
	select {
	case cause := <-h.lost:
		t.Errorf("the work was ended because %v", cause)
	default:
	}
}

func TestALeaseIsTakenAgainAfterTheWorkReturned(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := keep(t, b.Connect(), "only")
	brokertest.Await(t, "it is held", h.Held)
	h.leave <- struct{}{}
	h.leave <- struct{}{} // taken a second time
}

func TestALeaseIsFoundFreeAfterTheStoreWasPutBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	putBack := b.Snapshot()
	h := keep(t, b.Connect(), "first")
	brokertest.Await(t, "it is held", h.Held)
	putBack()
	if cause := <-h.lost; !strings.Contains(cause.Error(), "was lost") {
		t.Errorf("the work was ended because %v", cause)
	}
	brokertest.Await(t, "it is held again", h.Held)
}
