package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

const serviceRun = `run: demo
families:
  - {id: f1, cached: false}
  - {id: f2, cached: false}
feature_service: {url: "http://127.0.0.1:8090/features"}
`

// startService starts an instance of ingest; stop ends it.
func startService(t *testing.T, b *brokertest.Broker, instance string, cfg Config) (stop func()) {
	t.Helper()
	s := New(cfg, service.Deps{Client: b.Connect(), Instance: instance, Metrics: runner.NewMetrics(prometheus.NewRegistry()), Log: zerolog.Nop(), Grace: 10 * time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = func() {
		if cancel(); ended == nil {
			return
		}
		if err := <-ended; err != nil {
			t.Errorf("ingest ended with %v", err)
		}
		ended = nil
	}
	t.Cleanup(stop)
	return stop
}

// requested gives the cells that reached the fast lane.
func requested(t *testing.T, b *brokertest.Broker) []string {
	t.Helper()
	var all []string
	for _, m := range b.Stored(streams.FSFast, "fff.fs-fast.demo") {
		block, err := work.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range block.Requests {
			all = append(all, fmt.Sprintf("%s@%d %s", r.UserID, r.EpochMS, strings.Join(r.Families, ",")))
		}
	}
	slices.Sort(all)
	return all
}

func publish(b *brokertest.Broker, records ...string) {
	b.Publish("fff.ingest.demo", batch(nil, 0, records...).Data)
}

func TestAnotherInstanceGoesOnWhereOneLeft(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.OpenRun("demo", 1, serviceRun)
	cfg := Config{Quota: 100, WriterQuota: 100}
	stop := startService(t, b, "first", cfg)
	publish(b, give(1, "f1"))
	brokertest.Await(t, "the first has sent it on", func() bool { return len(requested(t, b)) == 1 })
	stop()
	startService(t, b, "second", cfg)
	publish(b, give(1), give(2))
	want := []string{"u@1 f1", "u@1 f2", "u@2 f1,f2"}
	brokertest.Await(t, "the second has sent the rest", func() bool { return len(requested(t, b)) >= len(want) })
	if got := requested(t, b); !slices.Equal(got, want) {
		t.Errorf("requested %q, want %q", got, want)
	}
}

func TestARunIsHeldBackAtItsQuota(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.OpenRun("demo", 1, serviceRun)
	b.Publish("fff.fs-slow.demo", []byte("waiting"))
	startService(t, b, "first", Config{Quota: 1, WriterQuota: 1})
	publish(b, give(1))
	brokertest.Await(t, "the batch is in hand", func() bool {
		cons, err := b.JS.Consumer(t.Context(), streams.Ingest, "ingest-demo")
		return err == nil && cons.CachedInfo().NumAckPending == 1
	})
	if got := requested(t, b); len(got) != 0 {
		t.Errorf("requested %q over the quota", got)
	}
	flush := make(chan string, 100)
	unsubscribe, err := b.OnFlush(func(run string, _ uint64) { flush <- run })
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	b.Publish("fff.writer.demo", []byte("waiting"))
	if _, err := streams.PurgeSubject(t.Context(), b.JS, streams.FSSlow, "fff.fs-slow.demo"); err != nil {
		t.Fatal(err)
	}
	if run := <-flush; run != "demo" {
		t.Errorf("asked the writers to flush %q", run)
	}
	if _, err := streams.PurgeSubject(t.Context(), b.JS, streams.Writer, "fff.writer.demo"); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "the cells are requested", func() bool { return len(requested(t, b)) == 1 })
}

func TestTheDeskAsksTheRecordTheLeaderAndTheStream(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	d := &brokerDesk{c: b.Client, bucket: runs.Open(b.NC, b.JS)}
	run := testRun(t)
	held := func(err error) bool { return err != nil && failure.As(err).Action == failure.HoldOn }
	if _, err := d.Standing(t.Context(), run); !held(err) || !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("a run without a record: %v, want it asked again", err)
	}
	rec := &runs.Record{Run: "demo", Epoch: 1}
	b.PutRun(rec)
	if now, err := d.Standing(t.Context(), run); now != (Standing{}) || err != nil {
		t.Errorf("a new run stands at %+v (%v)", now, err)
	}
	requests := []work.Request{{UserID: "u", EpochMS: 1, Families: []string{"c1", "s1", "a1"}}, {UserID: "u", EpochMS: 2, Families: []string{"f1"}}}

	rec.SkipDone, rec.Input = true, runs.Input{Sealed: true, LastSeq: 3}
	b.PutRun(rec)
	if now, err := d.Standing(t.Context(), run); now != (Standing{Sealed: true, LastSeq: 3, SomeDone: true}) || err != nil {
		t.Errorf("it stands at %+v (%v)", now, err)
	}
	if _, err := d.Undone(t.Context(), run, requests); !held(err) || !errors.Is(err, desk.ErrNobody) {
		t.Errorf("without a leader: %v, want it asked again", err)
	}
	stop, err := desk.ServeDone(b.Client, func(_ string, _ uint64, keys []sample.Key) ([][]uint64, error) {
		if !slices.Equal(keys, []sample.Key{requests[0].Key(), requests[1].Key()}) {
			t.Errorf("asked about %v", keys)
		}
		return [][]uint64{{1<<0 | 1<<6}, {1 << 2}}, nil // c1 and a1; f1
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	got, err := d.Undone(t.Context(), run, requests)
	if err != nil || len(got) != 1 || got[0].EpochMS != 1 || !slices.Equal(got[0].Families, []string{"s1"}) {
		t.Errorf("undone are %+v (%v), want s1 of the first sample", got, err)
	}

	for i := range 4 { // sequences 2, 4, 6, 8 are the run's
		b.Publish("fff.ingest.other", nil)
		b.Publish("fff.ingest.demo", fmt.Append(nil, i))
	}
	for _, tc := range []struct {
		after, before uint64
		want          []uint64
	}{{0, 2, nil}, {0, 8, []uint64{2, 4, 6}}, {2, 8, []uint64{4, 6}}, {4, 6, nil}, {8, 20, nil}} {
		var got []uint64
		if err := d.History(t.Context(), run, tc.after, tc.before, func(m *stage.Message) { got = append(got, m.Sequence) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("between %d and %d stand %v, want %v", tc.after, tc.before, got, tc.want)
		}
	}
}
