package orchestrator

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// snapshot keeps the broker's store as it is.
func (w *world) snapshot(leaders ...*leader) (putBack func()) {
	w.t.Helper()
	back := w.b.Snapshot()
	connected := func() {
		for _, l := range leaders {
			w.b.AwaitConnected(l.s.d.Client)
		}
	}
	connected()
	return func() {
		w.t.Helper()
		back()
		connected()
	}
}

// The broker's store is put back to an earlier copy. What was committed since is known from
// the dataset alone, and is not fetched again.
func TestStorePutBackInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*world, *leader) *leader{
		"the leader lives":     func(_ *world, l *leader) *leader { return l },
		"another leader comes": func(w *world, _ *leader) *leader { return w.takeOver() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4, "a", "b")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
			back := w.snapshot(l)
			w.must(l.newPen(nil).write(cells{"a": {2}, "b": {0, 1}}))
			files := w.visible()
			back()
			l = next(w, l)
			w.await(l, "the next epoch opens", func() bool { return l.rec.Epoch == 2 && l.restored })
			if n := l.committed.Count(); n != 5 {
				t.Errorf("%d cells are known to be committed, want 5", n)
			}
			l.finish()
			w.isExact()
			for _, f := range files {
				if !slices.Contains(w.visible(), f) {
					t.Errorf("%s is gone; it was committed in the log that was lost", f)
				}
			}
		})
	}
}

// A part is committed, and the log put back before its writer makes it visible.
func TestStorePutBackBeforeACommittedPartIsVisible(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*world, *leader) *leader{
		"the leader lives":     func(_ *world, l *leader) *leader { return l },
		"another leader comes": func(w *world, _ *leader) *leader { return w.takeOver() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4, "a", "b")
			l := w.open()
			back := w.snapshot(l)
			g := newGate("reveal")
			late := l.newPen(g.pass)
			wake := g.stopped(t, func() error { return late.write(cells{"a": {0, 1}}) })
			back()
			l = next(w, l)
			w.await(l, "the run is taken up", func() bool { return l.restored })
			if err := l.once(); err != nil {
				t.Log(err)
			}
			w.await(l, "the run is taken up", func() bool { return l.restored })
			l.fetch()
			w.must(wake())
			l.finish()
			w.isExact()
		})
	}
}

// The store is put back after the last commit: in the finaliser, or when all was done.
func TestStorePutBackAfterTheLastCommit(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(*world, *leader) (back func()){
		"to before the types were settled": func(w *world, l *leader) func() {
			back := w.snapshot(l)
			l.finalising()
			return back
		},
		"to the finaliser's start": func(w *world, l *leader) func() {
			l.finalising()
			return w.snapshot(l)
		},
		"to before the teardown": func(w *world, l *leader) func() {
			l.finalising()
			w.await(l, "the proof is made", func() bool { return l.rec.State.Ended() })
			return w.snapshot(l)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}, "b": {0}}))
			w.must(l.newPen(nil).writeAs(cells{"a": {2}, "b": {1, 2}}, doubleValue))
			back := at(w, l)
			l.finish()
			w.isExact()
			back()
			l = w.takeOver()
			l.finish()
			w.isExact()
			if l.rec.Round != 0 {
				t.Errorf("%d rounds of repair; all was in the dataset", l.rec.Round)
			}
		})
	}
}

// The store is put back to before the run was opened, while its leader lives; or it is lost
// altogether, and somebody opens the run again.
func TestStoreWithoutTheRun(t *testing.T) {
	t.Parallel()
	t.Run("the leader lives", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 3, "a", "b")
		l := w.newcomer(nil)
		back := w.snapshot(l)
		w.must(l.openAgain(false))
		w.sendInput(l)
		w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
		back()
		w.await(l, "the next epoch opens", func() bool { return l.rec.Epoch == 2 && l.restored })
		if n := l.committed.Count(); n != 2 {
			t.Errorf("%d cells are known to be committed, want 2", n)
		}
		if rec, err := l.s.bucket.Get(w.ctx(), w.run); err != nil || rec.Epoch != 2 {
			t.Errorf("the run's record is %+v, %v", rec, err)
		}
	})
	t.Run("another system", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 3, "a", "b")
		l := w.open()
		w.must(l.newPen(nil).write(cells{"a": {0, 1}, "b": {2}}))
		w.must(l.newPen(blind).write(cells{"b": {1}})) // staged when the store was lost
		w.b.Stop()
		o := w.another()
		n := o.newcomer(nil)
		o.must(n.openAgain(false))
		if n.rec.Epoch != 2 || n.committed.Count() != 3 {
			t.Errorf("epoch %d with %d cells, want 2 with 3", n.rec.Epoch, n.committed.Count())
		}
		o.sendInput(n)
		n.finish()
		m := o.isExact()
		if len(m.Epochs) != 1 || m.Epochs[0].Epoch != 2 {
			t.Errorf("epochs %+v", m.Epochs)
		}
	})
}

