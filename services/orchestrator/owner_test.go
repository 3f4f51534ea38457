package orchestrator

import (
	"context"
	"io/fs"
	"strings"
	"testing"

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
