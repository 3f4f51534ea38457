package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/testnotes"
)

// drawn is how many moments a test tries that has too many for all of them.
// FFF_TEST_ALL=1 tries all.
const drawn = 8

func doubleValue(b *packed.Block, family string, user int) {
	b.Double([]byte("v"), float64(len(family)*1000+user)+0.5)
}

// blind is a writer that cannot make visible what is committed.
func blind(step string) error {
	if step == "reveal" {
		return errors.New("permission denied")
	}
	return nil
}

// ripe makes a run with all of the finaliser's work before it: a family whose types are to
// be settled in two swaps, and whose files are merged then, a part that is committed and not
// visible, a file that is lost, a cell that was never fetched.
func (w *world) ripe(l *leader) {
	w.t.Helper()
	pen := l.newPen(nil)
	w.must(pen.write(cells{"a": {0}}))
	w.must(pen.write(cells{"a": {1}}))
	w.must(pen.writeAs(cells{"a": {2}}, doubleValue))
	before := w.visible()
	w.must(pen.write(cells{"b": {0}}))
	for _, path := range w.visible() {
		if !slices.Contains(before, path) {
			w.must(os.Remove(filepath.Join(w.dir(), path)))
		}
	}
	w.must(l.newPen(blind).write(cells{"b": {1}}))
}

// interruption is one way in which the leader is disturbed.
type interruption struct {
	calls bool // only at calls on the dataset
	// disturb runs the leader to its end, or to where it is disturbed, and the run to its
	// end.
	disturb func(w *world, l *leader, m *moments)
}

var interruptions = map[string]interruption{
	"a call on the dataset fails": {calls: true, disturb: func(w *world, l *leader, m *moments) {
		m.act = func() error { return errors.New("no space left on device") }
		m.start()
		l.finish()
	}},
	"it dies": {disturb: func(w *world, l *leader, m *moments) {
		ctx, cancel := context.WithCancel(l.ctx)
		l.ctx, m.act = ctx, m.die(cancel)
		m.start()
		for range 30 {
			if _ = l.once(); ctx.Err() != nil || l.rec.State != runs.Finalising {
				break
			}
		}
		cancel()
		w.takeOver().finish()
	}},
	"it is woken after another has finished": {disturb: func(w *world, l *leader, m *moments) {
		stopAndWake(w, l, m, func() { w.takeOver().finish() })
	}},
	"it is woken in a run that was opened again": {disturb: func(w *world, l *leader, m *moments) {
		var again *leader
		stopAndWake(w, l, m, func() {
			other := w.takeOver()
			other.finish()
			w.must(other.openAgain(false))
			w.sendInput(other)
			again = other
		})
		if again != nil {
			again.finish()
		}
	}},
	"it is woken after another system has finished": {disturb: func(w *world, l *leader, m *moments) {
		stopAndWake(w, l, m, func() {
			other := w.another().newcomer(nil)
			other.w.must(other.openAgain(true))
			other.w.sendInput(other)
			other.finish()
		})
	}},
}

// stopAndWake stops the leader at the moment, has others work, and wakes it.
func stopAndWake(w *world, l *leader, m *moments, others func()) {
	w.t.Helper()
	if m.at == 0 {
		m.start()
		l.finish()
		return
	}
	reached, wake, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	m.act = func() error { close(reached); <-wake; return nil }
	m.start()
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	l.ctx = ctx
	go func() {
		defer close(ended)
		for range 12 {
			_ = l.once()
			if l.rec.State.Ended() && l.rec.Teardown == runs.TeardownDone {
				return
			}
		}
	}()
	select {
	case <-reached:
		others()
		close(wake)
		<-ended
	case <-ended:
		close(wake)
		others()
	}
}

// The leader is disturbed at every moment between the end of the fetching and the end of the
// teardown. The dataset comes out exact.
func TestLeaderDisturbedInItsFinaliser(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(testnotes.Seed(t), 0))
	for name, in := range interruptions {
		b := brokertest.Start(t)
		disturbed := func(t *testing.T, at int) int {
			w := newWorldOn(t, b, fmt.Sprintf("run-%d", at), 3, "a", "b")
			w.t, w.least = t, 2
			m := &moments{at: at, calls: in.calls}
			w.ripe(w.open())
			l := w.leadOn(w.newServiceOn(m.connect(w), m.hooked))
			w.await(l, "the run is taken up", func() bool { return l.restored })
			l.finalising()
			in.disturb(w, l, m)
			w.isExact()
			return m.passed()
		}
		count := 0
		if !t.Run(name+", never", func(t *testing.T) { count = disturbed(t, 0) }) {
			continue
		}
		at := random.Perm(count)
		if os.Getenv("FFF_TEST_ALL") == "" {
			at = at[:min(drawn, count)]
		}
		slices.Sort(at)
		for _, n := range at {
			t.Run(fmt.Sprintf("%s, at %d of %d", name, n+1, count), func(t *testing.T) {
				t.Parallel()
				disturbed(t, n+1)
			})
		}
	}
}

// A family of more files than one entry of the log may swap is settled in several, and the
// files of each swap are those of the family that differ.
func TestTypesSettledInSeveralSwaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6, "a")
	l := w.open()
	l.s.swapFiles = 2
	pen := l.newPen(nil)
	for i := range 5 {
		w.must(pen.write(cells{"a": {i}}))
	}
	w.must(pen.writeAs(cells{"a": {5}}, doubleValue))
	l.finalising()
	w.await(l, "the proof is made", func() bool { return l.rec.State.Ended() })
	var swaps []int
	for _, e := range w.entries() {
		if e.Type == commitlog.Swap {
			swaps = append(swaps, len(e.Remove), len(e.Add))
		}
	}
	if !slices.Equal(swaps, []int{2, 2, 2, 2, 1, 1}) {
		t.Errorf("files that left and came: %v", swaps)
	}
	w.isExact()
}
