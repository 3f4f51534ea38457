package ingest

import (
	"context"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/broker/input"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// brokerDesk asks over the broker. What cannot be asked now is asked again: it is no
// failure of the batch.
type brokerDesk struct {
	c      *broker.Client
	bucket *runs.Bucket
}

func hold(err error) error {
	if err == nil {
		return nil
	}
	return failure.RetryAfter(300*time.Millisecond, failure.Internal, "%w", err)
}

// Standing implements Desk. It reads the record itself, not a copy that may be old: the
// moment of the seal decides what belongs to the input.
func (d *brokerDesk) Standing(ctx context.Context, run *stage.Run) (Standing, error) {
	rec, err := d.bucket.Get(ctx, run.ID)
	if err != nil {
		return Standing{}, hold(err)
	}
	return Standing{Sealed: rec.Input.Sealed, LastSeq: rec.Input.LastSeq, SomeDone: rec.SkipDone}, nil
}

// Undone implements Desk.
func (d *brokerDesk) Undone(ctx context.Context, run *stage.Run, requests []work.Request) ([]work.Request, error) {
	keys := make([]sample.Key, len(requests))
	for i := range requests {
		keys[i] = requests[i].Key()
	}
	ids := run.File.FamilyIDs()
	sets, err := desk.Done(ctx, d.c, run.ID, run.Epoch, keys, len(ids))
	if err != nil {
		return nil, hold(err)
	}
	ordinal := make(map[string]int, len(ids))
	for i, id := range ids {
		ordinal[id] = i
	}
	var undone []work.Request
	for i := range requests {
		var left []string
		for _, f := range requests[i].Families {
			if n := ordinal[f]; sets[i][n/64]>>(n%64)&1 == 0 {
				left = append(left, f)
			}
		}
		if len(left) > 0 {
			undone = append(undone, requests[i].With(left))
		}
	}
	return undone, nil
}

// History implements Desk. Most often nothing is between, but batches of other runs.
func (d *brokerDesk) History(ctx context.Context, run *stage.Run, after, before uint64, take func(*stage.Message)) error {
	next, err := streams.NextSequence(ctx, d.c.JS, streams.Ingest, streams.Subject(stage.Ingest, run.ID), after+1)
	if err != nil {
		return hold(err)
	}
	if next == 0 || next >= before {
		return nil
	}
	_, err = input.Read(ctx, d.c, run.ID, next, before-1, take)
	return hold(err)
}
