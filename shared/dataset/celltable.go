package dataset

import (
	"time"

	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// cellTable holds cells in little memory: the number of each sample, and three bits for each
// cell.
type cellTable struct {
	samples  sample.Numbers
	families []*familyCells
	place    map[string]*familyCells
	all      int // the first of families are the run's; the others were only asked for
}

// familyCells are sets of samples, by their number. All three have the same length.
type familyCells struct {
	id                         string
	requested, present, failed Bitmap
}

func newCellTable(families []string) *cellTable {
	t := &cellTable{place: make(map[string]*familyCells, len(families)), all: len(families)}
	for _, id := range families {
		t.family(id)
	}
	return t
}

// family gives a family's cells, and makes them for one that the run does not have.
func (t *cellTable) family(id string) *familyCells {
	f := t.place[id]
	if f == nil {
		f = &familyCells{id: id}
		f.grow(t.samples.Len())
		t.families = append(t.families, f)
		t.place[id] = f
	}
	return f
}

func (f *familyCells) grow(samples int) {
	for len(f.requested)*64 < samples {
		f.requested = append(f.requested, 0)
		f.present = append(f.present, 0)
		f.failed = append(f.failed, 0)
	}
}

// find gives the number of a sample, -1 if there is none.
func (t *cellTable) find(key sample.Key) int {
	n, ok := t.samples.Find(key)
	if !ok {
		return -1
	}
	return int(n)
}

// add gives the number of a sample, and makes one if need be.
func (t *cellTable) add(key sample.Key) int {
	n, fresh := t.samples.Put(key)
	if fresh && n%64 == 0 {
		for _, f := range t.families {
			f.grow(t.samples.Len())
		}
	}
	return int(n)
}

// request notes the cells of a sample as requested.
func (t *cellTable) request(r *Requested) {
	n := t.add(sample.KeyOf(r.UserID, r.EpochMS))
	if r.Families == nil {
		for _, f := range t.families[:t.all] {
			f.requested.Add(n)
		}
		return
	}
	for _, id := range r.Families {
		t.family(id).requested.Add(n)
	}
}

// fail notes the cells that a listed failure explains: one cell, or all of a record.
func (t *cellTable) fail(f *Failure) {
	at, err := time.Parse(time.RFC3339Nano, f.PITCTimestamp)
	if err != nil {
		return // a record without a time explains no cell
	}
	n := t.find(sample.KeyOf(f.UserID, at.UnixMilli()))
	switch {
	case n < 0:
	case f.Kind == stage.KindRecord:
		for _, family := range t.families {
			family.failed.Add(n)
		}
	case f.Kind == stage.KindCell && t.place[f.Family] != nil:
		t.place[f.Family].failed.Add(n)
	}
}

// takeMissing gives the families whose cell of the sample is missing, and notes them as
// failed, so that they are given once.
func (t *cellTable) takeMissing(r *Requested) []string {
	n := t.find(sample.KeyOf(r.UserID, r.EpochMS))
	if n < 0 {
		return nil
	}
	var missing []string
	for _, f := range t.families {
		if f.requested.Has(n) && !f.present.Has(n) && !f.failed.Has(n) {
			f.failed.Add(n)
			missing = append(missing, f.id)
		}
	}
	return missing
}
