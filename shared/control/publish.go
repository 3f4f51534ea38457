package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// Bounds of publishing.
const (
	maxInFlight = 16               // batches published and not yet acknowledged
	maxOutage   = 2 * time.Minute  // how long a broker may be away or without a leader
	maxFull     = 30 * time.Minute // how long the stream may be full
	firstPause  = 100 * time.Millisecond
	longPause   = 5 * time.Second
)

// NDJSON is the content type of a batch with one record a line.
const NDJSON = "application/x-ndjson"

// Batch is one message of records.
type Batch struct {
	ID          string // Nats-Msg-Id: the same batch sent again has the same id
	ContentType string // NDJSON, or "" for JSON
	Data        []byte
}

// Publisher publishes the batches of a run and remembers the first that failed for good.
// It is for one goroutine.
type Publisher struct {
	client *Client
	run    string
	note   func(string)
	slots  chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	err    error
	waited bool
}

// Publisher makes a publisher. note is told, in words, what publishing waits for; it is
// called at most once for each wait and from other goroutines.
func (c *Client) Publisher(run string, note func(string)) *Publisher {
	return &Publisher{client: c, run: run, note: note, slots: make(chan struct{}, maxInFlight)}
}

// Publish hands over a batch; its data must not change before Wait returns. It blocks
// while too many batches are on their way, and gives the first error of any batch.
func (p *Publisher) Publish(ctx context.Context, b Batch) error {
	if err := p.failed(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		if err := p.send(ctx, b); err != nil {
			p.fail(err)
		}
	})
	return nil
}

// Wait waits until every batch is acknowledged and gives the first error.
func (p *Publisher) Wait() error {
	p.wg.Wait()
	return p.failed()
}

func (p *Publisher) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// send publishes one batch until the broker has acknowledged it. A full stream and a
// broker that is away are waited for; everything else is final.
func (p *Publisher) send(ctx context.Context, b Batch) error {
	m := &nats.Msg{Subject: streams.Subject(stage.Ingest, p.run), Data: b.Data, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, b.ID)
	if b.ContentType != "" {
		m.Header.Set("Content-Type", b.ContentType)
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = firstPause, longPause
	start := time.Now()
	for {
		_, err := p.client.broker.JS.PublishMsg(ctx, m, jetstream.WithExpectStream(streams.Ingest), jetstream.WithRetryAttempts(0))
		if err == nil {
			p.resume()
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		limit, why := obstacle(err)
		if limit == 0 || time.Since(start) > limit {
			return fmt.Errorf("publish batch %s: %w%s", b.ID, err, remedy(why))
		}
		p.wait(why)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause.NextBackOff()):
		}
	}
}

const (
	streamFull = "the stream " + streams.Ingest + " is full"
	brokerAway = "the broker does not answer"
)

// obstacle tells how long an error of a publish is waited for, and what it means.
func obstacle(err error) (time.Duration, string) {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case api.ErrorCode == storeFailed:
			return maxFull, streamFull
		case api.Code == 503:
			return maxOutage, brokerAway
		}
		return 0, ""
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) || passing(err) {
		return maxOutage, brokerAway
	}
	return 0, ""
}

// storeFailed is what the server answers when a stream with discard new is full.
const storeFailed jetstream.ErrorCode = 10077

func remedy(why string) string {
	switch why {
	case streamFull:
		return " (the stream stayed full: cancel or tear down runs that are not needed, see `fff runs list`, or raise the stream's max_bytes)"
	case brokerAway:
		return " (the broker stayed away: check that it runs and has a JetStream leader, then submit again)"
	}
	return ""
}

func (p *Publisher) wait(why string) {
	p.mu.Lock()
	first := !p.waited
	p.waited = true
	p.mu.Unlock()
	if first {
		p.note("publishing waits: " + why)
	}
}

func (p *Publisher) resume() {
	p.mu.Lock()
	resumed := p.waited
	p.waited = false
	p.mu.Unlock()
	if resumed {
		p.note("publishing goes on")
	}
}
