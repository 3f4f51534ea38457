package allinone_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// A small run that comes when a large one has filled its queues, on the same tables and the
// same feature service with few slots, ends long before it: what the large one has done by
// then tells, not a clock. And the large one never has more in its queues than its quota lets
// through.
func TestASmallRunDoesNotWaitForALargeOne(t *testing.T) {
	const quota = 8 // messages
	t.Setenv("FFF_INGEST_QUOTA", fmt.Sprint(quota))
	s := startOn(t, job{}, t.TempDir(), t.TempDir())
	var ofLarge atomic.Int64
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if strings.HasPrefix(q.UserID, "large") {
			ofLarge.Add(1)
			return featureservice.Fault{Delay: 25 * time.Millisecond}
		}
		return featureservice.Fault{}
	}})
	few := "max_in_flight: 6"
	large, small := s.open(job{run: "large", lanes: few}), s.open(job{run: "small", lanes: few})
	many := manyOf("large", 2000)
	large.publish(many)
	s.await("a queue of the large run is full", func() bool { return large.queued(stage.FSSlow) >= quota })

	small.submit(usual())
	most := map[stage.Name]uint64{}
	s.await("the small run ends", func() bool {
		for _, st := range []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow} {
			most[st] = max(most[st], large.queued(st))
		}
		return small.status().TornDown()
	})
	before := ofLarge.Load()
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if strings.HasPrefix(q.UserID, "large") {
			ofLarge.Add(1)
		}
		return featureservice.Fault{}
	}})
	small.ends(control.Completed)
	small.isExact()
	large.close(len(many))
	large.ends(control.Completed)
	large.isExact()
	if all := ofLarge.Load(); before > all/2 {
		t.Errorf("the large run had sent %d of its %d requests when the small one ended", before, all)
	}
	// What is released as a queue gets full fans out downstream: a block of 100 samples makes
	// up to 13 messages of misses.
	for st, n := range most {
		if n > 5*quota {
			t.Errorf("the large run had up to %d messages in the queue of %s; its quota is %d", n, st, quota)
		}
	}
}

// manyOf gives records of so many users.
func manyOf(prefix string, n int) []record.Record {
	records := make([]record.Record, n)
	for i := range records {
		records[i] = record.Record{UserID: fmt.Sprintf("%s%05d", prefix, i), EpochMS: firstMS + int64(i)*3_600_000}
	}
	return records
}

// queued counts the run's messages in the queue of a stage, those in hand included.
func (r *run) queued(st stage.Name) uint64 {
	r.t.Helper()
	n, err := streams.Count(r.t.Context(), r.js, streams.Of(st), streams.Subject(st, r.id))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// Runs whose feature services are dead, one refusing and one silent, are no concern of
// others: neither of a run that begins and ends meanwhile, nor of one that is under way when
// the stuck one is cancelled. Of that one nothing stays behind.
func TestARunOnADeadFeatureServiceIsStuckAlone(t *testing.T) {
	s := start(t, job{})
	var hanging atomic.Int64
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		hanging.Add(1)
		defer hanging.Add(-1)
		_, _ = io.Copy(io.Discard, q.Body) // only then is it seen that the client goes away
		<-q.Context().Done()
	}))
	t.Cleanup(func() { silent.CloseClientConnections(); silent.Close() })
	refused := httptest.NewServer(http.NotFoundHandler())
	refused.Close()

	stuck := s.open(job{run: "stuck", url: silent.URL, lanes: "max_in_flight: 16"})
	refusing := s.open(job{run: "refusing", url: refused.URL, lanes: "max_attempts: 100"})
	stuck.submit(usual())
	refusing.submit(usual())
	s.await("requests hang in both lanes", func() bool { return hanging.Load() == 2*16 })

	during, across := s.open(job{run: "during"}), s.open(job{run: "across"})
	across.publish(recordsOf("before"))
	during.submit(usual())
	during.ends(control.Completed)
	during.isExact()
	for _, r := range []*run{stuck, refusing} {
		if st := r.status(); st.Ended() {
			t.Errorf("run %s is %s: %s", r.id, st.State, st.Reason)
		}
		if err := s.control.Cancel(t.Context(), r.id); err != nil {
			t.Fatal(err)
		}
		r.ends(control.Cancelled)
		r.leavesNothing()
	}
	s.await("no request hangs", func() bool { return hanging.Load() == 0 })

	across.publish(recordsOf("after"))
	across.close(2 * users)
	across.ends(control.Completed)
	across.isExact()
	across.leavesNothing()
}

// leavesNothing checks that an ended run has no consumer, no message and no lease any more.
func (r *run) leavesNothing() {
	r.t.Helper()
	for _, st := range []stage.Name{stage.Ingest, stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer} {
		if _, err := r.js.Consumer(r.t.Context(), streams.Of(st), streams.ConsumerName(st, r.id)); !errors.Is(err, jetstream.ErrConsumerNotFound) {
			r.t.Errorf("the consumer of %s for run %s: %v, want none", st, r.id, err)
		}
		if n := r.queued(st); n != 0 {
			r.t.Errorf("run %s has left %d messages in the queue of %s", r.id, n, st)
		}
	}
	leases, err := r.js.KeyValue(r.t.Context(), streams.LeasesBucket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.await("nobody holds a lease on run "+r.id, func() bool {
		keys, err := leases.Keys(r.t.Context())
		if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
			r.t.Fatal(err)
		}
		for _, k := range keys {
			if strings.HasSuffix(k, "."+r.id) {
				return false
			}
		}
		return true
	})
}
