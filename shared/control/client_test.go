package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/streams"
)

func start(t *testing.T) (*broker.Client, *Client) {
	t.Helper()
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the broker: %v", err)
		}
	})
	b, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(b)
	c.patience = 2 * time.Minute
	return b, c
}

func TestTheClientAsksUntilALeaderIsThere(t *testing.T) {
	b, c := start(t)
	var asked atomic.Int32
	done := make(chan error, 1)
	go func() {
		s, err := c.Status(t.Context(), "demo")
		if err == nil && s.Run != "demo" {
			err = fmt.Errorf("got %+v", s)
		}
		done <- err
	}()
	_, err := b.NC.Subscribe(SubjectStatus+".*", func(m *nats.Msg) {
		reply := EncodeReply(nil, Errorf(CodeTryAgain, "the run is being taken up"))
		if asked.Add(1) > 1 {
			reply = EncodeReply(Status{Run: "demo"}, nil)
		}
		_ = m.Respond(reply)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || asked.Load() != 2 {
		t.Errorf("after %d requests: %v", asked.Load(), err)
	}
}

// Who asks a system that is just starting asks again at once, and less and less often then.
func TestTheClientAsksLessAndLessOften(t *testing.T) {
	for name, not := range map[string]func() (*nats.Msg, error){
		"nobody is there": func() (*nats.Msg, error) { return nil, nats.ErrNoResponders },
		"the leader asks for it": func() (*nats.Msg, error) {
			return &nats.Msg{Data: EncodeReply(nil, Errorf(CodeTryAgain, "the run is being taken up"))}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := []int64{0, 10, 20, 40, 80, 160, 250, 250}
				last, waits := time.Now(), []int64(nil)
				c := &Client{patience: patience, send: func(context.Context, *nats.Msg) (*nats.Msg, error) {
					waits = append(waits, time.Since(last).Milliseconds())
					last = time.Now()
					if len(waits) < len(want) {
						return not()
					}
					return &nats.Msg{Data: EncodeReply(Status{Run: "demo"}, nil)}, nil
				}}
				if s, err := c.Status(t.Context(), "demo"); err != nil || s.Run != "demo" || !slices.Equal(waits, want) {
					t.Errorf("asking gives run %q, %v after waits of %d ms, want %d", s.Run, err, waits, want)
				}
			})
		})
	}
}

func TestNobodyIsThere(t *testing.T) {
	_, c := start(t)
	c.patience = 50 * time.Millisecond
	_, err := c.List(t.Context())
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeNoLeader || !strings.Contains(e.Message, "fff up") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if err := c.Cancel(ctx, "demo"); !errors.Is(err, stop) {
		t.Errorf("a context that has ended gives %v", err)
	}
}

// notes gathers what a publisher says.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(s string) { n.mu.Lock(); defer n.mu.Unlock(); n.all = append(n.all, s) }

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.all, "; ")
}

func ingest(t *testing.T, b *broker.Client, maxBytes int64) jetstream.Stream {
	t.Helper()
	s, err := b.JS.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: streams.Ingest, Subjects: []string{"fff.ingest.*"}, Discard: jetstream.DiscardNew, MaxBytes: maxBytes, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPublishingWaitsForRoom(t *testing.T) {
	b, c := start(t)
	stream := ingest(t, b, 10_000)
	var said notes
	p := c.Publisher("demo", said.add)
	for i := range 3 {
		if err := p.Publish(t.Context(), Batch{ID: fmt.Sprint(i), ContentType: NDJSON, Data: make([]byte, 4_000)}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); said.String() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody said that the stream is full")
		}
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); got != "publishing waits: the stream FFF_INGEST is full; publishing goes on" {
		t.Errorf("said %s", got)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1 || info.State.LastSeq != 3 {
		t.Errorf("%+v, %v", info.State, err)
	}
	m, err := stream.GetMsg(t.Context(), 3)
	if err != nil || m.Header.Get("Content-Type") != NDJSON || m.Header.Get("Nats-Msg-Id") == "" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestPublishingThatCannotWorkEnds(t *testing.T) {
	b, c := start(t)
	ingest(t, b, 100)
	p := c.Publisher("demo", func(string) {})
	// Larger than the server takes at all: waiting would not help.
	if err := p.Publish(t.Context(), Batch{ID: "1", Data: make([]byte, broker.MaxPayload+1)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "publish batch 1") {
		t.Errorf("got %v", err)
	}
	if err := p.Publish(t.Context(), Batch{ID: "2"}); err == nil {
		t.Error("a publisher that has failed takes more")
	}
}

func TestPublishingEndsWithItsContext(t *testing.T) {
	b, c := start(t)
	ingest(t, b, 10)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	p := c.Publisher("demo", func(string) { cancel(stop) })
	if err := p.Publish(ctx, Batch{ID: "1", Data: make([]byte, 100)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}
