package featureservice

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/work"
)

// direct sends requests to an endpoint that is reached without TLS and without a proxy. It
// reads and writes in the goroutine of the caller, where net/http's transport has two more
// for each connection and hands every request and answer from one to the other. The answers
// are read with net/http all the same.
type direct struct {
	address    string
	head, tail []byte // of each request, before and behind the length of its body
	dialer     net.Dialer

	mu    sync.Mutex
	idle  []*conn // in the order in which they were given back
	sweep *time.Timer
}

// newDirect gives nil for an endpoint that needs net/http's transport.
func newDirect(u *url.URL) *direct {
	if u.Scheme != "http" || strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return nil
	}
	request := &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: requestHeader(u)}
	if proxy, err := http.ProxyFromEnvironment(request); proxy != nil || err != nil {
		return nil
	}
	var form bytes.Buffer
	if err := request.Write(&form); err != nil {
		return nil // the transport tells what is wrong
	}
	const length = "Content-Length: "
	head, tail, ok := bytes.Cut(form.Bytes(), []byte(length+"0\r\n"))
	if !ok {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return &direct{
		address: net.JoinHostPort(u.Hostname(), port),
		head:    append(head[:len(head):len(head)], length...), tail: append([]byte("\r\n"), tail...),
		dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive},
	}
}

// requestHeader gives the header of requests to a URL.
func requestHeader(u *url.URL) http.Header {
	h := http.Header{"Content-Type": {contentTypeJS}, "Accept": {contentTypeJS}}
	if u.User != nil {
		password, _ := u.User.Password()
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return h
}

// post sends a request and reads the answer up to its body. A kept connection that the
// server has closed meanwhile is replaced: the requests only read. Whoever closes the body
// of the answer gives the connection back.
func (p *direct) post(ctx context.Context, r *work.Request) (*http.Response, error) {
	for {
		c, kept, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		// A deadline in the past ends what the connection waits for.
		c.release = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		response, err := c.exchange(p, r)
		if err == nil {
			response.Body = &directBody{from: response.Body, direct: p, conn: c, keep: !response.Close}
			return response, nil
		}
		c.drop()
		if !kept || c.received || ctx.Err() != nil {
			return nil, err
		}
	}
}

// exchange writes a request and reads the answer up to its body.
func (c *conn) exchange(p *direct, r *work.Request) (*http.Response, error) {
	c.body = appendRequest(c.body[:0], r)
	c.out = append(append(c.out[:0], p.head...), strconv.Itoa(len(c.body))...)
	c.out = append(append(c.out, p.tail...), c.body...)
	c.received, c.left = false, headerBytes
	_, writing := c.Write(c.out)
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

// directBody is the body of an answer.
type directBody struct {
	from   io.Reader
	direct *direct
	conn   *conn
	keep   bool // the server keeps the connection
	whole  bool
}

func (b *directBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.whole = b.whole || errors.Is(err, io.EOF)
	return n, err
}

// Close gives the connection back if another request can be sent on it.
func (b *directBody) Close() error {
	if c := b.conn; c.release() && b.keep && b.whole && c.in.Buffered() == 0 {
		b.direct.give(c)
	} else {
		c.Close()
	}
	return nil
}

// take gives the connection that was used last, or a new one.
func (p *direct) take(ctx context.Context) (c *conn, kept bool, err error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		c = p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.quiet() {
			return c, true, nil
		}
		c.Close()
	}
	raw, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, false, err
	}
	c, err = newConn(raw)
	return c, false, err
}

// give keeps a connection for other requests.
func (p *direct) give(c *conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleTimeout, func() { p.closeIdle(time.Now().Add(-idleTimeout)) })
	}
}

// closeIdle closes the connections that have been idle since then.
func (p *direct) closeIdle(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.After(since) {
		p.idle[n].Close()
		n++
	}
	p.idle = append([]*conn(nil), p.idle[n:]...)
	p.sweep = nil
	if len(p.idle) > 0 {
		p.sweep = time.AfterFunc(idleTimeout, func() { p.closeIdle(time.Now().Add(-idleTimeout)) })
	}
}
