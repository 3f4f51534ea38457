package harness

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Link is the network between a program and a server, which a test cuts and heals.
type Link struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	clear chan struct{} // closed while bytes may pass
	conns map[net.Conn]struct{}
}

// NewLink makes a way to a server on this machine, for as long as the test.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listener: listener, to: to, clear: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.clear)
	go l.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		l.Cut()
	})
	return l
}

// Addr is where the program finds the server.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut breaks every connection off and lets no new one through: what a program sees when
// the other machine is gone.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open()
	l.cut = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// Hang lets nothing through, though every connection stands: what a program sees when a
// network drops its packets.
func (l *Link) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open()
	l.clear = make(chan struct{})
}

// Heal lets everything through again, what was held up by Hang included.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open()
	l.cut = false
}

// open lets pass what waits. It is called with mu held.
func (l *Link) open() {
	select {
	case <-l.clear:
	default:
		close(l.clear)
	}
}

// pass waits until bytes may pass.
func (l *Link) pass() {
	l.mu.Lock()
	wait := l.clear
	l.mu.Unlock()
	<-wait
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // the test is over
		}
		go l.join(near)
	}
}

// join carries a connection through to the server.
func (l *Link) join(near net.Conn) {
	defer near.Close()
	l.pass()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(near, far) {
		return
	}
	defer l.drop(near, far)
	var both sync.WaitGroup
	both.Go(func() { l.carry(near, far) })
	both.Go(func() { l.carry(far, near) })
	both.Wait()
}

func (l *Link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return true
}

func (l *Link) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}

// carry carries bytes one way until either side ends, and ends both.
func (l *Link) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(gated{l, to}, from) // that it ended is all there is to know
}

// gated is the writing end of a link.
type gated struct {
	l *Link
	w io.Writer
}

func (g gated) Write(p []byte) (int, error) {
	g.l.pass()
	return g.w.Write(p)
}
