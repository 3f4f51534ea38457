package fff

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// maxBatchRecords bounds the records of a batch; its bytes are bounded by what a dead
// letter can carry.
const maxBatchRecords = 500

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
	if b.records == maxBatchRecords || b.records > 0 && len(b.data)+len(line)+1 > work.MaxPublishBytes {
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

// publish publishes the job's records and seals the input.
func (a *app) publish(ctx context.Context, s *session, j *job, note func(string)) error {
	reader, err := a.readRecords(ctx, j)
	if err != nil {
		return usage("records: %w", err)
	}
	defer reader.Close()
	p := s.ctl.Publisher(j.file.Run, note)
	b := &batcher{prefix: j.file.Run + "-" + j.input, source: j.hash, send: func(batch control.Batch) error { return p.Publish(ctx, batch) }}
	err = readInto(ctx, reader, b)
	if err = errors.Join(err, p.Wait()); err != nil {
		return err
	}
	return j.seal(ctx, s, b.total)
}

// readRecords begins to read the records. Reading stdin ends with ctx, though its writer be silent.
func (a *app) readRecords(ctx context.Context, j *job) (*recordsfile.Reader, error) {
	if j.records != recordsfile.Stdin {
		return j.opened.Read(j.options())
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(w, a.stdin)
		w.CloseWithError(err) // nil is the end of the file
	}()
	return recordsfile.OpenJSONL("standard input", r, j.options())
}

// readInto hands every record of a file to the batcher. A bad one goes along as it is
// or as a line that says what is wrong with it, so that it is counted and listed where
// every bad record is.
func readInto(ctx context.Context, r *recordsfile.Reader, b *batcher) error {
	var line []byte
	for row, err := range r.All() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		bad, isBad := errors.AsType[*recordsfile.BadRecord](err)
		switch {
		case isBad:
			line = badLine(bad)
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return ofS3("records", fmt.Errorf("records: %w", err))
		default:
			line = record.AppendJSON(line[:0], &row.Record)
		}
		if err := b.add(line); err != nil {
			return err
		}
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

// seal closes the input of the run, which must have counted what was published.
func (j *job) seal(ctx context.Context, s *session, records int64) error {
	r, err := s.ctl.Close(ctx, j.file.Run, records, j.hash)
	if err != nil {
		return fmt.Errorf("close run %s: %w", j.file.Run, err)
	}
	if !r.Sealed {
		return fmt.Errorf("run %s has seen %d records, but %d were published: somebody else publishes to it too; close it with the right number (`nats req %s.%s '{\"records\":%d}'`) or cancel it",
			j.file.Run, r.RecordsSeen, records, control.SubjectClose, j.file.Run, r.RecordsSeen)
	}
	return nil
}
