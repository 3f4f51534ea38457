// Package featureservice asks the feature service for the families of a sample, and
// turns its answers straight into packed cells.
//
// [Client] is the HTTP side: one pool of connections for the process. [Lane] is the
// stage that fs-fast and fs-slow share. It takes a slot for each request, judges the
// answer, and returns a verdict for every family that it did not get.
//
// Bounds: an answer is at most [MaxAnswerBytes]. Requests and answers in memory take at
// most [MemoryBytes], shared fairly by runs, and one answer more, so that a single large
// one always gets through. A request is sent when there is room for a usual answer. A wait
// that the service asks for is cut to [MaxRetryAfter].
package featureservice

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastfeaturefetch/fff/shared/deadline"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/plainhttp"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Bounds of the client.
const (
	// MaxAnswerBytes is the largest answer that is read: more than twice what 20 cells
	// of the largest size need.
	MaxAnswerBytes = 32 << 20
	// MemoryBytes is what requests and answers take: some 1,200 requests of a run in flight
	// with usual answers, and with others less.
	MemoryBytes = 128 << 20

	connectionBytes = 40 << 10 // buffers and goroutines of a connection

	maxIdleConns  = 4096             // above any sensible max_in_flight of one process
	idleTimeout   = 90 * time.Second // as in plainhttp
	dialTimeout   = 10 * time.Second
	drainBytes    = 64 << 10 // read of an answer that is not wanted, to keep its connection
	excerptBytes  = 200      // of a refusal's body
	readerBytes   = 16 << 10 // a usual answer takes one or two reads
	keepAlive     = 30 * time.Second
	contentTypeJS = "application/json"
)

// Counters count what no verdict tells.
type Counters struct {
	Requests  atomic.Int64 // HTTP requests sent
	Throttled atomic.Int64 // answers 429 and 503
	Halved    atomic.Int64 // requests that will be asked again in halves
	Unasked   atomic.Int64 // families in answers that were not asked for, and are ignored
}

// Client asks feature services. It is safe for use at the same time, and one process
// needs one.
type Client struct {
	Counters Counters

	http   *http.Client
	urls   sync.Map      // as in the run file → *endpoint
	room   *room.Room    // of requests and answers
	beyond chan struct{} // for one answer that the room is too small for
	bodies sync.Pool     // of *body
}

// NewClient gives a client with a pool of its own.
func NewClient() *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		Protocols:              protocols,
		DisableCompression:     true, // inside a data centre inflating costs more than reading
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns, // the default of 2 would close and open connections all the time
		IdleConnTimeout:        idleTimeout,
		ReadBufferSize:         readerBytes,
		MaxResponseHeaderBytes: plainhttp.HeaderBytes,
	}
	return &Client{
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		room: room.New(MemoryBytes), beyond: make(chan struct{}, 1),
	}
}

// Close closes the idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.urls.Range(func(_, e any) bool {
		if h := e.(*endpoint).host; h != nil {
			h.CloseIdle()
		}
		return true
	})
}

// Try sends one request of a run and drops the answer, whatever is in it: for a service that
// is to be warmed up.
func (c *Client) Try(ctx context.Context, url string, timeout time.Duration, run string, r *work.Request) error {
	e, err := c.endpoint(url)
	if err != nil {
		return err
	}
	b, err := c.ask(ctx, e, timeout, run, r)
	if err == nil {
		b.free()
	}
	return err
}

// ask sends one request of a run and reads the answer, both within the time-out, in which
// waiting for memory does not count. The body that it gives belongs to the caller until
// free.
func (c *Client) ask(ctx context.Context, e *endpoint, timeout time.Duration, run string, r *work.Request) (*body, error) {
	b, err := c.newBody(ctx, run, r.Size())
	if err != nil {
		return nil, stopped(err)
	}
	attempt, left := deadline.With(ctx, timeout)
	defer left.Stop()
	if err := c.exchange(attempt, left, e, r, b); err != nil {
		b.free()
		return nil, judge(ctx, attempt, timeout, err)
	}
	return b, nil
}

// exchange sends a request and reads its answer into b.
func (c *Client) exchange(ctx context.Context, left *deadline.Deadline, e *endpoint, r *work.Request, b *body) error {
	response, err := c.send(ctx, e, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return c.refused(response)
	}
	return b.read(ctx, left, response)
}

// send sends one request.
func (c *Client) send(ctx context.Context, e *endpoint, r *work.Request) (*http.Response, error) {
	c.Counters.Requests.Add(1)
	if e.host != nil {
		return e.send(ctx, r)
	}
	// Not from a pool: the transport may still read it after Do has returned.
	data := appendRequest(make([]byte, 0, r.Size()), r)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	request.URL, request.Host = e.url, e.url.Host
	request.Header = requestHeader(e.url)
	// It only reads. This tells the transport, and is not sent: a kept connection that the
	// server has closed meanwhile is replaced without a failed attempt.
	request.Header["Idempotency-Key"] = []string{}
	return c.http.Do(request)
}

// judge says what it means that no answer came.
func judge(ctx, attempt context.Context, timeout time.Duration, err error) error {
	var known *failure.Error
	switch {
	case ctx.Err() != nil:
		return stopped(context.Cause(ctx))
	case errors.As(err, &known):
		return err
	case errors.Is(context.Cause(attempt), context.DeadlineExceeded):
		return failure.Retry(failure.Timeout, "no complete answer within %v", timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failure.Retry(failure.Unreachable, "the connection broke before the answer was complete")
	default:
		return failure.Retry(failure.Unreachable, "%s", clean(withoutURL(err).Error(), maxReasonBytes))
	}
}

// stopped is the verdict on work that was given up because its context has ended. It is
// nobody's failure, so it is no failed attempt.
func stopped(cause error) error {
	return failure.RetryAfter(0, failure.Internal, "stopped: %w", cause)
}

// withoutURL takes the URL out of an error: it may hold a secret, and reasons are stored.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
