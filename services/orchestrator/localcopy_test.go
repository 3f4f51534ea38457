package orchestrator

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// copiedWorld is a run that is complete in S3, with its teardown before it.
func copiedWorld(t *testing.T, store func(dataset.Store) dataset.Store) (*world, *leader) {
	t.Helper()
	w := newWorld(t, 2, "a")
	w.bucket = t.TempDir()
	w.open().fetch()
	l := w.takeOverOn(store)
	w.await(l, "the run is taken up", func() bool { return l.restored })
	l.finalising()
	w.await(l, "the proof is made", func() bool { return l.rec.State.Ended() })
	return w, l
}

// tornDown has the leader work until the teardown is done, and a local copy with it.
func (l *leader) tornDown() {
	l.w.t.Helper()
	brokertest.Await(l.w.t, "the run is torn down", func() bool {
		if err := l.once(); err != nil {
			l.w.t.Log(err)
		}
		return l.rec.Teardown == runs.TeardownDone
	})
}

func (w *world) isOwned() bool {
	w.t.Helper()
	_, err := w.disk().Get(w.ctx(), dataset.OwnerName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return err == nil
}

// The copy comes when all else but the ownership is taken down. While it is under way the
// run answers, and its owner lives.
func TestLocalCopy(t *testing.T) {
	t.Parallel()
	g := newGate("open visible")
	g.armed.Store(false)
	w, l := copiedWorld(t, g.hooked)
	g.armed.Store(true)
	w.must(l.once())
	<-g.reached
	l.watch.owned = l.watch.owned.Add(-ownerBeat)
	before, err := l.owner(w.ctx())
	w.must(err)
	w.must(l.once())
	now, err := l.owner(w.ctx())
	w.must(err)
	if now.Beat.Equal(before.Beat) {
		t.Error("the owner does not say that it lives")
	}
	if err := l.openAgain(false); !errors.Is(err, errCopying) {
		t.Errorf("who opens the run is told %v", err)
	}
	if n := len(w.entries()); n != 0 || l.rec.Teardown != runs.TeardownPending {
		t.Errorf("while it is copied %d entries of the log are there, and the teardown is %q", n, l.rec.Teardown)
	}
	close(g.opened)
	l.tornDown()
	report, err := dataset.Verify(w.ctx(), dataset.RunDir(w.out, w.run), w.wanted(), dataset.VerifyOptions{})
	if err != nil || report.Outcome != dataset.Exact {
		t.Errorf("the copy is %+v, %v", report, err)
	}
	if w.isOwned() || l.rec.Reason != "" {
		t.Errorf("the dataset is owned: %v; reason %q", w.isOwned(), l.rec.Reason)
	}
}

// A disk that takes no copy does not keep the run from its end. The run says what to do.
func TestLocalCopyThatFails(t *testing.T) {
	t.Parallel()
	w, l := copiedWorld(t, nil)
	w.must(os.WriteFile(filepath.Join(w.out), []byte("in the way"), 0o644))
	l.tornDown()
	w.isExact()
	if w.isOwned() || l.rec.State != runs.Completed {
		t.Errorf("the run is %s; the dataset is owned: %v", l.rec.State, w.isOwned())
	}
	for _, part := range []string{"local_copy", w.out, "aws s3 sync s3://b/p/demo "} {
		if !strings.Contains(l.rec.Reason, part) {
			t.Errorf("the run says %q, and not %q", l.rec.Reason, part)
		}
	}
}

// A dataset that cannot be opened at the moment may be owned by us: the teardown does not
// pass over it, and its log stays until it can.
func TestTeardownWithoutTheDataset(t *testing.T) {
	t.Parallel()
	w, _ := copiedWorld(t, nil)
	s := w.newService(nil)
	open, away := s.openStore, errors.New("the disk is away")
	s.openStore = func(context.Context, *runfile.Output, string) (dataset.Store, string, error) { return nil, "", away }
	l := w.leadOn(s)
	if err := l.once(); !errors.Is(err, away) || l.rec.Teardown != runs.TeardownPending || len(w.entries()) == 0 {
		t.Errorf("the teardown ends with %v, %q, %d entries in the log", err, l.rec.Teardown, len(w.entries()))
	}
	s.openStore = open
	l.tornDown()
	if w.isOwned() {
		t.Error("the dataset is owned still")
	}
}

// A run file that the next leader cannot use ends the run, and leaves what is committed: who
// runs it again has it.
func TestRunFileThatTheNextLeaderCannotUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	w.must(w.open().newPen(blind).write(cells{"a": {0}}))
	l := w.takeOver()
	usable := l.rec.RunFile
	l.rec.RunFile = strings.Replace(usable, "127.0.0.1", "${FFF_TEST_THAT_NOBODY_SETS}", 1)
	w.must(l.s.bucket.Put(w.ctx(), l.rec))
	l.tornDown()
	if l.rec.State != runs.Failed || !strings.Contains(l.rec.Reason, "FFF_TEST_THAT_NOBODY_SETS") {
		t.Errorf("the run is %s: %s", l.rec.State, l.rec.Reason)
	}
	l.rec.RunFile = usable
	w.must(l.s.bucket.Put(w.ctx(), l.rec))
	w.must(l.openAgain(false))
	if n := l.committed.Count(); n != 1 {
		t.Errorf("%d cells are known to be committed, want 1", n)
	}
	w.sendInput(l)
	l.finish()
	w.isExact()
}
