package runs_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/streams"
)

const runFile = `run: demo
families: [{id: credit, cached: false}]
feature_service: {url: "${FFF_TEST_URL}"}
`

// never is an interval that no test waits for.
const never = time.Hour

func open(b *brokertest.Broker) *runs.Bucket { return runs.Open(b.NC, b.JS) }

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bucket := open(b)
	if _, err := bucket.Get(t.Context(), "demo"); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("before it was written: %v", err)
	}
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	rec := &runs.Record{
		Run: "demo", Epoch: 3, Token: "0011aabb", State: runs.Running, RunFile: runFile, Hash: "h", Dataset: "/out/demo", Round: 1, SkipDone: true,
		Input: runs.Input{Sealed: true, LastSeq: 9, Records: 100, Hash: "x"}, Epochs: []runs.Epoch{{Epoch: 3, Hash: "h", OpenedAt: at}},
		Replayed: []string{"record\x00why"}, CreatedAt: at, StartedAt: at,
	}
	if err := bucket.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	got, err := bucket.Get(t.Context(), "demo")
	if err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("read %+v (%v), want %+v", got, err, rec)
	}
	if err := bucket.Delete(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Get(t.Context(), "demo"); !errors.Is(err, runs.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	rec.Revision = 0
	if err := bucket.Put(t.Context(), rec); err != nil {
		t.Errorf("written anew: %v", err)
	}
}

func TestOfTwoWritersOneHasToReadAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bucket := open(b)
	mine := &runs.Record{Run: "demo", State: runs.Created}
	if err := bucket.Put(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	theirs, err := bucket.Get(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	theirs.State = runs.Running
	if err := bucket.Put(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	mine.State = runs.Cancelled
	if err := bucket.Put(t.Context(), mine); !errors.Is(err, runs.ErrConflict) {
		t.Errorf("written over another's change: %v", err)
	}
	if err := bucket.Put(t.Context(), &runs.Record{Run: "demo"}); !errors.Is(err, runs.ErrConflict) {
		t.Errorf("made although it is there: %v", err)
	}
	theirs.State = runs.Draining
	if err := bucket.Put(t.Context(), theirs); err != nil {
		t.Errorf("written again with the revision of the last writing: %v", err)
	}
	if got, err := bucket.Get(t.Context(), "demo"); err != nil || got.State != runs.Draining {
		t.Errorf("read %+v (%v)", got, err)
	}
}

func TestListGivesTheRunsAlone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bucket := open(b)
	if all, err := bucket.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("an empty bucket lists %v (%v)", all, err)
	}
	for _, id := range []string{"two", "one"} {
		if err := bucket.Put(t.Context(), &runs.Record{Run: id}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bucket.SystemID(t.Context(), func() string { return "00000001" }); err != nil {
		t.Fatal(err)
	}
	all, err := bucket.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := names(all); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("listed %q", got)
	}
	b.Publish("$KV.FFF_RUNS.broken", []byte("{"))
	if _, err := bucket.List(t.Context()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("with a record that cannot be read: %v, want an error that names it", err)
	}
}

func names(all []*runs.Record) []string {
	var ids []string
	for _, r := range all {
		ids = append(ids, r.Run)
	}
	slices.Sort(ids)
	return ids
}

// follower gathers what Follow tells.
type follower struct {
	mu   sync.Mutex
	last []*runs.Record
	errs int
	told int
}

func follow(t *testing.T, bucket *runs.Bucket, interval time.Duration, now <-chan struct{}) *follower {
	t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- bucket.Follow(ctx, interval, now, func(all []*runs.Record, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.told++
			if err != nil {
				f.errs++
				return
			}
			f.last = all
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("following ended with %v", err)
		}
	})
	brokertest.Await(t, "it is told what there is", func() bool { return f.state().told > 0 })
	return f
}

type followed struct {
	told, errs int
	states     map[string]runs.State
}

func (f *follower) state() followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := followed{told: f.told, errs: f.errs, states: map[string]runs.State{}}
	for _, r := range f.last {
		s.states[r.Run] = r.State
	}
	return s
}

