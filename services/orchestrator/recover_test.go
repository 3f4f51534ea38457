package orchestrator

import (
	"context"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// slow is a store whose Reveal answers when so many are waiting for it, each of which
// finds its file lost.
type slow struct {
	dataset.Store
	all *sync.WaitGroup
}

func (s *slow) Reveal(ctx context.Context, epoch uint64, token, part, family, name string, _ dataset.StagedFile) error {
	s.all.Done()
	s.all.Wait()
	return dataset.ErrNotStaged
}

// Lost files are waited for together: by the finaliser, and by who opens the next epoch.
func TestLostFilesAreWaitedForTogether(t *testing.T) {
	t.Parallel()
	const lost = 10
	for name, work := range map[string]func(*leader) error{
		"finaliser": func(l *leader) error { return l.rollForward(l.ctx) },
		"opening":   func(l *leader) error { return l.reopen(l.ctx, "the test") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lost, "a")
			l := w.open()
			for i := range lost {
				w.must(l.newPen(blind).write(cells{"a": {i}}))
			}
			l = w.takeOver()
			w.await(l, "the run is taken up", func() bool { return l.restored })
			l.mu.Lock()
			defer l.mu.Unlock()
			w.must(l.seal(w.ctx(), "the test"))
			all := &sync.WaitGroup{}
			all.Add(lost)
			l.store = &slow{l.store, all}
			w.must(work(l))
			if n := len(l.liveFiles()); n != 0 {
				t.Errorf("%d files are live, want none", n)
			}
		})
	}
}