// A run that is being cancelled when the next epoch must be opened stays cancelled.
func TestCancelledRunStaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	w.must(l.stop(w.ctx(), runs.Cancelled, "cancelled on request"))
	w.must(w.disk().Remove(w.ctx(), dataset.OwnerName))
	l.finish()
	if l.rec.State != runs.Cancelled || l.rec.Reason != "cancelled on request" || l.rec.Epoch != 2 {
		t.Errorf("the run is %s (%s), epoch %d", l.rec.State, l.rec.Reason, l.rec.Epoch)
	}
}

// A committed file, its index, or its end is lost. The cells are fetched again.
func TestLostFiles(t *testing.T) {
	t.Parallel()
	losses := map[string]func(w *world, path string) error{
		"file": func(w *world, path string) error { return os.Remove(path) },
		"index": func(w *world, path string) error {
			name, _ := indexName(filepath.Base(path))
			return w.disk().RemoveIndex(w.ctx(), name)
		},
		"damaged index": func(w *world, path string) error {
			name, _ := indexName(filepath.Base(path))
			return os.WriteFile(filepath.Join(w.dir(), "_commits", name), []byte("damaged"), 0o644)
		},
		"end": func(_ *world, path string) error { return os.Truncate(path, 10) },
	}
	for what, lose := range losses {
		t.Run(what+" of this opening", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
			w.must(lose(w, filepath.Join(w.dir(), w.visible()[0])))
			l.fetch()
			l.finish()
			w.isExact()
			if l.rec.Round != 1 {
				t.Errorf("%d rounds, want 1", l.rec.Round)
			}
		})
		t.Run(what+" of an earlier opening, while the next works", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
			l.finish()
			file := w.visible()[0]
			w.families = append(w.families, "c")
			w.must(l.openAgain(false))
			w.sendInput(l)
			w.must(lose(w, filepath.Join(w.dir(), file)))
			l.finish()
			w.isExact()
			if l.rec.Round != 1 {
				t.Errorf("%d rounds, want 1", l.rec.Round)
			}
		})
	}
}

// What is lost between two openings is found when the second one begins.
func TestFileLostBetweenOpenings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "a", "b")
	l := w.open()
	l.finish()
	w.must(os.Remove(filepath.Join(w.dir(), w.visible()[0])))
	w.must(l.openAgain(false))
	w.sendInput(l)
	if n := l.committed.Count(); n != 3 {
		t.Errorf("%d cells are committed at the start, want 3", n)
	}
	l.finish()
	w.isExact()
	if l.rec.Round != 0 {
		t.Errorf("%d rounds, want 0", l.rec.Round)
	}
}

// Parts that overlap: the second is rejected, and its writer commits the rest.
func TestOverlappingParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "a", "b")
	l := w.open()
	w.must(l.newPen(nil).write(cells{"a": {0, 1, 2}}))
	second := l.newPen(nil)
	w.must(second.write(cells{"a": {2, 3}, "b": {1}}))
	w.must(second.write(cells{"a": {0, 3}, "b": {1}})) // nothing is left of it
	w.must(second.write(cells{"a": {0, 3}, "b": {0}}))
	var outcomes []commitlog.Outcome
	for _, e := range w.entries() {
		if e.Part != "" {
			outcomes = append(outcomes, commitlog.Outcome(e.Type))
		}
	}
	want := []commitlog.Outcome{"commit", "reject", "commit", "reject", "reject", "commit"}
	if !slices.Equal(outcomes, want) {
		t.Errorf("the log says %v, want %v", outcomes, want)
	}
	if n := l.committed.Count(); n != 6 {
		t.Errorf("%d cells committed, want 6", n)
	}
	l.finish()
	w.isExact()
}

// entries gives the entries of the log.
func (w *world) entries() []*commitlog.Entry {
	w.t.Helper()
	var all []*commitlog.Entry
	for _, m := range w.b.Stored("FFF_COMMITS", "fff.commits."+w.run) {
		e, err := commitlog.Decode(m.Data)
		w.must(err)
		all = append(all, e)
	}
	return all
}