func TestFollowHearsOfChangesByHint(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	now := make(chan struct{})
	f := follow(t, open(b), never, now)
	rec := &runs.Record{Run: "demo", State: runs.Created}
	writer := b.Connect()
	put := func() {
		t.Helper()
		if err := runs.Open(writer.NC, writer.JS).Put(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	put()
	brokertest.Await(t, "the run is heard of", func() bool { return f.state().states["demo"] == runs.Created })
	rec.State = runs.Running
	put()
	brokertest.Await(t, "its change is heard of", func() bool { return f.state().states["demo"] == runs.Running })
	told := f.state().told
	now <- struct{}{}
	brokertest.Await(t, "it looks when asked to", func() bool { return f.state().told > told })
	if err := runs.Open(writer.NC, writer.JS).Delete(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "its end is heard of", func() bool { return len(f.state().states) == 0 })
}

func TestFollowLooksWithoutAHint(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	f := follow(t, open(b), 10*time.Millisecond, nil)
	b.Publish("$KV.FFF_RUNS.demo", []byte(`{"run":"demo","state":"running"}`)) // nobody hints
	brokertest.Await(t, "the run is found", func() bool { return f.state().states["demo"] == runs.Running })
}

func TestFollowSeesAStoreThatWasPutBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bucket := open(b)
	rec := &runs.Record{Run: "demo", State: runs.Running}
	if err := bucket.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	putBack := b.Snapshot()
	for range 10 { // revisions that the old store never had
		rec.State = runs.Completed
		if err := bucket.Put(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	c := b.Connect()
	f := follow(t, runs.Open(c.NC, c.JS), 20*time.Millisecond, nil)
	brokertest.Await(t, "the end is seen", func() bool { return f.state().states["demo"] == runs.Completed })
	putBack()
	brokertest.Await(t, "the old state is seen", func() bool { return f.state().states["demo"] == runs.Running })
	if err := bucket.Put(t.Context(), rec); !errors.Is(err, runs.ErrConflict) {
		t.Errorf("written with a revision of the lost store: %v", err)
	}
}

func TestAReadThatFailsIsTold(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	f := follow(t, open(b), 10*time.Millisecond, nil)
	if err := b.JS.DeleteStream(t.Context(), "KV_"+streams.RunsBucket); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "the error is told", func() bool { return f.state().errs > 0 })
}

func TestTheSystemHasOneID(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bucket := open(b)
	ids := make(chan string, 8)
	var all sync.WaitGroup
	for i := range cap(ids) {
		all.Go(func() {
			id, err := bucket.SystemID(t.Context(), func() string { return string('a'+rune(i)) + "0000000" })
			if err != nil {
				t.Error(err)
			}
			ids <- id
		})
	}
	all.Wait()
	first := <-ids
	for len(ids) > 0 {
		if id := <-ids; id != first {
			t.Errorf("two ids, %s and %s", id, first)
		}
	}
	b.Restart()
	if id, err := bucket.SystemID(t.Context(), func() string { return "another!" }); id != first || err != nil {
		t.Errorf("after a restart the id is %s (%v), it was %s", id, err, first)
	}
}

func TestTheRunFileIsExpandedWhenItIsUsed(t *testing.T) {
	rec := &runs.Record{Run: "demo", RunFile: runFile}
	if _, err := rec.File(); err == nil || !strings.Contains(err.Error(), "FFF_TEST_URL") {
		t.Errorf("without the variable: %v, want an error that names it", err)
	}
	t.Setenv("FFF_TEST_URL", "http://127.0.0.1:9/x")
	f, err := rec.File()
	if err != nil || f.FeatureService.URL != "http://127.0.0.1:9/x" {
		t.Errorf("expanded to %+v (%v)", f, err)
	}
}

func TestStatesAndIDs(t *testing.T) {
	for state, want := range map[runs.State][2]bool{ // ended, working
		runs.Created: {}, runs.WarmingUp: {}, runs.Running: {false, true}, runs.Draining: {false, true}, runs.Finalising: {},
		runs.Completed: {true, false}, runs.CompletedWithFailures: {true, false}, runs.Failed: {true, false}, runs.Cancelled: {true, false},
	} {
		if got := [2]bool{state.Ended(), state.Working()}; got != want {
			t.Errorf("%s: ended and working are %v, want %v", state, got, want)
		}
	}
	for id, want := range map[string]bool{
		"demo": true, "0": true, "a-1": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "Demo": false, "a.b": false, "a*": false, "_system": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if got := runs.ValidID(id); got != want {
			t.Errorf("%q names a run: %v, want %v", id, got, want)
		}
	}
}

// BenchmarkList reads all records, as every service does each second or two.
func BenchmarkList(b *testing.B) {
	bucket := open(brokertest.Start(b))
	if err := bucket.Put(b.Context(), &runs.Record{Run: "demo", State: runs.Running, RunFile: runFile}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if all, err := bucket.List(b.Context()); err != nil || len(all) != 1 {
			b.Fatal(len(all), err)
		}
	}
}
