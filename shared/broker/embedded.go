package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// MaxPayload is the largest message that the embedded broker and every supplied server
// configuration take.
const MaxPayload = 2 << 20

// ErrStoreInUse says that another process has the store open.
var ErrStoreInUse = errors.New("the store is in use by another process")

// EmbeddedOptions configure an embedded broker.
type EmbeddedOptions struct {
	StoreDir string // where JetStream keeps its files; made when missing
	Port     int    // 0 = a free one; always on the loopback
	MaxStore int64  // bytes; 0 = 64 GiB
}

// Embedded is a NATS server with JetStream inside this process.
type Embedded struct {
	srv  *server.Server
	lock *flock.Flock
	dir  string
}

// Start starts a server on the store and waits until it takes connections. The store is
// locked: nats-server itself would let two servers destroy it.
func Start(o EmbeddedOptions) (*Embedded, error) {
	if err := os.MkdirAll(o.StoreDir, 0o755); err != nil {
		return nil, fmt.Errorf("store of the embedded broker: %w", err)
	}
	lock := flock.New(filepath.Join(o.StoreDir, "lock"))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store %s: its file system has no locks (%w); name a directory on a local disk with --store", o.StoreDir, err)
	}
	if !ok {
		return nil, fmt.Errorf("store %s: %w; wait for it to end, or name another store with --store", o.StoreDir, ErrStoreInUse)
	}
	port := o.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	maxStore := o.MaxStore
	if maxStore == 0 {
		maxStore = 64 << 30
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:         "fff-embedded",
		Host:               "127.0.0.1",
		Port:               port,
		JetStream:          true,
		StoreDir:           o.StoreDir,
		SyncAlways:         true,
		JetStreamMaxMemory: 256 << 20,
		JetStreamMaxStore:  maxStore,
		MaxPayload:         MaxPayload,
		NoSigs:             true,
		NoLog:              true,
	})
	if err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		_ = lock.Unlock()
		return nil, fmt.Errorf("embedded broker: not ready after 30 s; is the store %s damaged? Without it a run resumes from the dataset", o.StoreDir)
	}
	return &Embedded{srv: srv, lock: lock, dir: o.StoreDir}, nil
}

// URL gives the address that clients outside the process use.
func (e *Embedded) URL() string { return e.srv.ClientURL() }

// InProcess is the option with which a client of this process connects without a socket.
func (e *Embedded) InProcess() nats.Option { return nats.InProcessServer(e.srv) }

// Stop shuts the server down, waits for its files to be closed and releases the store.
func (e *Embedded) Stop(ctx context.Context) error {
	e.srv.Shutdown()
	done := make(chan struct{})
	go func() { e.srv.WaitForShutdown(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("embedded broker: %w", context.Cause(ctx))
	}
	return e.lock.Unlock()
}

// Remove deletes the store. The server must have been stopped.
func (e *Embedded) Remove() error { return os.RemoveAll(e.dir) }
