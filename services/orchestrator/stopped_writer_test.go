package orchestrator

import "testing"

// A writer is stopped at any of its steps and woken when the ground has changed under it.
// Whatever it then does, each cell is in the dataset once.
func TestWriterWokenTooLate(t *testing.T) {
	t.Parallel()
	wakings := map[string]func(*world, *leader){
		"after the seal": func(w *world, l *leader) {
			l.finalising()
			l.mu.Lock()
			defer l.mu.Unlock()
			w.must(l.seal(w.ctx(), "the test"))
		},
		"after a repair epoch was opened": func(w *world, l *leader) {
			l.finalising()
			w.await(l, "a repair epoch opens", func() bool { return l.rec.Epoch == 2 })
		},
		"in a repair epoch that has fetched its cells": func(w *world, l *leader) {
			l.finalising()
			w.await(l, "a repair epoch opens", func() bool { return l.rec.Epoch == 2 })
			l.fetch()
		},
		"after the teardown": func(w *world, l *leader) {
			l.finish()
			w.isExact()
		},
	}
	for _, step := range []string{"stage", "put index", "hand over", "reveal"} {
		for when, change := range wakings {
			t.Run(step+" "+when, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 4, "a", "b")
				l := w.open()
				g := newGate(step)
				late := l.newPen(g.pass)
				wake := g.stopped(t, func() error { return late.write(cells{"a": {0, 1}, "b": {1, 2}}) })
				change(w, l)
				err := wake()
				if committed := step == "reveal"; (err == nil) != committed {
					t.Errorf("the late writer got %v; its part was committed: %v", err, committed)
				}
				if !l.rec.State.Ended() {
					l.finish()
				}
				w.isExact()
			})
		}
	}
}
