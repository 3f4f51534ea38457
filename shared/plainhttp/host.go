// Package plainhttp sends HTTP/1.1 requests to a host that is reached without TLS and
// without a proxy. It reads and writes in the goroutine of the caller, where net/http's
// transport has two more for each connection and hands every request and answer from one
// to the other. The answers are read with net/http all the same.
package plainhttp

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds of connections.
const (
	// HeaderBytes bounds the header of an answer.
	HeaderBytes = 64 << 10

	idleTimeout = 90 * time.Second // below it most servers close idle connections
	readerBytes = 16 << 10         // a usual small answer takes one or two reads; a large one goes past the buffer
	keepAlive   = 30 * time.Second
)

// Host is where requests are sent, with the connections to it. It keeps as many as there
// are requests at the same time, and closes those that nobody needs for 90 seconds. It is
// safe for use at the same time.
type Host struct {
	address string
	dialer  net.Dialer

	mu    sync.Mutex
	idle  []*conn // in the order in which they were given back
	sweep *time.Timer
}

// New gives the host of a URL, nil for one that needs net/http's transport.
func New(u *url.URL, dialTimeout time.Duration) *Host {
	if u.Scheme != "http" || strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return nil
	}
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); proxy != nil || err != nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return &Host{
		address: net.JoinHostPort(u.Hostname(), port),
		dialer:  net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive},
	}
}

// Send sends a request, as it is on the wire, and reads the answer up to its body. A kept
// connection that the server has closed meanwhile is replaced, so the request may arrive
// twice. Whoever closes the body of the answer gives the connection back; who reads it
// bounds it. The end of ctx ends the reading of the body, too.
func (h *Host) Send(ctx context.Context, request []byte) (*http.Response, error) {
	for {
		c, kept, err := h.take(ctx)
		if err != nil {
			return nil, err
		}
		// A deadline in the past ends what the connection waits for.
		c.release = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		response, err := c.exchange(request)
		if err == nil {
			response.Body = &body{from: response.Body, host: h, conn: c, keep: !response.Close}
			return response, nil
		}
		c.drop()
		if !kept || c.received || ctx.Err() != nil {
			return nil, err
		}
	}
}

// exchange writes a request and reads the answer up to its body.
func (c *conn) exchange(request []byte) (*http.Response, error) {
	c.received, c.left = false, HeaderBytes
	_, writing := c.Write(request)
	// A server may answer without having read all: then the answer counts.
	response, err := c.answer()
	if err != nil && writing != nil {
		return nil, writing
	}
	c.left = math.MaxInt64 // who reads the body bounds it
	return response, err
}

// answer reads the answer, and those before it that only tell of it.
func (c *conn) answer() (*http.Response, error) {
	const most = 5 // as in net/http
	for range most {
		if _, err := c.in.Peek(1); err != nil {
			return nil, err // an end where nothing has begun, not one within an answer
		}
		response, err := http.ReadResponse(c.in, nil)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
	return nil, errors.New("too many answers with status 1xx")
}

// body is the body of an answer.
type body struct {
	from  io.Reader
	host  *Host
	conn  *conn
	keep  bool // the server keeps the connection
	whole bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// Close gives the connection back if another request can be sent on it.
func (b *body) Close() error {
	if c := b.conn; c.release() && b.keep && b.whole && c.in.Buffered() == 0 {
		b.host.give(c)
	} else {
		c.Close()
	}
	return nil
}

// take gives the connection that was used last, or a new one.
func (h *Host) take(ctx context.Context) (c *conn, kept bool, err error) {
	for {
		h.mu.Lock()
		n := len(h.idle)
		if n == 0 {
			h.mu.Unlock()
			break
		}
		c = h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		h.mu.Unlock()
		if c.quiet() {
			return c, true, nil
		}
		c.Close()
	}
	raw, err := h.dialer.DialContext(ctx, "tcp", h.address)
	if err != nil {
		return nil, false, err
	}
	c, err = newConn(raw)
	return c, false, err
}

// give keeps a connection for other requests.
func (h *Host) give(c *conn) {
	c.idleSince = time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = append(h.idle, c)
	if h.sweep == nil {
		h.sweep = time.AfterFunc(idleTimeout, h.sweepIdle)
	}
}

// CloseIdle closes the connections that are not in use.
func (h *Host) CloseIdle() { h.closeIdle(time.Now()) }

func (h *Host) sweepIdle() { h.closeIdle(time.Now().Add(-idleTimeout)) }

// closeIdle closes the connections that have been idle since then.
func (h *Host) closeIdle(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.idle) && !h.idle[n].idleSince.After(since) {
		h.idle[n].Close()
		n++
	}
	h.idle = append([]*conn(nil), h.idle[n:]...)
	h.sweep = nil
	if len(h.idle) > 0 {
		h.sweep = time.AfterFunc(idleTimeout, h.sweepIdle)
	}
}
