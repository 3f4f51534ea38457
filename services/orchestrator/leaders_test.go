package orchestrator

import (
	"errors"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// A leader has looked at the cells of a part and is stopped before it appends the commit.
// Another takes over and commits the same cells.
func TestLeaderWokenBeforeItsCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "a", "b")
	w.open()
	g := newGate("get index")
	old := w.takeOverOn(g.hooked)
	g.armed.Store(false)
	w.await(old, "the old leader leads", func() bool { return old.restored })
	g.armed.Store(true)
	first := old.newPen(nil)
	wake := g.stopped(t, func() error { return first.write(cells{"a": {0, 1}}) })

	l := w.takeOver()
	w.await(l, "the new leader leads", func() bool { return l.restored })
	w.must(l.newPen(nil).write(cells{"a": {1, 2}}))
	w.must(wake())
	if l.committed.CountOf("a") != 2 || old.committed.CountOf("a") != 3 {
		t.Errorf("the new leader knows %d cells, the old one %d; want 2 and, since it appended last, 3", l.committed.CountOf("a"), old.committed.CountOf("a"))
	}
	w.must(l.newPen(nil).write(cells{"a": {0}, "b": {0}})) // the new one takes in what the old one has committed
	l.finish()
	w.isExact()
}

// The answer to a commit is lost and the leader gives up on it: the commit stands, and the
// leader does not know. It takes it in before it decides on anything else.
func TestLeaderWhoseCommitWasNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "a")
	l := w.open()
	part := l.newPen(nil).stageOnly(cells{"a": {0, 1}})
	sent := commits.New(w.b.Client, w.run, l.base)
	w.must(sent.CatchUp(w.ctx()))
	w.must(sent.Append(w.ctx(), &commitlog.Entry{Type: commitlog.Commit, Prev: l.last, Epoch: part.Epoch, Part: part.Part, Files: part.Files}))

	if err := l.decide(w.ctx(), part); !errors.Is(err, errMoved) {
		t.Errorf("the leader decides on old ground: %v", err)
	}
	w.must(l.newPen(nil).write(cells{"a": {1, 2}}))
	w.must(l.decide(w.ctx(), part)) // delivered again
	if n := len(w.entries()); n != 4 {
		t.Errorf("%d entries, want open, commit, reject, commit", n)
	}
	l.finish() // makes visible what its writer has left
	w.isExact()
	if l.rec.Round != 0 {
		t.Errorf("%d rounds of repair", l.rec.Round)
	}
}

// A part is delivered again and again: the verdict stands.
func TestPartDeliveredAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	part := l.newPen(nil).stageOnly(cells{"a": {0}})
	other := w.takeOver()
	w.await(other, "it leads", func() bool { return other.restored })
	for range 3 {
		w.must(l.decide(w.ctx(), part))
	}
	for range 3 {
		if err := other.decide(w.ctx(), part); err != nil {
			w.await(other, "it leads again", func() bool { return other.restored })
		}
	}
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d entries, want open and commit", n)
	}
}

// A part whose completion index is not there cannot be committed.
func TestPartWithoutItsIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	part := l.newPen(nil).stageOnly(cells{"a": {0}})
	w.must(w.disk().RemoveIndex(w.ctx(), dataset.IndexName(part.Epoch, part.Part)))
	w.must(l.decide(w.ctx(), part))
	if all := w.entries(); all[len(all)-1].Type != commitlog.Void {
		t.Errorf("the verdict is %s", all[len(all)-1].Type)
	}
	l.finish()
	w.isExact()
}

// The lists that epochs start with are needed until the log is gone: by a leader that takes
// the run over when all was swept and the record not yet written.
func TestLeaderTakesOverAfterTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a", "b")
	l := w.open()
	w.must(l.newPen(nil).write(cells{"a": {0}}))
	for range 2 { // two epochs with a list each
		l.mu.Lock()
		w.must(l.reopen(w.ctx(), "the test"))
		l.mu.Unlock()
		w.must(l.newPen(nil).write(cells{"b": {int(l.rec.Epoch) - 2}}))
	}
	l.fetch()
	before := *l.rec
	l.finalising()
	w.await(l, "the proof is made", func() bool { return l.rec.State.Ended() })
	rec := *l.rec
	rec.State, rec.Teardown = runs.Finalising, before.Teardown
	w.must(l.s.bucket.Put(w.ctx(), &rec)) // as if the leader had died just before it
	next := w.takeOver()
	next.finish()
	m := w.isExact()
	if next.rec.Epoch != 3 || len(m.Epochs) != 3 {
		t.Errorf("epoch %d; the manifest tells of %d", next.rec.Epoch, len(m.Epochs))
	}
}
