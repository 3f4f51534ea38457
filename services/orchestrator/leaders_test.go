package orchestrator

import "testing"

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
