package control

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/streams"
)

// Letter is a dead letter of a run, as FFF_FAILED holds it.
type Letter struct {
	Sequence  uint64    `json:"sequence"` // in FFF_FAILED
	Kind      string    `json:"kind"`     // cell, record or batch
	Stage     string    `json:"stage"`    // that gave up
	Code      string    `json:"code"`
	Reason    string    `json:"reason"`
	Count     int64     `json:"count"` // cells or records in it
	Attempts  int       `json:"attempts"`
	Epoch     uint64    `json:"epoch"`
	At        time.Time `json:"at,omitzero"`
	Place     string    `json:"place,omitempty"`  // in the batch
	Subject   string    `json:"subject"`          // that the message came from
	Origin    uint64    `json:"subject_sequence"` // its sequence there
	Service   string    `json:"service,omitempty"`
	MessageID string    `json:"message_id,omitempty"`

	ContentType string `json:"content_type,omitempty"`
	Data        []byte `json:"-"`
}

// Letters goes through the dead letters of a run from the sequence from on, oldest
// first. It ends with the first error.
func (c *Client) Letters(ctx context.Context, run string, from uint64) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		stream, err := c.failed(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for seq := max(from, 1); ; {
			m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(streams.FailedSubject(run, "*")))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read stream %s: %w", streams.Failed, err))
				return
			}
			if !yield(letterOf(m), nil) {
				return
			}
			seq = m.Sequence + 1
		}
	}
}

// Letter gives the dead letter of a run with a sequence.
func (c *Client) Letter(ctx context.Context, run string, sequence uint64) (*Letter, error) {
	for l, err := range c.Letters(ctx, run, sequence) {
		if err == nil && l.Sequence != sequence {
			break
		}
		return l, err
	}
	return nil, Errorf(CodeBadRequest, "run %s has no dead letter %d; see `fff failed list %s`", run, sequence, run)
}

func (c *Client) failed(ctx context.Context) (jetstream.Stream, error) {
	stream, err := c.broker.JS.Stream(ctx, streams.Failed)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, Errorf(CodeWrongState, "there is no stream %s; make the streams with `fff streams apply`", streams.Failed)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", streams.Failed, err)
	}
	return stream, nil
}

// letterOf reads a dead letter's headers. A header that is missing or no number is left
// zero: whoever looks at dead letters wants to see broken ones too.
func letterOf(m *jetstream.RawStreamMsg) *Letter {
	get := m.Header.Get
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(get(name), 10, 63)
		return n
	}
	at, _ := time.Parse(time.RFC3339Nano, get(streams.HeaderAt))
	if at.IsZero() {
		at = m.Time
	}
	return &Letter{
		Sequence: m.Sequence, Kind: get(streams.HeaderKind), Stage: get(streams.HeaderStage),
		Code: get(streams.HeaderCode), Reason: get(streams.HeaderReason),
		Count: int64(number(streams.HeaderCount)), Attempts: int(number(streams.HeaderAttempts)),
		Epoch: number(streams.HeaderEpoch), At: at, Place: get(streams.HeaderPlace),
		Subject: get(streams.HeaderSubject), Origin: number(streams.HeaderSequence),
		Service: get(streams.HeaderService), MessageID: get(jetstream.MsgIDHeader),
		ContentType: get("Content-Type"), Data: m.Data,
	}
}
