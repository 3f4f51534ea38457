// Package brokertest gives tests a real broker: a server with JetStream in the test's own
// temporary directory, with the system's streams, and clients connected to it.
package brokertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/testport"
	"github.com/fastfeaturefetch/fff/streams"
)

// patience is how long a test waits for what must come to pass. It is long, because the
// machine may be busy; nothing that goes well takes it.
const patience = time.Minute

// Broker is a running server, with a client of the test's own.
type Broker struct {
	*broker.Client
	URL string // stays the same over a restart
	Dir string // of the store

	t      testing.TB
	server *broker.Embedded
	port   int // stays free while the server is away
}

// Start starts a broker with the system's streams. It is stopped when the test ends.
func Start(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{t: t, Dir: filepath.Join(t.TempDir(), "store"), port: testport.Free(t)}
	b.start()
	t.Cleanup(b.Stop)
	b.Client = b.Connect()
	if err := streams.Ensure(t.Context(), b.JS, 1); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Broker) start() {
	b.t.Helper()
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: b.Dir, Port: b.port})
	if err != nil {
		b.t.Fatal(err)
	}
	b.server, b.URL = server, server.URL()
}

// Stop stops the server; its clients try to reach it again until the test ends. Stopping
// twice does nothing.
func (b *Broker) Stop() {
	b.t.Helper()
	if b.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.server.Stop(ctx); err != nil {
		b.t.Errorf("stop the broker: %v", err)
	}
	b.server = nil
}

// Restart stops the server, if it runs, and starts it again on its store and port.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.start()
	b.AwaitConnected(b.Client)
}

// Snapshot copies the store, restarting the server on the way. putBack restarts it with the
// copy: what was written since is gone, as when an old backup is restored.
func (b *Broker) Snapshot() (putBack func()) {
	b.t.Helper()
	kept := filepath.Join(b.t.TempDir(), "kept")
	b.Stop()
	b.copyStore(b.Dir, kept)
	b.Restart()
	return func() {
		b.t.Helper()
		b.Stop()
		if err := os.RemoveAll(b.Dir); err != nil {
			b.t.Fatal(err)
		}
		b.copyStore(kept, b.Dir)
		b.Restart()
	}
}

func (b *Broker) copyStore(from, to string) {
	b.t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		b.t.Fatalf("copy the store: %v", err)
	}
}

// Connect gives one more client, connected as the services are. It is closed when the test
// ends.
func (b *Broker) Connect(extra ...nats.Option) *broker.Client {
	b.t.Helper()
	nc, err := broker.Connect(b.t.Context(), settings.NATS{URL: b.URL}, "test", zerolog.Nop(), extra...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	c, err := broker.NewClient(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// AwaitConnected waits until a client has found the server again.
func (b *Broker) AwaitConnected(c *broker.Client) {
	b.t.Helper()
	Await(b.t, "the client is connected again", func() bool { return c.NC.FlushTimeout(time.Second) == nil })
}

// OpenRun opens a run as the orchestrator does, without its dataset: the consumers of the
// stages and the run's record, in state running, with the run file given.
func (b *Broker) OpenRun(run string, epoch uint64, runFile string) *runs.Record {
	b.t.Helper()
	if err := streams.OpenConsumers(b.t.Context(), b.JS, run, 0); err != nil {
		b.t.Fatal(err)
	}
	rec := &runs.Record{Run: run, Epoch: epoch, State: runs.Running, RunFile: runFile}
	b.PutRun(rec)
	return rec
}

// PutRun writes the record of a run.
func (b *Broker) PutRun(rec *runs.Record) {
	b.t.Helper()
	if err := runs.Open(b.NC, b.JS).Put(b.t.Context(), rec); err != nil {
		b.t.Fatal(err)
	}
}

// AckWait sets how long the consumer of a stage waits for an ack before it delivers again.
func (b *Broker) AckWait(s stage.Name, run string, d time.Duration) {
	b.t.Helper()
	cfg := streams.Consumer(s, run)
	cfg.AckWait = d
	if _, err := b.JS.UpdateConsumer(b.t.Context(), streams.Of(s), cfg); err != nil {
		b.t.Fatal(err)
	}
}

// Publish publishes to a subject of a stream, with headers given as name and value in turn.
func (b *Broker) Publish(subject string, data []byte, header ...string) {
	b.t.Helper()
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	if _, err := b.JS.PublishMsg(b.t.Context(), m); err != nil {
		b.t.Fatalf("publish to %s: %v", subject, err)
	}
}

// Count tells how many messages are stored for a subject.
func (b *Broker) Count(stream, subject string) int {
	b.t.Helper()
	n, err := streams.Count(b.t.Context(), b.JS, stream, subject)
	if err != nil {
		b.t.Fatal(err)
	}
	return int(n)
}

// Stored gives the messages that are stored for a subject, oldest first.
func (b *Broker) Stored(stream, subject string) []*jetstream.RawStreamMsg {
	b.t.Helper()
	st, err := b.JS.Stream(b.t.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for next := uint64(1); ; {
		m, err := st.GetMsg(b.t.Context(), next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, m)
		next = m.Sequence + 1
	}
}

// Await waits for a condition that must come true.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}
