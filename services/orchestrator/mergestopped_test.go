package orchestrator

import (
	"context"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// revealedStore tells when a file has become visible, which ends a family's swap.
type revealedStore struct {
	dataset.Store
	revealed func(string) error
}

func (s *revealedStore) Reveal(ctx context.Context, epoch uint64, token, part, family, name string, staged dataset.StagedFile) error {
	if err := s.Store.Reveal(ctx, epoch, token, part, family, name, staged); err != nil {
		return err
	}
	return s.revealed("revealed")
}

// A leader is stopped in its merge and woken when another system has taken the dataset over,
// and with it the very files that the merge was to remove. The log of the one that was stopped
// knows nothing of that, and takes its entries. It looks who leads before it removes a family's
// files, and gets no further; where it was stopped between the look and the removal, the files
// of that one family are lost, and their cells are fetched again.
func TestLeaderWokenInItsMerge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		step string
		most int // families that may lose files
	}{
		"between two families":                 {"revealed", 0},
		"between the look and what it removes": {"remove visible", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, leastMerged, "a", "b", "c", "d")
			w.small(w.open(), leastMerged)
			g := newGate(tt.step)
			old := w.takeOverOn(func(s dataset.Store) dataset.Store {
				return &revealedStore{g.hooked(s), g.pass}
			})
			w.await(old, "the run is taken up", func() bool { return old.restored })
			old.finalising()
			wake := g.stopped(t, func() error {
				for range 5 { // it tries again whatever goes wrong
					_ = old.once()
				}
				return nil
			})
			next := w.another().newcomer(nil)
			next.w.must(next.openAgain(true))
			next.w.sendInput(next)
			before := next.lostFamilies()
			w.must(wake())
			if lost := next.lostFamilies(); len(before) != 0 || len(lost) > tt.most {
				t.Errorf("families %v have lost files, %v before it was woken; want %d at the most", lost, before, tt.most)
			}
			next.finish()
			next.w.isExact()
		})
	}
}

// lostFamilies gives the families of which committed files are not visible.
func (l *leader) lostFamilies() (families []string) {
	l.w.t.Helper()
	visible := l.w.visible()
	for _, f := range l.liveFiles() {
		if !slices.Contains(visible, dataset.VisiblePath(f.Family, f.Name)) && !slices.Contains(families, f.Family) {
			families = append(families, f.Family)
		}
	}
	return families
}
