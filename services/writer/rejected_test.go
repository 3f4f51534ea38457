package writer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// committer decides as it is told.
type committer func(*commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error)

func (c committer) Commit(_ context.Context, _ *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
	return c(p)
}

// Every rejection takes its cells out for good: between two tries other parts commit, so
// one part may be rejected often, each time for other cells.
func TestRejectedCellsStayOut(t *testing.T) {
	file, err := runfile.Parse("run.yaml", []byte("run: job\nfamilies: [{id: credit, cached: false}]\nfeature_service: {url: \"http://127.0.0.1:9/\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	disk, err := dataset.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.BeginEpoch(t.Context(), 1, "token"); err != nil {
		t.Fatal(err)
	}
	var rows []int64
	decide := committer(func(p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
		data, err := disk.GetIndex(t.Context(), dataset.IndexName(p.Epoch, p.Part))
		if err != nil {
			return "", nil, err
		}
		part, err := dataset.DecodePart(data)
		if err != nil {
			return "", nil, err
		}
		rows = append(rows, p.Files[0].Rows)
		tried := len(rows) - 1
		if tried == 3 {
			return commitlog.Committed, &commitlog.Entry{}, nil
		}
		if tried > 3 {
			return "", nil, fmt.Errorf("a part with %v rows was staged", rows)
		}
		bits := dataset.NewBitmap(len(part.Keys))
		bits.Add(tried)
		return commitlog.Rejected, &commitlog.Entry{Rejected: map[string][]byte{"credit": commitlog.PackBitmap(bits)}}, nil
	})
	place := func(context.Context, *stage.Run) (*writer.Place, error) {
		return &writer.Place{Store: disk, Token: "token"}, nil
	}
	s := writer.NewStage(writer.Bounds{EncodeBytes: 1 << 20, PartBytes: 1, PartAge: time.Hour, Flushes: 1}, "w", place, decide, zerolog.Nop())
	b := packed.NewBuilder()
	block := b.Block("credit")
	for i := range 5 {
		block.Begin()
		block.Int64([]byte("score"), int64(i))
		block.End(b.Sample(fmt.Sprint(i), 1))
	}
	m := &stage.Message{Run: &stage.Run{ID: "job", Epoch: 1, File: file}, Data: b.Encode(nil, packed.FeatureService)}
	units, err := s.Units(m)
	if err != nil {
		t.Fatal(err)
	}
	if verdicts := s.Do(t.Context(), m, units[0], nil); len(verdicts) > 0 {
		t.Fatalf("the message is not done: %v", verdicts[0].Err)
	}
	if got := fmt.Sprint(rows); got != "[5 4 3 2]" {
		t.Errorf("parts of %s rows were staged, want [5 4 3 2]", got)
	}
}
