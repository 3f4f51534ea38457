package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
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
	for range lockAttempts { // whoever asks whether it is locked has the lock for a moment
		if ok || err != nil {
			break
		}
		time.Sleep(lockPause)
		ok, err = lock.TryLock()
	}
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
	var last lastError
	srv.SetLogger(&last, false, false)
	srv.Start() // returns when it listens, or has given up
	if why := last.fatal.Load(); why != nil || !srv.ReadyForConnections(10*time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		_ = lock.Unlock()
		if why == nil {
			why = &notReady
		}
		return nil, fmt.Errorf("embedded broker: %s (its store is %s; without it a run resumes from the dataset)", *why, o.StoreDir)
	}
	return &Embedded{srv: srv, lock: lock, dir: o.StoreDir}, nil
}

var notReady = "it takes no connections"

// lastError is a logger that keeps why the server gave up.
type lastError struct{ fatal atomic.Pointer[string] }

// Fatalf implements server.Logger. Unlike the server's own it lets the process live.
func (l *lastError) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
}

// Noticef implements server.Logger.
func (l *lastError) Noticef(string, ...any) {}

// Warnf implements server.Logger.
func (l *lastError) Warnf(string, ...any) {}

// Errorf implements server.Logger.
func (l *lastError) Errorf(string, ...any) {}

// Debugf implements server.Logger.
func (l *lastError) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *lastError) Tracef(string, ...any) {}

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

// Attempts to lock a store that seems to be in use, and the pause between two.
const (
	lockAttempts = 5
	lockPause    = 20 * time.Millisecond
)

// Locked tells whether a process that lives uses a store. A store that is not there, or
// whose file system has no locks, is used by nobody as far as this tells.
func Locked(storeDir string) bool {
	lock := flock.New(filepath.Join(storeDir, "lock"), flock.SetFlag(os.O_RDWR))
	free, err := lock.TryLock()
	if err != nil {
		return false
	}
	if free {
		_ = lock.Unlock()
	}
	return !free
}
