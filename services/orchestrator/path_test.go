package orchestrator

import "testing"

func TestRunComesToAnExactDataset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, "a", "b")
	l := w.open()
	if err := l.newPen(nil).write(cells{"a": {0, 1}, "b": {3}}); err != nil {
		t.Fatal(err)
	}
	l.finish()
	m := w.isExact()
	if m.Cells.Committed != 10 || len(m.Epochs) != 1 {
		t.Errorf("the manifest says %+v, epochs %+v", m.Cells, m.Epochs)
	}
}
