package broker_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/testport"
)

func startEmbedded(t *testing.T, o broker.EmbeddedOptions) *broker.Embedded {
	t.Helper()
	e, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopEmbedded(t, e) })
	return e
}

func stopEmbedded(t *testing.T, e *broker.Embedded) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestAStoreIsUsedByOneAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	first := startEmbedded(t, broker.EmbeddedOptions{StoreDir: dir})
	_, err := broker.Start(broker.EmbeddedOptions{StoreDir: dir})
	if !errors.Is(err, broker.ErrStoreInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--store") {
		t.Errorf("a second broker on the store: %v, want ErrStoreInUse with the remedy", err)
	}
	stopEmbedded(t, first)
	second := startEmbedded(t, broker.EmbeddedOptions{StoreDir: dir})
	stopEmbedded(t, second)
	if err := second.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after the removal of the store: %v", err)
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	dir := t.TempDir()
	_, err = broker.Start(broker.EmbeddedOptions{StoreDir: dir, Port: other.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("started on a port in use: %v", err)
	}
	startEmbedded(t, broker.EmbeddedOptions{StoreDir: dir}) // the store was released
}

func TestAStoreThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(broker.EmbeddedOptions{StoreDir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("started on a file: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(broker.EmbeddedOptions{StoreDir: dir}); err == nil || !strings.Contains(err.Error(), "JetStream") || !strings.Contains(err.Error(), dir) {
		t.Errorf("started on a store that is none: %v", err)
	}
}

func TestClientsOfTheProcessNeedNoSocket(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, broker.EmbeddedOptions{StoreDir: t.TempDir()})
	// The URL leads nowhere: the connection is inside the process.
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: "nats://127.0.0.1:1"}, "inside", zerolog.Nop(), e.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if n := nc.MaxPayload(); n != broker.MaxPayload {
		t.Errorf("the broker takes %d bytes, want %d", n, broker.MaxPayload)
	}
}

func TestTrafficIsCounted(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, broker.EmbeddedOptions{StoreDir: t.TempDir()})
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: e.URL()}, "test", zerolog.Nop(), e.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "Q", Subjects: []string{"q"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	before, err := e.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	const messages, size = 3, 1000
	for range messages {
		if err := c.PublishUntil(t.Context(), &nats.Msg{Subject: "q", Data: make([]byte, size)}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := c.JS.Stream(t.Context(), "Q"); err != nil || s.Purge(t.Context()) != nil { // what is gone has been stored all the same
		t.Fatal(err)
	}
	after, err := e.Traffic()
	if err != nil {
		t.Fatal(err)
	}
	if n := after.InMsgs - before.InMsgs; n < messages || after.InBytes-before.InBytes < messages*size {
		t.Errorf("%d messages of %d bytes came, want at least %d of %d", n, after.InBytes-before.InBytes, messages, messages*size)
	}
	if after.Stored["Q"] != messages {
		t.Errorf("stored: %v, want %d in Q", after.Stored, messages)
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	t.Parallel()
	port := testport.Free(t)
	url := "nats://" + testport.Addr(port)
	connected := make(chan error, 1)
	go func() {
		nc, err := broker.Connect(t.Context(), settings.NATS{URL: url}, "early", zerolog.Nop())
		if err == nil {
			nc.Close()
		}
		connected <- err
	}()
	startEmbedded(t, broker.EmbeddedOptions{StoreDir: t.TempDir(), Port: port})
	if err := <-connected; err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := broker.Connect(ctx, settings.NATS{URL: "nats://127.0.0.1:1"}, "late", zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "FFF_NATS_URL") {
		t.Errorf("nobody there: %v, want an error that names the setting", err)
	}
	missing := filepath.Join(t.TempDir(), "missing.creds")
	if _, err := broker.Connect(t.Context(), settings.NATS{URL: url, Creds: missing}, "late", zerolog.Nop()); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("credentials that are not there: %v", err)
	}
}

// What stands before the servers takes connections and breaks them off while none is there.
func TestConnectWaitsForWhatIsBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broken := make(chan struct{}, 1)
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
			select {
			case broken <- struct{}{}:
			default:
			}
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := broker.Connect(ctx, settings.NATS{URL: "nats://" + l.Addr().String()}, "early", zerolog.Nop())
		failed <- err
	}()
	for range 3 { // it tries again
		select {
		case <-broken:
		case err := <-failed:
			t.Fatalf("it gave up: %v", err)
		}
	}
	cancel()
	if err := <-failed; err == nil {
		t.Error("it has connected to nobody")
	}
	_ = l.Close()
}

func TestNothingIsKeptForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	e := startEmbedded(t, broker.EmbeddedOptions{StoreDir: t.TempDir()})
	gone := make(chan struct{}, 1)
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: e.URL()}, "test", zerolog.Nop(), nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	stopEmbedded(t, e)
	<-gone
	if err := nc.Publish("subject", []byte("late")); err == nil {
		t.Error("a publish while the server is away was kept; it would arrive after its return")
	}
}
