package commits_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/streams"
)

const run = "demo"

func noBase(*commitlog.Entry) ([]commitlog.File, error) { return nil, nil }

// last gives the entry that the log is known to end with.
func last(l *commits.Log) (id string) {
	l.View(func(s *commitlog.State) { id = s.Last })
	return id
}

// appendTo appends an entry on the ground of what the log knows.
func appendTo(ctx context.Context, l *commits.Log, e commitlog.Entry) error {
	e.Prev = last(l)
	return l.Append(ctx, &e)
}

func open(epoch uint64) commitlog.Entry {
	return commitlog.Entry{Type: commitlog.Open, Epoch: epoch, Token: "t"}
}

func commit(part string) commitlog.Entry {
	return commitlog.Entry{Type: commitlog.Commit, Epoch: 1, Part: part, Files: []commitlog.File{{Family: "f", Name: part}}}
}

func live(t *testing.T, l *commits.Log) (names []string) {
	t.Helper()
	if err := l.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.View(func(s *commitlog.State) {
		for _, f := range s.Files() {
			names = append(names, f.Name)
		}
	})
	return names
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Of two leaders the one that has decided on an older state appends nothing, not even when
// it has read on meanwhile.
func TestTwoLeaders(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	one, two := commits.New(b.Client, run, noBase), commits.New(b.Connect(), run, noBase)
	must(t, appendTo(t.Context(), one, open(1)))
	must(t, two.CatchUp(t.Context()))
	stale := commit("p1")
	stale.Prev = last(one)
	must(t, appendTo(t.Context(), two, commit("p2")))
	if err := one.Append(t.Context(), &stale); !errors.Is(err, commits.ErrConflict) {
		t.Fatalf("an append that was decided before another one: %v", err)
	}
	if got := live(t, one); !slices.Equal(got, []string{"p2"}) { // it has read on
		t.Fatalf("live are %v", got)
	}
	if err := one.Append(t.Context(), &stale); !errors.Is(err, commits.ErrConflict) {
		t.Errorf("an append that was decided on what was read before: %v", err)
	}
	must(t, appendTo(t.Context(), one, commit("p1")))
	if got := live(t, two); !slices.Equal(got, []string{"p1", "p2"}) {
		t.Errorf("live are %v", got)
	}
}

func TestRefusedEntries(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := commits.New(b.Client, run, noBase)
	var refused *commits.RefusedError
	if err := appendTo(t.Context(), l, commit("p")); !errors.As(err, &refused) {
		t.Errorf("a commit without an epoch: %v", err)
	}
	must(t, appendTo(t.Context(), l, open(1)))
	must(t, appendTo(t.Context(), l, commit("p")))
	if err := appendTo(t.Context(), l, commit("p")); !errors.As(err, &refused) {
		t.Errorf("a part committed twice: %v", err)
	}
	if n := b.Count(streams.Commits, streams.CommitsSubject(run)); n != 2 {
		t.Errorf("%d entries stand in the log, want 2", n)
	}
}

// What the broker will not take is told at once, not tried for ever; what it takes is
// appended after it.
func TestEntriesThatTheBrokerWillNotTake(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := commits.New(b.Client, run, noBase)
	must(t, appendTo(t.Context(), l, open(1)))
	large := commit("p1")
	large.Reason = strings.Repeat("x", broker.MaxPayload)
	if err := appendTo(t.Context(), l, large); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("an entry that is larger than a message: %v, want %v", err, broker.ErrTooLarge)
	}
	st, err := b.Client.JS.Stream(t.Context(), streams.Commits)
	must(t, err)
	cfg := st.CachedInfo().Config
	cfg.MaxBytes, cfg.Discard = 1<<10, jetstream.DiscardNew
	_, err = b.Client.JS.UpdateStream(t.Context(), cfg)
	must(t, err)
	large.Reason = strings.Repeat("x", 2<<10)
	if err := appendTo(t.Context(), l, large); err == nil || !strings.Contains(err.Error(), streams.Commits+" takes no more") {
		t.Errorf("an entry for which the stream has no room: %v", err)
	}
	must(t, appendTo(t.Context(), l, commit("p2")))
	if got := live(t, l); !slices.Equal(got, []string{"p2"}) {
		t.Errorf("live are %v", got)
	}
}

// What others write to the subject is passed over, and does not keep the leader from
// appending.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := commits.New(b.Client, run, noBase)
	b.Publish(streams.CommitsSubject(run), []byte("what is this?"))
	must(t, l.CatchUp(t.Context()))
	must(t, appendTo(t.Context(), l, open(1)))
	b.Publish(streams.CommitsSubject(run), []byte(`{"id":"x","prev":"y","type":"seal","epoch":1}`)) // by its prev not of this log
	must(t, l.CatchUp(t.Context()))
	must(t, l.CatchUp(t.Context()))
	must(t, appendTo(t.Context(), l, commit("p")))
	if got := live(t, commits.New(b.Client, run, noBase)); !slices.Equal(got, []string{"p"}) || l.Rollbacks() != 0 {
		t.Errorf("live are %v, rollbacks %d", got, l.Rollbacks())
	}
}

