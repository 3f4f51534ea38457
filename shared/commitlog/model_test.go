package commitlog

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/testnotes"
)

// Bounds of the model test. The events of a seed are followed by a quiet time in which
// the run must come to its end.
const (
	modelEvents = 400
	quietEvents = 3000
	modelSeeds  = 500  // without a fault
	findSeeds   = 2000 // tried for a planted fault that its seed does not find
)

// play draws a history of the world and tells what is wrong with it, or "".
func play(seed uint64, p planted) (history []string, wrong string) {
	m := newModel(seed, p)
	var all []*actor
	defer func() {
		for _, a := range all {
			a.stop()
		}
	}()
	for i := range 3 {
		all = append(all, start(modelWriter(m)))
		if i < 2 {
			all = append(all, start(newModelLeader(m, fmt.Sprintf("leader %d", i+1))))
		}
	}
	m.keep()
	for range modelEvents {
		m.event = m.happen(all)
		history = append(history, m.event)
		if wrong = m.judge(); wrong != "" {
			return history, wrong
		}
	}
	all = append(all, start(modelWriter(m)), start(newModelLeader(m, "last leader")))
	for range quietEvents {
		if m.rec.done && m.success {
			return history, ""
		}
		if m.rec.done {
			m.openAgain()
		}
		m.event, _ = all[len(all)-1-m.random.IntN(2)].next()
		history = append(history, m.event)
		if wrong = m.judge(); wrong != "" {
			return history, wrong
		}
	}
	return history, "the run comes to no end"
}

// happen is one event.
func (m *model) happen(all []*actor) string {
	switch n := m.random.IntN(100); {
	case n == 0:
		m.keep()
		return "the store is copied"
	case n == 1:
		m.putBack()
		return "the store is put back"
	case n == 2:
		m.takeAway()
		return "a file is taken away"
	case n == 3 && m.rec.done:
		m.openAgain()
		return "the run is opened again"
	case n == 4:
		i := m.random.IntN(len(all))
		all[i].stop()
		if i%2 == 1 && i < 4 {
			all[i] = start(newModelLeader(m, fmt.Sprintf("leader %d anew", i)))
		} else {
			all[i] = start(modelWriter(m))
		}
		return "somebody dies"
	}
	what, _ := all[m.random.IntN(len(all))].next()
	return what
}

// openAgain asks for a run that has ended: the next leader that looks opens an epoch, for
// the one of the record is sealed.
func (m *model) openAgain() {
	m.put(m.rec, func(r *record) { r.done, r.finalising = false, false })
}

// No history of the system without a fault breaks a promise.
func TestModel(t *testing.T) {
	t.Parallel()
	first, seeds := testnotes.Seed(t), uint64(modelSeeds)
	if os.Getenv("FFF_TEST_ALL") != "" {
		seeds *= 200
	}
	for seed := first; seed < first+seeds; seed++ {
		if history, wrong := play(seed, planted{}); wrong != "" {
			t.Fatalf("seed %d, after %d events: %s\n%s", seed, len(history), wrong, strings.Join(history[max(0, len(history)-60):], "\n"))
		}
	}
}

// Each fault, planted, is found: the model would find it in the system too. The seed of each
// is one that does, soon; when the model has changed the test names another.
func TestModelFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		planted
		seed uint64
	}{
		"epoch":      {planted{faults: faults{ignoreEpoch: true}}, 96},
		"prev":       {planted{faults: faults{ignorePrev: true}}, 65},
		"seal":       {planted{faults: faults{ignoreSeal: true}}, 223},
		"sweep":      {planted{faults: faults{sweepAnything: true}}, 21},
		"visibility": {planted{faults: faults{presumeCommit: true}}, 94},
		"ground":     {planted{decidesLate: true}, 236},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if history, wrong := play(fault.seed, fault.planted); wrong != "" {
				t.Logf("found after %d events: %s", len(history), wrong)
				return
			}
			for seed := range uint64(findSeeds) {
				if _, wrong := play(seed, fault.planted); wrong != "" {
					t.Fatalf("not found with seed %d; seed %d finds it: %s", fault.seed, seed, wrong)
				}
			}
			t.Fatalf("not found in %d seeds", findSeeds)
		})
	}
}
