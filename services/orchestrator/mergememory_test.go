package orchestrator

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// oneFile is a store in which every visible file is the same one.
type oneFile struct {
	dataset.Store
	data []byte
}

func (s *oneFile) OpenVisible(context.Context, string, string) (dataset.Blob, error) {
	return memoryBlob{bytes.NewReader(s.data)}, nil
}

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

// heapPeak is a writer that looks at the heap whenever something is written to it.
type heapPeak struct{ most int64 }

func (p *heapPeak) Write(b []byte) (int, error) {
	p.most = max(p.most, inUse())
	return len(b), nil
}

// Files of a merge that have few rows are mostly footer, and take several times as much memory
// when they are open as they have bytes. However many there are, those that are open at the
// same time fit what a merge may take, or nearly. Not parallel: the heap is everybody's.
func TestOpenFilesOfAMergeFitItsMemory(t *testing.T) {
	const columns, count = 60, 1000
	data, final := fileOfOneRow(t, columns)
	files := make([]commitlog.File, count)
	for i := range files {
		files[i] = commitlog.File{Family: "a", Name: dataset.PartFile(1, fmt.Sprint(i)), Rows: 1, Bytes: int64(len(data)), Checksum: dataset.Sum(data)}
	}
	r := groupReader{j: &job{store: &oneFile{data: data}}}
	var peak heapPeak
	before := inUse()
	if err := dataset.Merge(t.Context(), r.rowGroups(t.Context(), files, columns), final, &peak); err != nil {
		t.Fatal(err)
	}
	if took := peak.most - before; took > mergedGroupBytes*5/4 {
		t.Errorf("merging %d files of %d columns and %d bytes takes %d bytes, more than %d", count, columns, len(data), took, mergedGroupBytes)
	}
}

// fileOfOneRow gives a file of so many columns of doubles.
func fileOfOneRow(t *testing.T, columns int) (data []byte, final []dataset.FinalColumn) {
	t.Helper()
	b := packed.NewBuilder()
	k := b.Block("a")
	k.Begin()
	doubles(columns)(k, "a", 0)
	k.End(b.Sample(user(0), testMS))
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, packed.FeatureService), &m); err != nil {
		t.Fatal(err)
	}
	rows := &dataset.FamilyRows{Run: "demo"}
	rows.Add(&m, &m.Blocks[0], nil)
	var file bytes.Buffer
	of, _, err := dataset.WriteFamily(&file, runfile.Family{ID: "a"}, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), of
}
