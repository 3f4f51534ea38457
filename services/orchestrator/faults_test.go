package orchestrator

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// gate stops whoever comes to a step, once, until it is opened.
type gate struct {
	step    string
	armed   atomic.Bool
	reached chan struct{}
	opened  chan struct{}
}

func newGate(step string) *gate {
	g := &gate{step: step, reached: make(chan struct{}), opened: make(chan struct{})}
	g.armed.Store(true)
	return g
}

func (g *gate) pass(step string) error {
	if step == g.step && g.armed.CompareAndSwap(true, false) {
		close(g.reached)
		<-g.opened
	}
	return nil
}

// hooked gives a store that passes the gate at each step.
func (g *gate) hooked(s dataset.Store) dataset.Store {
	return &hookedStore{Store: s, before: g.pass}
}

// stopped runs fn until it comes to the gate's step, and gives what lets it go on to its
// end.
func (g *gate) stopped(t *testing.T, fn func() error) (wake func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case <-g.reached:
	case err := <-done:
		t.Fatalf("it ended (%v) before it came to %q", err, g.step)
	}
	return func() error { close(g.opened); return <-done }
}

// moments counts what a leader does to the world: the calls that change the dataset, and
// what it sends to the broker. At the one that at names, act is called; its error fails a
// call on the dataset.
type moments struct {
	mu    sync.Mutex
	on    bool
	count int
	at    int  // 0 = none
	calls bool // only those on the dataset count
	act   func() error
	dead  bool
}

var errDead = errors.New("this leader is dead")

// start begins to count.
func (m *moments) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = true
}

func (m *moments) alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	return nil
}

// passed counts the moments so far.
func (m *moments) passed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

func (m *moments) pass(call bool) error {
	if err := m.alive(); err != nil {
		return err
	}
	m.mu.Lock()
	hit := false
	if m.on && (call || !m.calls) {
		m.count++
		hit = m.count == m.at
	}
	m.mu.Unlock()
	if hit {
		return m.act()
	}
	return nil
}

// die makes an act of the leader's end: nothing that it does from then on has an effect.
func (m *moments) die(cancel func()) func() error {
	return func() error {
		m.mu.Lock()
		m.dead = true
		m.mu.Unlock()
		cancel()
		return errDead
	}
}

func (m *moments) hooked(s dataset.Store) dataset.Store {
	return &hookedStore{Store: s, before: func(step string) error {
		// Two systems cannot exclude each other between the look at _owner and its writing:
		// a file system has no such operation. Whoever wrote last finds out at its next beat.
		if step == "put "+dataset.OwnerName {
			return m.alive()
		}
		return m.pass(true)
	}}
}

// connect gives a connection on which each thing that is sent is a moment.
func (m *moments) connect(w *world) *broker.Client {
	return w.b.Connect(nats.SetCustomDialer(m))
}

// Dial implements nats.CustomDialer.
func (m *moments) Dial(network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(context.Background(), network, address)
	return &momentConn{c, m}, err
}

type momentConn struct {
	net.Conn
	m *moments
}

// Write sends, unless the leader is dead.
func (c *momentConn) Write(p []byte) (int, error) {
	if c.m.pass(false) != nil {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// hookedStore calls before ahead of each call that changes the dataset. Its error fails the
// call, which then has done nothing. What it is called for at the same time calls it at the same
// time; see byTurns.
type hookedStore struct {
	dataset.Store
	before func(op string) error
}

// byTurns has calls wait for each other.
func byTurns(before func(op string) error) func(op string) error {
	var mu sync.Mutex
	return func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		return before(op)
	}
}

func (h *hookedStore) BeginEpoch(ctx context.Context, epoch uint64, token string) error {
	if err := h.before("begin epoch"); err != nil {
		return err
	}
	return h.Store.BeginEpoch(ctx, epoch, token)
}

func (h *hookedStore) EndEpoch(ctx context.Context, epoch uint64, token string) error {
	if err := h.before("end epoch"); err != nil {
		return err
	}
	return h.Store.EndEpoch(ctx, epoch, token)
}

func (h *hookedStore) RemoveStaging(ctx context.Context, name string) error {
	if err := h.before("remove staging"); err != nil {
		return err
	}
	return h.Store.RemoveStaging(ctx, name)
}

func (h *hookedStore) Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (dataset.StagedFile, error) {
	if err := h.before("stage"); err != nil {
		return dataset.StagedFile{}, err
	}
	return h.Store.Stage(ctx, epoch, token, part, family, name, write)
}

func (h *hookedStore) Reveal(ctx context.Context, epoch uint64, token, part, family, name string, staged dataset.StagedFile) error {
	if err := h.before("reveal"); err != nil {
		return err
	}
	return h.Store.Reveal(ctx, epoch, token, part, family, name, staged)
}

func (h *hookedStore) PutIndex(ctx context.Context, name string, data []byte) error {
	if err := h.before("put index"); err != nil {
		return err
	}
	return h.Store.PutIndex(ctx, name, data)
}

func (h *hookedStore) RemoveIndex(ctx context.Context, name string) error {
	if err := h.before("remove index"); err != nil {
		return err
	}
	return h.Store.RemoveIndex(ctx, name)
}

func (h *hookedStore) GetIndex(ctx context.Context, name string) ([]byte, error) {
	if err := h.before("get index"); err != nil {
		return nil, err
	}
	return h.Store.GetIndex(ctx, name)
}

func (h *hookedStore) ListVisible(ctx context.Context) ([]dataset.VisibleFile, error) {
	if err := h.before("list visible"); err != nil {
		return nil, err
	}
	return h.Store.ListVisible(ctx)
}

func (h *hookedStore) OpenVisible(ctx context.Context, family, name string) (dataset.Blob, error) {
	if err := h.before("open visible"); err != nil {
		return nil, err
	}
	return h.Store.OpenVisible(ctx, family, name)
}

func (h *hookedStore) RemoveVisible(ctx context.Context, family string, names ...string) error {
	if err := h.before("remove visible"); err != nil {
		return err
	}
	return h.Store.RemoveVisible(ctx, family, names...)
}

func (h *hookedStore) Unstage(ctx context.Context, epoch uint64, token, part string) error {
	if err := h.before("unstage"); err != nil {
		return err
	}
	return h.Store.Unstage(ctx, epoch, token, part)
}

func (h *hookedStore) Put(ctx context.Context, name string, data []byte) error {
	if err := h.before("put " + name); err != nil {
		return err
	}
	return h.Store.Put(ctx, name, data)
}

func (h *hookedStore) Remove(ctx context.Context, name string) error {
	if err := h.before("remove " + name); err != nil {
		return err
	}
	return h.Store.Remove(ctx, name)
}

func (h *hookedStore) PutWriter(ctx context.Context, name string) (dataset.PendingFile, error) {
	if err := h.before("put " + name); err != nil {
		return nil, err
	}
	return h.Store.PutWriter(ctx, name)
}
