package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// letters goes through the run's dead letters, oldest first, but for those of epochs whose
// failures were tried again.
func (j *job) letters(ctx context.Context) iter.Seq2[*control.Letter, error] {
	return j.lettersFrom(ctx, 1)
}

func (j *job) lettersFrom(ctx context.Context, sequence uint64) iter.Seq2[*control.Letter, error] {
	return func(yield func(*control.Letter, error) bool) {
		for l, err := range control.NewClient(j.s.d.Client).Letters(ctx, j.rec.Run, sequence) {
			if err == nil && l.Epoch < j.rec.FailedFrom {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// readLetters takes in the dead letters that have come.
func (j *job) readLetters(ctx context.Context) error {
	w := &j.watch
	for l, err := range j.lettersFrom(ctx, w.lastLetter+1) {
		if err != nil {
			return err
		}
		w.lastLetter = l.Sequence
		if l.Code == string(failure.TypeDrift) {
			w.drift = l.Reason
		}
		for key, family := range cellsOf(l) {
			if w.failedCells.Add(family, j.samples.Add(key)) {
				w.failed[l.Code]++
			}
		}
	}
	return nil
}

// failureWriter writes lines of _failures.jsonl and keeps the first error.
type failureWriter struct {
	w   io.Writer
	at  string // for what brings no time of its own
	buf []byte
	err error
}

func (f *failureWriter) write(line *dataset.Failure) {
	if f.err != nil {
		return
	}
	if line.At == "" {
		line.At = f.at
	}
	f.buf = dataset.AppendFailure(f.buf[:0], line)
	_, f.err = f.w.Write(f.buf)
}

// recordFailure tells of a bad record, with as much of it as can be read.
func recordFailure(b *record.Bad, batch uint64) *dataset.Failure {
	var known struct {
		UserID json.RawMessage `json:"user_id"`
		Time   json.RawMessage `json:"pitc_timestamp"`
	}
	_ = json.Unmarshal(b.Raw, &known) // a record that is no JSON has neither
	return &dataset.Failure{
		Kind: stage.KindRecord, UserID: plain(known.UserID), PITCTimestamp: plain(known.Time),
		Stage: string(stage.Ingest), Code: string(failure.BadRecord), Attempts: 1,
		Reason: fmt.Sprintf("batch %d, %s", batch, intake.Place(b)),
	}
}

// plain gives a JSON string's text, and any other JSON as it is.
func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// replayed tells whether the run's replay has sent a bad record or batch again.
func (j *job) replayed(was *dataset.Failure) bool {
	for _, key := range j.rec.Replayed {
		if key == was.Kind+"\x00"+was.Reason {
			return true
		}
	}
	return false
}

func readerOf(b dataset.Blob) io.Reader { return io.NewSectionReader(b, 0, b.Size()) }
