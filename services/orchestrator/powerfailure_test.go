package orchestrator

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// A power failure may undo that committed files are visible: they are staged as before.
func TestWhatAPowerFailureHidesIsMadeVisibleAgain(t *testing.T) {
	t.Parallel()
	for name, goOn := range map[string]func(*leader) error{
		"by the finaliser":               func(*leader) error { return nil },
		"by who opens the next epoch":    func(l *leader) error { return l.reopen(l.ctx, "the test") },
		"by who opens it after the seal": sealAndReopen,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, "a", "b")
			pen := w.open().newPen(nil)
			for i := range 3 {
				w.must(pen.write(cells{"a": {i}, "b": {i}}))
			}
			before := w.visible()
			l := w.takeOver()
			w.await(l, "the run is taken up", func() bool { return l.restored })
			w.hideAgain(l)
			if left := w.visible(); len(before) != 6 || len(left) != 0 {
				t.Fatalf("%d files were visible and %d are, want 6 and none", len(before), len(left))
			}
			l.mu.Lock()
			w.must(goOn(l))
			l.mu.Unlock()
			l.finish()
			w.isExact()
			if after := w.visible(); !slices.Equal(before, after) {
				t.Errorf("visible are %q, want those that were: %q", after, before)
			}
		})
	}
}

func sealAndReopen(l *leader) error {
	if err := l.seal(l.ctx, "the test"); err != nil {
		return err
	}
	return l.reopen(l.ctx, "the test")
}

// hideAgain moves all visible files to where they were staged.
func (w *world) hideAgain(l *leader) {
	w.t.Helper()
	area := filepath.Join(w.dir(), dataset.StagingDir, dataset.StagingName(l.rec.Epoch, l.rec.Token))
	for _, f := range l.liveFiles() {
		index, _ := indexName(f.Name)
		_, part, err := dataset.ParseIndexName(index)
		w.must(err)
		to := filepath.Join(area, part, f.Name, dataset.FamilyPrefix+dataset.EscapeFamily(f.Family)+".parquet")
		w.must(os.MkdirAll(filepath.Dir(to), 0o755))
		w.must(os.Rename(filepath.Join(w.dir(), dataset.VisiblePath(f.Family, f.Name)), to))
	}
}

// Who opens an epoch may be killed, or have no answer, before the input is read from its start.
func TestTheInputIsReadInTheEpochThatIsOpen(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(context.Context, *leader) error{
		"nobody can read it": func(ctx context.Context, l *leader) error {
			return l.s.d.Client.JS.DeleteConsumer(ctx, streams.Ingest, streams.ConsumerName(stage.Ingest, l.rec.Run))
		},
		"it is read in the epoch before": func(ctx context.Context, l *leader) error {
			return l.rewind(ctx, l.rec.Epoch-1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, "a")
			l := w.open()
			l.mu.Lock()
			w.must(l.reopen(w.ctx(), "the test"))
			l.mu.Unlock()
			if l.rec.Epoch != 2 {
				t.Fatalf("epoch %d is open, want 2", l.rec.Epoch)
			}
			w.must(harm(w.ctx(), l))
			next := w.takeOver()
			w.await(next, "the run is taken up", func() bool { return next.restored })
			epoch, readable, err := streams.InputEpoch(w.ctx(), w.b.JS, w.run)
			if err != nil || !readable || epoch != 2 {
				t.Errorf("the input can be read: %t, in epoch %d (%v), want 2", readable, epoch, err)
			}
			next.finish()
			w.isExact()
		})
	}
}
