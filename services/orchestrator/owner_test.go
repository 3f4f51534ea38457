package orchestrator

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// shy is a store whose _owner is neither there nor free, so many times.
type shy struct {
	dataset.Store
	times, creates int
}

func (s *shy) Create(ctx context.Context, name string, data []byte) error {
	if s.creates++; s.creates <= s.times {
		return fs.ErrExist
	}
	return s.Store.Create(ctx, name, data)
}

// An _owner that is neither there nor free is waited for, and not for ever.
func TestOwnerThatIsNeitherThereNorFree(t *testing.T) {
	t.Parallel()
	for times, claimed := range map[int]bool{3: true, 1 << 30: false} {
		w := newWorld(t, 1, "a")
		store := &shy{times: times}
		l := w.newcomer(func(s dataset.Store) dataset.Store { store.Store = s; return store })
		w.must(l.prepare(w.ctx()))
		err := l.claim(w.ctx(), false)
		if claimed != (err == nil) || !claimed && (store.creates != claimTries || !strings.Contains(err.Error(), dataset.OwnerName)) {
			t.Errorf("after %d tries: %v", store.creates, err)
		}
	}
}

// The owner says that it lives while the finaliser, or the opening of an epoch, takes long:
// nobody takes its dataset for one that was left.
func TestOwnerLivesWhileAStepTakesLong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step string
		work func(*leader) error
	}{
		"finaliser": {"put " + dataset.ManifestName, func(l *leader) error { l.finalising(); return l.once() }},
		"opening":   {"begin epoch", func(l *leader) error { l.mu.Lock(); defer l.mu.Unlock(); return l.reopen(l.ctx, "the test") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, "a")
			w.open().fetch()
			g := newGate(tt.step)
			l := w.takeOverOn(g.hooked)
			w.await(l, "the run is taken up", func() bool { return l.restored })
			wake := g.stopped(t, func() error { return tt.work(l) })
			beat := func() time.Time {
				data, err := w.disk().Get(w.ctx(), dataset.OwnerName)
				w.must(err)
				o, err := dataset.DecodeOwner(data)
				w.must(err)
				return o.Beat
			}
			before := beat()
			brokertest.Await(t, "the owner says that it lives", func() bool { return !beat().Equal(before) })
			w.must(wake())
		})
	}
}
