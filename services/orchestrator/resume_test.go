package orchestrator

import (
	"errors"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// A family that is added at the front of the list changes the number of every other: what
// is committed is known by name.
func TestFamilyAddedAtTheFront(t *testing.T) {
	t.Parallel()
	for name, ended := range map[string]bool{"of an ended run": true, "of a run that works": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "b", "c")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"b": {0, 1}, "c": {2}}))
			before := w.visible()
			if ended {
				l.finish()
				before = w.visible()
			}
			w.families = append([]string{"a"}, w.families...)
			w.must(l.openAgain(false))
			if ended {
				w.sendInput(l)
			}
			if l.rec.Epoch != 2 {
				t.Errorf("epoch %d, want 2", l.rec.Epoch)
			}
			l.fetch()
			l.finish()
			m := w.isExact()
			if m.Cells.Committed != 9 || l.rec.Round != 0 {
				t.Errorf("%d cells after %d rounds", m.Cells.Committed, l.rec.Round)
			}
			for _, f := range before {
				if !slices.Contains(w.visible(), f) {
					t.Errorf("%s was fetched again", f)
				}
			}
		})
	}
}

// Two systems on one dataset: the second is refused while the first lives, unless it takes
// over; the first then gives up and touches nothing.
func TestTwoSystems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "a", "b")
	l := w.open()
	w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
	g := newGate("reveal")
	late := l.newPen(g.pass)
	wake := g.stopped(t, func() error { return late.write(cells{"a": {2}, "b": {0, 1}}) })

	o := w.another()
	n := o.newcomer(nil)
	err := n.openAgain(false)
	if c, ok := errors.AsType[*control.Error](err); !ok || c.Code != control.CodeOwned {
		t.Fatalf("the second system got %v, want that it is refused", err)
	}
	o.must(n.openAgain(true))
	if n.rec.Epoch != 2 || n.committed.Count() != 2 {
		t.Errorf("the second system is at epoch %d with %d cells, want 2 with 2", n.rec.Epoch, n.committed.Count())
	}
	o.sendInput(n)
	o.must(n.newPen(nil).write(cells{"a": {2}, "b": {0}}))

	w.must(wake())                                                  // it was committed, in a log that counts no more
	if err := l.newPen(nil).write(cells{"b": {2, 3}}); err == nil { // its staging area is gone
		t.Error("the first system's writer has written into the dataset")
	}
	l.watch.owned = l.watch.owned.Add(-2 * ownerBeat)
	w.await(l, "the first system gives up", func() bool { return l.rec.State == runs.Failed && l.rec.Teardown == runs.TeardownDone })
	n.finish()
	o.isExact()
}

// The owner of a dataset is dead: the next system takes it as it is.
func TestOwnerIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	w.must(l.newPen(nil).write(cells{"a": {0}}))
	w.b.Stop()
	o := w.another()
	n := o.newcomer(nil)
	o.must(n.openAgain(false))
	o.sendInput(n)
	n.finish()
	o.isExact()
}

// The staging area goes missing under a working run: nobody could write any more, so the
// next epoch is opened.
func TestStagingAreaIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	w.must(w.disk().EndEpoch(w.ctx(), l.rec.Epoch, l.rec.Token))
	if err := l.newPen(nil).write(cells{"a": {0}}); !errors.Is(err, dataset.ErrFenced) {
		t.Fatalf("a writer without a staging area got %v", err)
	}
	l.watch.owned = l.watch.owned.Add(-2 * ownerBeat)
	w.await(l, "the next epoch opens", func() bool { return l.rec.Epoch == 2 && l.restored })
	l.finish()
	w.isExact()
}

// A feature is an integer in one part and a fraction in the next: all files of the family
// become doubles, and no value changes. Beyond what a double holds they become strings.
func TestTypesAreSettled(t *testing.T) {
	t.Parallel()
	const large = 1<<53 + 1
	for name, tt := range map[string]struct {
		second value
		want   map[string]string // by user
		typ    string
	}{
		"doubles": {doubleValue, map[string]string{"u0": "1000", "u1": "1001.5"}, "double"},
		"strings": {func(b *packed.Block, _ string, _ int) { b.String([]byte("v"), []byte("x")) }, map[string]string{"u0": "1000", "u1": "x"}, "string"},
		"large":   {func(b *packed.Block, _ string, _ int) { b.Int64([]byte("v"), large) }, map[string]string{"u0": "1000", "u1": "9007199254740993"}, "int64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, "a")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0}}))
			w.must(l.newPen(nil).writeAs(cells{"a": {1}}, tt.second))
			l.finish()
			m := w.isExact()
			if got := m.Families[0].Columns; len(got) != 1 || string(got[0].Type) != tt.typ {
				t.Errorf("columns %+v, want one of type %s", got, tt.typ)
			}
			if got := w.values("a"); len(got) != len(tt.want) || got["u0"] != tt.want["u0"] || got["u1"] != tt.want["u1"] {
				t.Errorf("values %v, want %v", got, tt.want)
			}
		})
	}
}

// values gives the text of feature v of a family, by user.
func (w *world) values(family string) map[string]string {
	w.t.Helper()
	got := map[string]string{}
	disk := w.disk()
	all, err := disk.ListVisible(w.ctx())
	w.must(err)
	for _, v := range all {
		if v.Family != family {
			continue
		}
		blob, err := disk.OpenVisible(w.ctx(), v.Family, v.Name)
		w.must(err)
		file, err := parquet.OpenFile(blob, blob.Size())
		w.must(err)
		rows := make([]parquet.Row, file.NumRows())
		reader := parquet.NewReader(file)
		n, _ := reader.ReadRows(rows)
		for _, row := range rows[:n] {
			got[row[0].String()] = row[3].String()
		}
		w.must(errors.Join(reader.Close(), blob.Close()))
	}
	return got
}