// The store is put back to an earlier copy: what is known of the log is forgotten, also if
// another log has grown to the same length meanwhile.
func TestStorePutBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := commits.New(b.Client, run, noBase)
	must(t, appendTo(t.Context(), l, open(1)))
	must(t, appendTo(t.Context(), l, commit("p1")))
	putBack := b.Snapshot()
	must(t, appendTo(t.Context(), l, commit("p2")))
	stale := commit("p3")
	stale.Prev = last(l)
	putBack()
	other := commits.New(b.Connect(), run, noBase)
	must(t, other.CatchUp(t.Context()))
	must(t, appendTo(t.Context(), other, commit("q2")))
	// The broker takes it: the sequence is the one expected. Its prev makes it void.
	var refused *commits.RefusedError
	if err := l.Append(t.Context(), &stale); !errors.As(err, &refused) {
		t.Errorf("an append to a log that was put back: %v", err)
	}
	if got := live(t, l); !slices.Equal(got, []string{"p1", "q2"}) || l.Rollbacks() != 1 {
		t.Errorf("live are %v, rollbacks %d", got, l.Rollbacks())
	}
	must(t, appendTo(t.Context(), l, commit("p4")))
	if got := live(t, other); !slices.Equal(got, []string{"p1", "p4", "q2"}) {
		t.Errorf("live are %v", got)
	}
}

// deafness makes connections on which, while it is on, nothing comes in.
type deafness struct {
	on    atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func (d *deafness) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, c)
	return &deafConn{c, d}, nil
}

// cut ends the connections that there are.
func (d *deafness) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}

type deafConn struct {
	net.Conn
	d *deafness
}

func (c *deafConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.d.on.Load() {
			return n, err
		}
	}
}

// The answer to an append is lost. The entry is found by reading on, and stands once.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	d := &deafness{}
	l := commits.New(b.Connect(nats.SetCustomDialer(d)), run, noBase)
	must(t, appendTo(t.Context(), l, open(1)))
	d.on.Store(true)
	done := make(chan error, 1)
	go func() { done <- appendTo(t.Context(), l, commit("p")) }()
	subject := streams.CommitsSubject(run)
	brokertest.Await(t, "the entry is stored", func() bool { return b.Count(streams.Commits, subject) == 2 })
	d.on.Store(false)
	d.cut()
	must(t, <-done)
	must(t, appendTo(t.Context(), l, commit("p2")))
	if n := b.Count(streams.Commits, subject); n != 3 {
		t.Errorf("%d entries stand in the log, want 3", n)
	}
}

// Who gives up on an append whose answer is lost must not believe that it failed: its next
// decision, made on the old ground, is refused.
func TestLostAnswerAndGivenUp(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	d := &deafness{}
	c := b.Connect(nats.SetCustomDialer(d))
	l := commits.New(c, run, noBase)
	must(t, appendTo(t.Context(), l, open(1)))
	next := commit("p2")
	next.Prev = last(l)
	d.on.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- appendTo(ctx, l, commit("p")) }()
	brokertest.Await(t, "the entry is stored", func() bool { return b.Count(streams.Commits, streams.CommitsSubject(run)) == 2 })
	cancel()
	if err := <-done; err == nil {
		t.Fatal("the append succeeded without an answer")
	}
	d.on.Store(false)
	d.cut()
	b.AwaitConnected(c)
	must(t, l.CatchUp(t.Context()))
	if err := l.Append(t.Context(), &next); !errors.Is(err, commits.ErrConflict) {
		t.Errorf("a decision on the ground before it: %v", err)
	}
	if got := live(t, l); !slices.Equal(got, []string{"p"}) {
		t.Errorf("live are %v", got)
	}
}

// A list of base files that cannot be read keeps the log from being taken in, and nothing
// is passed over once it can.
func TestBaseThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	gone := errors.New("gone")
	l := commits.New(b.Client, run, func(e *commitlog.Entry) ([]commitlog.File, error) {
		return []commitlog.File{{Family: "f", Name: "old"}}, gone
	})
	w := commits.New(b.Client, run, nil)
	must(t, appendTo(t.Context(), w, open(1)))
	must(t, appendTo(t.Context(), w, commit("p")))
	if err := l.CatchUp(t.Context()); !errors.Is(err, gone) {
		t.Fatalf("a log whose base is lost was read: %v", err)
	}
	gone = nil
	if got := live(t, l); !slices.Equal(got, []string{"old", "p"}) {
		t.Errorf("live are %v", got)
	}
	if got := live(t, w); len(got) != 0 {
		t.Errorf("a log without a base keeps %v", got)
	}
}

// Follow reads on when something was appended, and not only when its interval is over.
func TestFollow(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l, reader := commits.New(b.Client, run, noBase), commits.New(b.Connect(), run, nil)
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan string, 16)
	ended := make(chan error, 1)
	go func() {
		ended <- reader.Follow(ctx, time.Hour, func(err error) {
			if err == nil {
				read <- last(reader)
			}
		})
	}()
	if first := <-read; first != "" {
		t.Errorf("the empty log ends with %q", first)
	}
	must(t, appendTo(t.Context(), l, open(1)))
	for want := last(l); ; {
		select {
		case got := <-read:
			if got != want {
				continue
			}
		case <-t.Context().Done():
			t.Fatal("the entry was not read")
		}
		break
	}
	cancel()
	must(t, <-ended)
}
