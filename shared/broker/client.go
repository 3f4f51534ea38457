package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// Client is a connection and JetStream on it.
type Client struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// NewClient wraps a connection. Calls that bring no deadline of their own get 10 s.
func NewClient(nc *nats.Conn) (*Client, error) {
	js, err := jetstream.New(nc,
		jetstream.WithDefaultTimeout(10*time.Second),
		jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Client{NC: nc, JS: js}, nil
}

// PublishStaged puts a part on the queue of the orchestrator's leader, with back-off until
// the broker acknowledges it or ctx ends.
func (c *Client) PublishStaged(ctx context.Context, run string, data []byte) error {
	msg := &nats.Msg{Subject: streams.Subject(stage.Parts, run), Data: data}
	return c.PublishUntil(ctx, msg, func(string) {})
}

// ErrTooLarge says that a message is larger than the broker or its stream takes.
var ErrTooLarge = errors.New("the message is too large; the supplied configurations set max_payload and max_msg_size to 2MB")

// TooLarge tells whether a message was refused because of its size.
func TooLarge(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, nats.ErrMaxPayload) || ok && api.ErrorCode == messageExceedsMaximum
}

// messageExceedsMaximum is the server's code for a message above its stream's max_msg_size.
const messageExceedsMaximum = 10054

// PublishUntil publishes until the broker acknowledges or ctx ends. A full stream is
// back-pressure: waiting is told so, and "" when it is over. It gives up on a message that
// is too large (ErrTooLarge) and on a connection that was closed.
func (c *Client) PublishUntil(ctx context.Context, msg *nats.Msg, waiting func(string)) error {
	waited := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := c.JS.PublishMsg(try, msg, jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			if waited {
				waiting("")
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case TooLarge(err):
			return fmt.Errorf("publish %d bytes to %s: %w (%w)", len(msg.Data), msg.Subject, ErrTooLarge, err)
		case c.NC.IsClosed():
			return fmt.Errorf("publish to %s: %w", msg.Subject, err)
		}
		waited = true
		waiting(fmt.Sprintf("room on %s: %v", msg.Subject, err))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait/2 + rand.N(wait)): // jitter
		}
	}
}

// PublishWork puts requests on a stage's queue, as the stages do.
func (c *Client) PublishWork(ctx context.Context, to stage.Name, run string, epoch uint64, data []byte) error {
	msg := &nats.Msg{Subject: streams.Subject(to, run), Data: data, Header: nats.Header{streams.HeaderEpoch: {strconv.FormatUint(epoch, 10)}}}
	return c.PublishUntil(ctx, msg, func(string) {})
}

// PublishBatch puts a record batch on a run's input, as producers do. Its id keeps it from
// being counted twice when an answer is lost and it is published again.
func (c *Client) PublishBatch(ctx context.Context, run, contentType string, data []byte) error {
	msg := &nats.Msg{Subject: streams.Subject(stage.Ingest, run), Data: data, Header: nats.Header{jetstream.MsgIDHeader: {nuid.Next()}}}
	if contentType != "" {
		msg.Header.Set("Content-Type", contentType)
	}
	return c.PublishUntil(ctx, msg, func(string) {})
}

const flushSubject = "fff.flush."

// AskFlush tells the writers that nothing more of a run is on its way than the messages in
// their queue, so that they need not wait for their parts to fill. It is a hint: without it
// parts are staged by age.
func (c *Client) AskFlush(run string, queued uint64) {
	_ = c.NC.Publish(flushSubject+run, strconv.AppendUint(nil, queued, 10))
}

// OnFlush calls fn with the run of each hint, and how many messages of it are queued; a hint that
// does not say so has 0, of which any part has all.
func (c *Client) OnFlush(fn func(run string, queued uint64)) (stop func(), err error) {
	sub, err := c.NC.Subscribe(flushSubject+"*", func(m *nats.Msg) {
		queued, _ := strconv.ParseUint(string(m.Data), 10, 64)
		fn(strings.TrimPrefix(m.Subject, flushSubject), queued)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s*: %w", flushSubject, err)
	}
	c.known()
	return func() { c.end(sub) }, nil
}

// end ends a subscription, and returns once the server knows of it: who asks from then on
// hears that nobody answers.
func (c *Client) end(sub *nats.Subscription) {
	if sub.Unsubscribe() == nil {
		c.known()
	}
}

// known returns once the server knows of the subscriptions that were begun or ended so far.
// Without a server there is nobody who could ask; one that comes back is told of all.
func (c *Client) known() {
	if c.NC.IsConnected() {
		_ = c.NC.FlushTimeout(2 * time.Second)
	}
}

// Request is a request that somebody sent on core NATS.
type Request struct {
	Subject string
	Data    []byte
	header  nats.Header
}

// Header gives a header of the request.
func (r *Request) Header(name string) string { return r.header.Get(name) }

// Serve answers requests on a subject, each in a goroutine of its own. A nil answer sends
// nothing.
func (c *Client) Serve(subject string, answer func(*Request) []byte) (stop func(), err error) {
	sub, err := c.NC.Subscribe(subject, func(m *nats.Msg) {
		go func() {
			if reply := answer(&Request{Subject: m.Subject, Data: m.Data, header: m.Header}); reply != nil {
				_ = m.Respond(reply) // who asked asks again
			}
		}()
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	c.known()
	return func() { c.end(sub) }, nil
}
