package fetch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// MaxBatchRecords bounds the records of a batch; its bytes are bounded by what a dead
// letter can carry.
const MaxBatchRecords = 500

// batcher gathers records into batches. The same records give the same batches with the
// same ids, so what is published twice counts once. Ids of other runs, and of an input
// that was torn down, differ: the broker remembers ids of messages that are gone.
type batcher struct {
	prefix string // of the ids: the run and its input
	source string // hash of the file, which ids are derived from; "" = the batches' content
	send   func(control.Batch) error

	data    []byte
	records int
	batches int
	total   int64
}

// add appends one record, given as a line of NDJSON without its end.
func (b *batcher) add(line []byte) error {
	if b.records == MaxBatchRecords || b.records > 0 && len(b.data)+len(line)+1 > work.MaxPublishBytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.data = append(append(b.data, line...), '\n')
	b.records++
	b.total++
	return nil
}

// flush sends what is gathered.
func (b *batcher) flush() error {
	if b.records == 0 {
		return nil
	}
	b.batches++
	batch := control.Batch{ID: b.id(), ContentType: control.NDJSON, Data: b.data}
	b.data, b.records = nil, 0
	return b.send(batch)
}

// id derives the id of the batch that is gathered.
func (b *batcher) id() string {
	source := b.source
	if source == "" {
		sum := xxh3.Hash128(b.data).Bytes()
		source = hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("%s-%.32s-%d", b.prefix, source, b.batches)
}

// readInto hands every record to the batcher. A bad one goes along as a line that says what
// is wrong with it, so that it is counted and listed where every bad record is.
func readInto(ctx context.Context, records iter.Seq2[Record, error], b *batcher) error {
	var line []byte
	for r, err := range records {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if bad, isBad := errors.AsType[*recordsfile.BadRecord](err); isBad {
			line = badLine(bad)
		} else if err != nil {
			return err
		} else {
			line = record.AppendJSON(line[:0], &r)
		}
		if err := b.add(line); err != nil {
			return err
		}
	}
	if ctx.Err() != nil { // which may be why there are no more
		return context.Cause(ctx)
	}
	return b.flush()
}

// badLine gives a line for a record that cannot be read: a JSON string, which no record
// is, with the place, the reason and the row.
func badLine(bad *recordsfile.BadRecord) []byte {
	line, err := json.Marshal(bad.Error() + ": " + bad.Raw)
	if err != nil { // strings always encode
		return []byte(`"bad record"`)
	}
	return line
}

// Publish publishes all records of the run and seals its input; it is to be called once. A
// record that is a *BadRecord is listed as a failure; another error of the iterator ends it.
// An iterator that waits is to end when Done does, which ends with ctx too. Without Wait
// nobody looks after the run meanwhile: see Fetch.
func (r *Run) Publish(ctx context.Context, records iter.Seq2[Record, error]) error {
	until, end := r.while(ctx)
	defer end()
	defer context.AfterFunc(until, func() { r.enough(context.Cause(until)) })()
	if r.wanted.Err() != nil { // records that end for that reason are no whole input
		return context.Cause(r.wanted)
	}
	p := r.system.Ctl.Publisher(r.file.Run, r.cfg.Note)
	ctx, stop := context.WithCancel(until)
	defer func() { // also when the iterator panics: nothing goes on behind the caller's back
		stop()
		_ = p.Wait()
	}()
	b := &batcher{
		prefix: r.file.Run + "-" + r.input, source: r.cfg.InputHash,
		send: func(batch control.Batch) error { return p.Publish(ctx, batch) },
	}
	err := readInto(ctx, records, b)
	if err = errors.Join(err, p.Wait()); err != nil {
		return err
	}
	return r.seal(ctx, b.total)
}

// seal closes the input of the run, which must have counted what was published.
func (r *Run) seal(ctx context.Context, records int64) error {
	run := r.file.Run
	c, err := r.system.Ctl.Close(ctx, run, records, r.cfg.InputHash)
	if err != nil {
		return fmt.Errorf("close run %s: %w", run, err)
	}
	if !c.Sealed {
		return fmt.Errorf("run %s has seen %d records, but %d were published: somebody else publishes to it too; close it with the right number (`nats req %s.%s '{\"records\":%d}'`) or cancel it",
			run, c.RecordsSeen, records, control.SubjectClose, run, c.RecordsSeen)
	}
	return nil
}
