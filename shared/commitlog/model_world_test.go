package commitlog

import (
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// The model is the smallest world in which the commit can go wrong: a broker that keeps a
// log and a record, a dataset, writers that stage parts and leaders that decide on them.
// Each of them is a coroutine that gives way between any two steps which a machine may be
// stopped between; whoever goes on next is drawn. What the log means is decided by State
// alone, as in the real system.

// cellsOfModel are the cells that the run asks for, as bits.
const cellsOfModel = 1<<5 - 1

// planted is a fault of the system: of what the log means, or one that only who decides can
// make, for the log sees no difference.
type planted struct {
	faults
	decidesLate bool // leaders append to the log as it is, not as it was when they decided
}

// record is the run's record.
type record struct {
	revision   int
	epoch      uint64
	finalising bool
	done       bool
}

// model is the world.
type model struct {
	random *rand.Rand
	plant  planted
	ids    int
	event  string // that is under way

	// The broker.
	log     []*Entry
	rec     record
	queue   []stagedPart // parts; delivered in any order, any number of times
	kept    *kept        // an earlier copy of the store
	written int          // revisions of all times, so that none comes twice

	// The dataset. Files are named by their epoch, and stand with their cells.
	cells   map[string]int             // of each file, as its completion index tells
	epochOf map[string]uint64          // of each file
	areas   map[uint64]map[string]bool // staged files
	visible map[string]bool
	bases   map[string][]File
	listed  []string // what the manifest says
	success bool     // _SUCCESS is there: what the manifest says is all

	// What only the judge knows.
	truth     *State          // the log, read without a fault
	ever      map[string]bool // files that were committed at any time
	takenAway map[string]bool // committed files that the test has removed, or that a lost log had removed
	orphans   map[string]bool // files whose commit stood in a log that is lost
}

type kept struct {
	log   []*Entry
	rec   record
	queue []stagedPart
}

type stagedPart struct {
	epoch uint64
	name  string
}

func newModel(seed uint64, p planted) *model {
	m := &model{
		random: rand.New(rand.NewPCG(seed, 0)), plant: p,
		cells: map[string]int{}, epochOf: map[string]uint64{}, areas: map[uint64]map[string]bool{}, visible: map[string]bool{},
		bases: map[string][]File{}, ever: map[string]bool{}, takenAway: map[string]bool{},
		orphans: map[string]bool{},
	}
	m.truth = m.fold(faults{})
	return m
}

func fileOf(name string) File { return File{Family: "f", Name: name} }

func idOf(name string) FileID { return FileID{"f", name} }

func (m *model) base(e *Entry) ([]File, error) { return m.bases[e.Base], nil }

// fold reads the log from its start.
func (m *model) fold(f faults) *State {
	s := &State{faults: f}
	for _, e := range m.log {
		_, _ = s.Apply(e, m.base) // a base is always there
	}
	return s
}

func (m *model) fresh(prefix string) string {
	m.ids++
	return fmt.Sprintf("%s%d", prefix, m.ids)
}

// append is the broker's: it takes an entry if the log has so many.
func (m *model) append(e *Entry, expect int) bool {
	if len(m.log) != expect {
		return false
	}
	m.log = append(m.log, e)
	before := m.truth
	m.truth = m.fold(faults{})
	if m.truth.Last != before.Last || e.ID == m.truth.Last {
		for _, f := range slices.Concat(e.Files, e.Add) {
			m.ever[f.Name] = true
		}
	}
	return true
}

// put is the broker's: it takes a record if its revision is still the one that was read.
func (m *model) put(old record, change func(*record)) (record, bool) {
	if m.rec.revision != old.revision {
		return m.rec, false
	}
	change(&m.rec)
	m.written++
	m.rec.revision = m.written
	return m.rec, true
}

// keep copies the broker's store; putBack restores the copy.
func (m *model) keep() {
	m.kept = &kept{log: slices.Clone(m.log), rec: m.rec, queue: slices.Clone(m.queue)}
}

func (m *model) putBack() {
	m.log, m.rec, m.queue = slices.Clone(m.kept.log), m.kept.rec, slices.Clone(m.kept.queue)
	m.truth = m.fold(faults{})
	for name := range m.cells { // what was live then, or staged, may have been swapped or swept since
		if !m.there(name) {
			m.takenAway[name] = true
		}
	}
	for name := range m.ever {
		if !m.truth.Live(idOf(name)) && !m.truth.Removed(idOf(name)) {
			m.orphans[name] = true
		}
	}
}

func (m *model) there(name string) bool {
	return m.visible[name] || m.areas[m.epochOf[name]][name]
}

// takeAway removes a visible file behind the system's back.
func (m *model) takeAway() {
	if names := slices.Sorted(maps.Keys(m.visible)); len(names) > 0 {
		name := names[m.random.IntN(len(names))]
		delete(m.visible, name)
		m.takenAway[name] = true
	}
}

// stage puts a file into an epoch's area, if it is there.
func (m *model) stage(epoch uint64, name string, cells int) bool {
	area := m.areas[epoch]
	if area == nil {
		return false
	}
	m.cells[name], m.epochOf[name] = cells, epoch
	area[name] = true
	return true
}

// reveal moves a staged file to the visible ones.
func (m *model) reveal(name string) bool {
	if m.visible[name] {
		return true
	}
	area := m.areas[m.epochOf[name]]
	if !area[name] {
		return false
	}
	delete(area, name)
	m.visible[name] = true
	return true
}

// fence removes the areas of the epochs up to one.
func (m *model) fence(last uint64) {
	maps.DeleteFunc(m.areas, func(e uint64, _ map[string]bool) bool { return e <= last })
}

// judge tells what is wrong with the world, or "". While the run goes on, files that only a
// lost log knew may overlap with those that came for them, until they are swept.
func (m *model) judge() string {
	seen := 0
	for name := range m.visible {
		if !m.orphans[name] || m.success {
			if seen&m.cells[name] != 0 {
				return fmt.Sprintf("a cell of %s is visible twice", name)
			}
			seen |= m.cells[name]
		}
		if !m.ever[name] {
			return name + " is visible and was never committed"
		}
	}
	for _, f := range m.truth.Files() {
		if !m.there(f.Name) && !m.takenAway[f.Name] {
			return f.Name + " is committed and lost"
		}
	}
	if m.success {
		return m.judgeSuccess()
	}
	return ""
}

// judgeSuccess is judge for a dataset that says of itself that it is complete.
func (m *model) judgeSuccess() string {
	listed := 0
	for _, name := range m.listed {
		listed |= m.cells[name]
		if !m.visible[name] && !m.takenAway[name] {
			return "the manifest names " + name + ", which is not there"
		}
	}
	for name := range m.visible {
		if !slices.Contains(m.listed, name) {
			return name + " is visible in a complete dataset; its manifest does not name it"
		}
	}
	if listed != cellsOfModel {
		return fmt.Sprintf("_SUCCESS is there, and cells %b are missing", cellsOfModel&^listed)
	}
	return ""
}

// actor is a coroutine.
type actor struct {
	next func() (string, bool)
	stop func()
}

// errKilled ends a coroutine.
type errKilled struct{}

// start makes a coroutine of a body, which calls step ahead of each of its steps.
func start(body func(step func(string))) *actor {
	seq := iter.Seq[string](func(yield func(string) bool) {
		defer func() {
			if r := recover(); r != nil && r != (errKilled{}) {
				panic(r)
			}
		}()
		body(func(what string) {
			if !yield(what) {
				panic(errKilled{})
			}
		})
	})
	a := &actor{}
	a.next, a.stop = iter.Pull(seq)
	return a
}

// some draws some of the cells.
func (m *model) some(of int) int {
	cells := of & int(m.random.Uint32())
	if cells == 0 && of != 0 {
		cells = 1 << bits.TrailingZeros(uint(of))
	}
	return cells
}
