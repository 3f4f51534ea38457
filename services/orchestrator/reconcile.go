package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/input"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// requestedList is the name of the completion index that lists every cell asked for, so
// that a replay can be reconciled after the input was torn down.
const requestedList = "requested"

// reconciliation is the proof that every requested cell is committed or failed. It is
// made from a fresh reading of the input, the dead letters and the completion indexes.
type reconciliation struct {
	requested *completion.Cells
	failed    *completion.Cells // requested, not committed, and in a dead letter
	missing   *completion.Cells // requested and neither

	records     int64
	badRecords  int64
	lostRecords int64 // that were sealed and are no longer in the stream
	byCode      map[string]int64
	lettersRead uint64 // last sequence
}

// reconcile makes the proof.
func (j *job) reconcile(ctx context.Context) (*reconciliation, error) {
	r := &reconciliation{requested: completion.NewCells(), failed: completion.NewCells(), byCode: map[string]int64{}}
	if j.rec.Input.FromDataset {
		if err := j.addRequestedList(ctx, r); err != nil {
			return nil, err
		}
	}
	err := j.eachBatch(ctx, func(_ *stage.Message, b *intake.Batch) error {
		r.records += int64(b.Records)
		r.badRecords += int64(len(b.Bad))
		if b.Err != nil {
			r.badRecords += int64(b.Records)
		}
		for i := range b.Requests {
			r.requested.AddSample(b.Requests[i].Families, b.Samples[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !j.rec.Input.FromDataset {
		r.lostRecords = max(0, j.rec.Input.Records-r.records)
	}
	for l, err := range j.letters(ctx) {
		if err != nil {
			return nil, err
		}
		r.lettersRead = l.Sequence
		j.addLetter(r, l)
	}
	r.missing = r.requested.Without(j.committed, r.failed)
	return r, nil
}

func (j *job) addRequestedList(ctx context.Context, r *reconciliation) error {
	name, err := j.requestedListName(ctx)
	if err != nil || name == "" {
		return err
	}
	data, err := j.store.GetIndex(ctx, name)
	if err != nil {
		return err
	}
	p, err := dataset.DecodePart(data)
	if err != nil {
		return fmt.Errorf("_commits/%s: %w", name, err)
	}
	for i := range p.Families {
		r.requested.AddPart(j.samples, p, &p.Families[i])
	}
	return nil
}

// requestedListName gives the newest list of requested cells, "" if there is none.
func (j *job) requestedListName(ctx context.Context) (string, error) {
	names, err := j.store.ListIndexes(ctx)
	if err != nil {
		return "", err
	}
	newest, found := uint64(0), ""
	for _, n := range names {
		if epoch, part, err := dataset.ParseIndexName(n); err == nil && part == requestedList && epoch >= newest {
			newest, found = epoch, n
		}
	}
	return found, nil
}

// eachBatch reads the input of the run in order.
func (j *job) eachBatch(ctx context.Context, fn func(*stage.Message, *intake.Batch) error) error {
	last := uint64(math.MaxUint64)
	if j.rec.Input.Sealed {
		last = j.rec.Input.LastSeq
	}
	newest, err := streams.LastSequence(ctx, j.s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, j.rec.Run))
	if err != nil {
		return err
	}
	ledger := intake.NewLedgerOver(j.file, &j.samples.Numbers)
	var failed error
	_, err = input.Read(ctx, j.s.d.Client, j.rec.Run, 1, min(last, newest), func(m *stage.Message) {
		b := ledger.Take(m)
		if failed == nil {
			failed = fn(m, &b)
		}
	})
	return errors.Join(err, failed)
}

// addLetter counts the cells of a dead letter that have failed: those asked for and not
// committed, each once.
func (j *job) addLetter(r *reconciliation, l *control.Letter) {
	for key, family := range cellsOf(l) {
		n, ok := j.samples.Find(key)
		if !ok || !r.requested.Has(family, n) || j.committed.Has(family, n) {
			continue
		}
		if r.failed.Add(family, n) {
			r.byCode[l.Code]++
		}
	}
}

// cellsOf gives the cells of a dead letter; none if it is of another kind or unreadable.
func cellsOf(l *control.Letter) func(yield func(sample.Key, string) bool) {
	return func(yield func(sample.Key, string) bool) {
		if l.Kind != stage.KindCell {
			return
		}
		b, err := work.Decode(l.Data)
		if err != nil {
			return
		}
		for i := range b.Requests {
			q := &b.Requests[i]
			key := q.Key()
			for _, list := range [][]string{q.Families, q.Direct} {
				for _, f := range list {
					if !yield(key, f) {
						return
					}
				}
			}
		}
	}
}

// writeRequestedList keeps the list of requested cells in the dataset.
func (j *job) writeRequestedList(ctx context.Context, r *reconciliation) error {
	p := &dataset.Part{Run: j.rec.Run, Epoch: j.rec.Epoch, Name: requestedList, Keys: j.samples.Keys()}
	for _, f := range r.requested.Families() {
		rows := dataset.NewBitmap(len(p.Keys))
		copy(rows, r.requested.Bitmap(f))
		p.Families = append(p.Families, dataset.FamilyPart{Family: f, Rows: rows, File: dataset.File{Name: dataset.PartFile(j.rec.Epoch, requestedList), Rows: int64(rows.Count())}})
	}
	if len(p.Families) == 0 {
		return nil
	}
	err := j.store.PutIndex(ctx, dataset.IndexName(j.rec.Epoch, requestedList), dataset.EncodePart(p))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// writeFailures writes _failures.jsonl: a line for each failed cell, bad record and bad
// batch, and for each cell that is unaccounted for.
func (j *job) writeFailures(ctx context.Context, r *reconciliation, unaccounted bool) error {
	w, err := j.store.PutWriter(ctx, dataset.FailuresName)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	f := failureWriter{w: w, at: time.Now().UTC().Format(time.RFC3339Nano)}
	if j.rec.Input.FromDataset {
		if err := j.carryFailures(ctx, r, &f, unaccounted); err != nil {
			return err
		}
	}
	if err := j.writeInputFailures(ctx, r, &f, unaccounted); err != nil {
		return err
	}
	if err := j.writeLetterFailures(ctx, r, &f); err != nil {
		return err
	}
	if r.lostRecords > 0 {
		f.write(&dataset.Failure{Kind: stage.KindBatch, Stage: string(stage.Ingest), Code: string(failure.Unaccounted), Attempts: 1,
			Reason: fmt.Sprintf("%d records were closed with the input and are no longer in stream %s; send them again", r.lostRecords, streams.Ingest)})
	}
	if f.err != nil {
		return f.err
	}
	return w.Commit()
}

// writeInputFailures writes the records and batches that are bad, and the missing cells.
func (j *job) writeInputFailures(ctx context.Context, r *reconciliation, f *failureWriter, unaccounted bool) error {
	return j.eachBatch(ctx, func(m *stage.Message, b *intake.Batch) error {
		if b.Err != nil {
			e := failure.As(b.Err)
			f.write(&dataset.Failure{Kind: stage.KindBatch, Stage: string(stage.Ingest), Code: string(e.Code), Attempts: 1, Reason: fmt.Sprintf("batch %d: %v", m.Sequence, e)})
		}
		for i := range b.Bad {
			f.write(recordFailure(&b.Bad[i], m.Sequence))
		}
		for i := range b.Requests {
			q, n := &b.Requests[i], b.Samples[i]
			for _, family := range q.Families {
				if unaccounted && r.missing.Has(family, n) {
					r.missing.Remove(family, n)
					f.write(unaccountedFailure(q.UserID, q.EpochMS, family))
				}
			}
		}
		return f.err
	})
}

func (j *job) writeLetterFailures(ctx context.Context, r *reconciliation, f *failureWriter) error {
	left := r.failed.Without()
	for l, err := range j.letters(ctx) {
		if err != nil {
			return err
		}
		if l.Sequence > r.lettersRead {
			break
		}
		if toldByLetter(l.Kind, l.Stage, l.Code) {
			f.write(&dataset.Failure{Kind: l.Kind, Stage: l.Stage, Code: l.Code, Reason: l.Reason, Attempts: l.Attempts, At: l.At.Format(time.RFC3339Nano)})
		}
		b, err := work.Decode(l.Data)
		if l.Kind != stage.KindCell || err != nil {
			continue
		}
		for i := range b.Requests {
			q := &b.Requests[i]
			n, _ := j.samples.Find(q.Key())
			for _, list := range [][]string{q.Families, q.Direct} {
				for _, family := range list {
					if !left.Has(family, n) {
						continue
					}
					left.Remove(family, n)
					f.write(&dataset.Failure{Kind: stage.KindCell, UserID: q.UserID, PITCTimestamp: sample.FormatTime(q.EpochMS), Family: family,
						Stage: l.Stage, Code: l.Code, Reason: l.Reason, Attempts: l.Attempts, At: l.At.Format(time.RFC3339Nano)})
				}
			}
		}
	}
	return f.err
}

// toldByLetter tells whether a failure that is not of a cell is listed from its dead letter,
// rather than from the input: no record of the input is lost by it.
func toldByLetter(kind, of, code string) bool {
	return code == string(failure.AfterSeal) || kind == stage.KindBatch && of != string(stage.Ingest)
}

// carryFailures takes over, from the list that was written before a replay, what the
// replay did not touch: bad records and batches, and the names of missing cells.
func (j *job) carryFailures(ctx context.Context, r *reconciliation, f *failureWriter, unaccounted bool) error {
	old, err := j.store.Open(ctx, dataset.FailuresName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }()
	for was, err := range dataset.Failures(readerOf(old)) {
		if err != nil {
			return err
		}
		if was.Kind != stage.KindCell {
			if !toldByLetter(was.Kind, was.Stage, was.Code) && !j.replayed(&was) {
				f.write(&was)
				r.badRecords++
			}
			continue
		}
		ms, err := time.Parse(time.RFC3339Nano, was.PITCTimestamp)
		if err != nil {
			continue
		}
		n, ok := j.samples.Find(sample.KeyOf(was.UserID, ms.UnixMilli()))
		if ok && unaccounted && r.missing.Has(was.Family, n) {
			r.missing.Remove(was.Family, n)
			f.write(unaccountedFailure(was.UserID, ms.UnixMilli(), was.Family))
		}
	}
	return f.err
}

func unaccountedFailure(userID string, epochMS int64, family string) *dataset.Failure {
	return &dataset.Failure{Kind: stage.KindCell, UserID: userID, PITCTimestamp: sample.FormatTime(epochMS), Family: family,
		Code: string(failure.Unaccounted), Attempts: maxRounds + 1,
		Reason: fmt.Sprintf("neither committed nor failed after %d rounds of repair; run again, and look at the logs of the services", maxRounds)}
}

// maxRounds is how often what is in no list is sent again.
const maxRounds = 3

// ended gives what the run has come to.
func (r *reconciliation) ended(rec *runs.Record) runs.State {
	switch {
	case rec.Outcome != "":
		return rec.Outcome
	case r.failed.Count() == 0 && r.missing.Count() == 0 && r.badRecords == 0 && r.lostRecords == 0:
		return runs.Completed
	}
	return runs.CompletedWithFailures
}
