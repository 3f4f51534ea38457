// Package input reads the record batches of a run again, in the order of their stream.
package input

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// errGap says that a message got lost on the way to us.
var errGap = errors.New("a message was lost on its way")

// fetchSize is how many batches are asked for at a time: of at most 768 KB each.
const fetchSize = 64

// Read calls take with the batches of a run from sequence first on, those up to last, in
// order. It returns the sequence of the last batch read, 0 if there was none.
func Read(ctx context.Context, c *broker.Client, run string, first, last uint64, take func(*stage.Message)) (read uint64, err error) {
	start := max(first, 1)
	for start <= last {
		read2, err := readFrom(ctx, c, run, start, last, take)
		if read2 > 0 {
			read, start = read2, read2+1
		}
		if err == nil {
			return read, nil
		}
		if !errors.Is(err, errGap) {
			return read, fmt.Errorf("input of run %s: %w", run, err)
		}
	}
	return read, nil
}

func readFrom(ctx context.Context, c *broker.Client, run string, start, last uint64, take func(*stage.Message)) (read uint64, err error) {
	cons, err := c.JS.CreateConsumer(ctx, streams.Ingest, jetstream.ConsumerConfig{
		FilterSubject: streams.Subject(stage.Ingest, run),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: start,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
		MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return 0, err
	}
	info := cons.CachedInfo()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = c.JS.DeleteConsumer(clean, streams.Ingest, info.Name) // it ends by itself after a minute
	}()
	for pending, next := info.NumPending, uint64(1); pending > 0; {
		before := next
		batch, err := cons.Fetch(int(min(pending, fetchSize)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return read, err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return read, err
			}
			if meta.Sequence.Consumer != next {
				return read, errGap
			}
			if meta.Sequence.Stream > last {
				return read, nil
			}
			take(message(m, meta.Sequence.Stream))
			read, pending = meta.Sequence.Stream, meta.NumPending
			next++
		}
		if err := batch.Error(); err != nil {
			return read, err
		}
		if err := ctx.Err(); err != nil {
			return read, context.Cause(ctx)
		}
		if next == before { // nothing came: what was pending may have been removed
			if info, err = cons.Info(ctx); err != nil {
				return read, err
			}
			pending = info.NumPending
		}
	}
	return read, nil
}

func message(m jetstream.Msg, sequence uint64) *stage.Message {
	h := m.Headers()
	return &stage.Message{ID: h.Get(jetstream.MsgIDHeader), ContentType: h.Get("Content-Type"), Sequence: sequence, Data: m.Data()}
}
