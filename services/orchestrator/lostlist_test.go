package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// baseLists gives the paths of the lists that epochs began with.
func (w *world) baseLists() []string {
	w.t.Helper()
	names, err := w.disk().ListIndexes(w.ctx())
	w.must(err)
	var lists []string
	for _, n := range names {
		if strings.Contains(n, "-open-") {
			lists = append(lists, filepath.Join(w.dir(), "_commits", n))
		}
	}
	return lists
}

// The list of files that an epoch began with is lost or damaged. Whoever takes the run up
// begins the log anew from the dataset; nothing that is visible is fetched again.
func TestListOfAnEpochIsLost(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"removed":   os.Remove,
		"damaged":   func(path string) error { return os.WriteFile(path, []byte("[]"), 0o644) },
		"truncated": func(path string) error { return os.Truncate(path, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
			l.mu.Lock()
			w.must(l.reopen(w.ctx(), "the test"))
			l.mu.Unlock()
			w.must(l.newPen(nil).write(cells{"b": {0}}))
			lists := w.baseLists()
			if len(lists) != 1 {
				t.Fatalf("lists %v, want one", lists)
			}
			w.must(harm(lists[0]))
			next := w.takeOver()
			w.await(next, "the run is taken up", func() bool { return next.restored })
			if n := next.committed.Count(); n != 3 || next.rec.Epoch != 3 {
				t.Errorf("%d cells are known to be committed in epoch %d, want 3 in epoch 3", n, next.rec.Epoch)
			}
			next.finish()
			w.isExact()
		})
	}
}

// forgetful is a store that loses the lists of epochs as soon as they are written, as if
// somebody else had swept the dataset.
type forgetful struct {
	dataset.Store
	left int // lists to lose
}

func (f *forgetful) PutIndex(ctx context.Context, name string, data []byte) error {
	err := f.Store.PutIndex(ctx, name, data)
	if err == nil && strings.Contains(name, "-open-") && f.left > 0 {
		f.left--
		return f.Store.RemoveIndex(ctx, name)
	}
	return err
}

// The leader opens an epoch whose list is gone before the log tells of it. It finds out, and
// does not wait for what cannot come.
func TestListIsLostWhileItsEpochOpens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "a", "b")
	l := w.open()
	w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
	l.store = &forgetful{l.store, 1}
	l.mu.Lock()
	err := l.reopen(w.ctx(), "the test")
	l.mu.Unlock()
	if !errors.Is(err, commits.ErrBase) {
		t.Fatalf("the opening ends with %v", err)
	}
	w.await(l, "the run is taken up", func() bool { return l.restored })
	if n := l.committed.Count(); n != 2 {
		t.Errorf("%d cells are known to be committed, want 2", n)
	}
	l.finish()
	w.isExact()
}

// The next leader sees another place than the one that the log speaks of. It ends the run and
// leaves the log; when the place is the right one again, the run goes on with all that was
// committed. Who says that the dataset is lost begins anew.
func TestAnotherPlaceThanTheLogSpeaksOf(t *testing.T) {
	t.Parallel()
	for name, goOn := range map[string]func(w *world, l *leader) (committed int64){
		"the place is put right": func(w *world, l *leader) int64 {
			l.s.openStore = w.newService(nil).openStore
			w.must(l.openAgain(false))
			return 2
		},
		"the dataset is lost": func(w *world, l *leader) int64 {
			w.must(l.openAgain(true))
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			w.bucket = t.TempDir()
			l := w.open()
			w.must(l.newPen(nil).write(cells{"a": {0, 1}}))
			l.mu.Lock()
			w.must(l.reopen(w.ctx(), "the test"))
			l.mu.Unlock()
			entries := len(w.entries())

			elsewhere := *w
			elsewhere.bucket = t.TempDir()
			next := elsewhere.takeOver()
			next.tornDown()
			if next.rec.State != runs.Failed || !strings.Contains(next.rec.Reason, "AWS_ENDPOINT_URL_S3") || len(w.entries()) != entries {
				t.Fatalf("the run is %s (%s), with %d entries of %d", next.rec.State, next.rec.Reason, len(w.entries()), entries)
			}
			if err := next.openAgain(false); err == nil || !strings.Contains(err.Error(), "--take-over") || len(w.entries()) != entries {
				t.Fatalf("opened there again: %v, with %d entries of %d", err, len(w.entries()), entries)
			}
			want := goOn(w, next)
			if n := next.committed.Count(); n != want {
				t.Errorf("%d cells are known to be committed, want %d", n, want)
			}
			if want > 0 {
				elsewhere.bucket = w.bucket
			}
			elsewhere.sendInput(next)
			next.finish()
			elsewhere.isExact()
		})
	}
}
