package writer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// leaderLog is a commit log that the test appends to.
type leaderLog struct {
	t   testing.TB
	log *commits.Log
}

func newLeaderLog(t testing.TB, b *brokertest.Broker) *leaderLog {
	noBase := func(*commitlog.Entry) ([]commitlog.File, error) { return nil, nil }
	l := &leaderLog{t, commits.New(b.Connect(), "demo", noBase)}
	l.append(commitlog.Entry{Type: commitlog.Open, Epoch: 1})
	return l
}

func (l *leaderLog) append(e commitlog.Entry) {
	l.t.Helper()
	l.log.View(func(s *commitlog.State) { e.Prev = s.Last })
	if err := l.log.Append(l.t.Context(), &e); err != nil {
		l.t.Fatal(err)
	}
}

func (l *leaderLog) commit(part string) {
	l.t.Helper()
	l.append(commitlog.Entry{Type: commitlog.Commit, Epoch: 1, Part: part, Files: []commitlog.File{{Family: "a", Name: part}}})
}

type answer struct {
	outcome commitlog.Outcome
	entry   *commitlog.Entry
	err     error
}

// A part goes onto the queue; the verdict is read in the log, by however many wait for it.
func TestVerdictsAreReadInTheLog(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := newLeaderLog(t, b)
	c := &logCommitter{ctx: t.Context(), c: b.Connect(), log: zerolog.Nop(), logs: map[string]*followed{}}
	run := &stage.Run{ID: "demo", Epoch: 1}
	parts := map[string]commitlog.Entry{
		"p1": {Type: commitlog.Commit, Files: []commitlog.File{{Family: "a", Name: "p1"}}},
		"p2": {Type: commitlog.Reject, Rejected: map[string][]byte{"a": commitlog.PackBitmap([]uint64{1})}},
		"p3": {Type: commitlog.Void, Reason: "the test"},
	}
	answers := map[string]chan answer{}
	for part := range parts {
		ch := make(chan answer, 1)
		answers[part] = ch
		go func() {
			o, e, err := c.Commit(t.Context(), run, &commitlog.Staged{Epoch: 1, Part: part, Files: []commitlog.File{{Family: "a", Name: part}}})
			ch <- answer{o, e, err}
		}()
	}
	brokertest.Await(t, "the parts are handed over", func() bool { return b.Count(streams.Parts, streams.Subject(stage.Parts, "demo")) == len(parts) })
	want := map[string]commitlog.Outcome{"p1": commitlog.Committed, "p2": commitlog.Rejected, "p3": commitlog.Voided}
	for part, e := range parts {
		e.Epoch, e.Part = 1, part
		l.append(e)
		got := <-answers[part]
		if got.err != nil || got.outcome != want[part] || got.entry.Part != part {
			t.Errorf("%s: %+v, want %s", part, got, want[part])
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.logs["demo"]; f.users != 0 || f.stop != nil {
		t.Error("the log is followed though nobody waits")
	}
}

// What a part has to read of the log does not grow with the parts before it.
func TestALogIsReadOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := newLeaderLog(t, b)
	const before = 50
	for i := range before {
		l.commit(fmt.Sprintf("before-%d", i))
	}
	l.commit("first")
	c := &logCommitter{ctx: t.Context(), c: b.Connect(), log: zerolog.Nop(), logs: map[string]*followed{}}
	handOver := func(part string) {
		o, _, err := c.Commit(t.Context(), &stage.Run{ID: "demo", Epoch: 1}, &commitlog.Staged{Epoch: 1, Part: part, Files: []commitlog.File{{Family: "a", Name: part}}})
		if o != commitlog.Committed || err != nil {
			t.Fatalf("part %s is %q, %v", part, o, err)
		}
	}
	var reads atomic.Int32
	client := b.Connect()
	if _, err := client.NC.Subscribe("$JS.API.STREAM.MSG.GET."+streams.Commits, func(*nats.Msg) { reads.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := client.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	handOver("first")
	brokertest.Await(t, "the log is read", func() bool { return reads.Load() > before })
	l.commit("second") // reads, too: it is the leader's own log that goes on
	reads.Store(0)
	handOver("second")
	if n := reads.Load(); n >= before {
		t.Errorf("the second part took %d reads of the log", n)
	}
}

// BenchmarkVerdicts hands a run of 400,000 samples over, part by part.
func BenchmarkVerdicts(b *testing.B) {
	broker := brokertest.Start(b)
	l := newLeaderLog(b, broker)
	files := make([]commitlog.File, 50)
	for i := range files {
		files[i] = commitlog.File{Family: fmt.Sprintf("family-%02d", i), Name: fmt.Sprintf("part-%02d.parquet", i)}
	}
	c := &logCommitter{ctx: b.Context(), c: broker.Connect(), log: zerolog.Nop(), logs: map[string]*followed{}}
	part := 0
	for b.Loop() {
		for range 200 {
			part++
			name := fmt.Sprintf("part-%d", part)
			l.append(commitlog.Entry{Type: commitlog.Commit, Epoch: 1, Part: name, Files: files})
			if o, _, err := c.Commit(b.Context(), &stage.Run{ID: "demo", Epoch: 1}, &commitlog.Staged{Epoch: 1, Part: name, Files: files}); o != commitlog.Committed || err != nil {
				b.Fatalf("part %s is %q, %v", name, o, err)
			}
		}
	}
}

// A verdict that stood before the part was handed over again is found.
func TestVerdictThatStands(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := newLeaderLog(t, b)
	l.append(commitlog.Entry{Type: commitlog.Commit, Epoch: 1, Part: "p", Files: []commitlog.File{{Family: "a", Name: "p"}}})
	l.append(commitlog.Entry{Type: commitlog.Seal, Epoch: 1})
	c := &logCommitter{ctx: t.Context(), c: b.Connect(), log: zerolog.Nop(), logs: map[string]*followed{}}
	o, _, err := c.Commit(t.Context(), &stage.Run{ID: "demo", Epoch: 1}, &commitlog.Staged{Epoch: 1, Part: "p", Files: []commitlog.File{{Family: "a", Name: "p"}}})
	if o != commitlog.Committed || err != nil {
		t.Errorf("the part is %q, %v", o, err)
	}
}

func TestNobodyDecides(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	newLeaderLog(t, b)
	c := &logCommitter{ctx: t.Context(), c: b.Connect(), log: zerolog.Nop(), logs: map[string]*followed{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Commit(ctx, &stage.Run{ID: "demo", Epoch: 1}, &commitlog.Staged{Epoch: 1, Part: "p", Files: []commitlog.File{{Family: "a", Name: "p"}}})
		done <- err
	}()
	brokertest.Await(t, "the part is handed over", func() bool { return b.Count(streams.Parts, streams.Subject(stage.Parts, "demo")) == 1 })
	cancel()
	if err := <-done; err == nil {
		t.Error("a part that nobody decided on is done")
	}
}
