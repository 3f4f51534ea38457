package commitlog

import (
	"maps"
	"slices"
)

// modelWriter stages cells, hands parts over, and makes visible what is committed.
func modelWriter(m *model) func(step func(string)) {
	return func(step func(string)) {
		for {
			step("writer looks")
			if m.rec.epoch == 0 || m.rec.finalising || m.rec.done {
				continue
			}
			m.writeCells(step, m.rec.epoch, m.some(cellsOfModel))
		}
	}
}

func (m *model) writeCells(step func(string), epoch uint64, cells int) {
	for cells != 0 {
		name := m.fresh("p")
		step("writer stages " + name)
		if !m.stage(epoch, name, cells) {
			return // fenced
		}
		step("writer hands over " + name)
		m.queue = append(m.queue, stagedPart{epoch, name})
		verdict := m.await(step, epoch, name)
		switch {
		case verdict == nil || verdict.Type == Void:
			return
		case verdict.Type == Commit:
			step("writer reveals " + name)
			m.reveal(name)
			return
		}
		cells &^= int(verdict.Rejected["f"][0])
	}
}

// await reads the log until it decides on the part, or patience ends.
func (m *model) await(step func(string), epoch uint64, name string) *Entry {
	log := &State{VerdictsOnly: true, faults: m.plant.faults}
	for range 3 + m.random.IntN(20) {
		step("writer waits for " + name)
		*log = State{VerdictsOnly: true, faults: m.plant.faults}
		for _, e := range m.log {
			_, _ = log.Apply(e, nil)
		}
		if _, e := log.Part(epoch, name); e != nil {
			return e
		}
		if m.random.IntN(10) == 0 {
			m.queue = append(m.queue, stagedPart{epoch, name})
		}
	}
	return nil
}

// modelLeader is one that believes to lead.
type modelLeader struct {
	m    *model
	step func(string)
	name string

	state     *State
	seen      []string // ids of the entries read
	last      string   // the ground of what is decided
	rec       record
	committed int
	restored  bool
	putBack   bool // the log was seen to be another than the one before
}

func newModelLeader(m *model, name string) func(step func(string)) {
	return func(step func(string)) {
		l := &modelLeader{m: m, step: step, name: name}
		l.clear()
		for {
			l.pause("looks")
			l.lead()
		}
	}
}

func (l *modelLeader) pause(what string) { l.step(l.name + " " + what) }

func (l *modelLeader) clear() { l.state, l.seen = &State{faults: l.m.plant.faults}, nil }

// catchUp reads on, or afresh when the last entry is no longer where it was.
func (l *modelLeader) catchUp() {
	log := l.m.log
	if n := len(l.seen); n > 0 && (n > len(log) || log[n-1].ID != l.seen[n-1]) {
		l.clear()
		l.putBack = true
	}
	for _, e := range log[len(l.seen):] {
		_, _ = l.state.Apply(e, l.m.base)
		l.seen = append(l.seen, e.ID)
	}
}

func (l *modelLeader) note() { l.last = l.state.Last }

// append appends an entry on the ground that was noted, and tells whether it stands.
func (l *modelLeader) append(e *Entry) bool {
	e.ID = l.m.fresh("e")
	l.pause("appends " + string(e.Type))
	if l.m.plant.decidesLate {
		l.catchUp()
		l.note()
	}
	e.Prev = l.last
	if l.state.Last != l.last || l.state.Check(e) != "" || !l.m.append(e, len(l.seen)) {
		l.catchUp()
		return false
	}
	if l.m.random.IntN(8) == 0 { // the answer is lost, and the leader gives up on it
		l.pause("lost an answer")
		return false
	}
	l.catchUp()
	if l.state.Last != e.ID {
		return false
	}
	l.last = e.ID
	return true
}

// leading makes sure that nobody has gone on with the run.
func (l *modelLeader) leading() bool {
	l.catchUp()
	if l.state.Last != l.last || l.m.rec.revision != l.rec.revision {
		l.restored = false
		return false
	}
	return true
}

func (l *modelLeader) put(change func(*record)) bool {
	rec, ok := l.m.put(l.rec, change)
	l.rec = rec
	if !ok {
		l.restored = false
	}
	return ok
}

// lead does what is to do next.
func (l *modelLeader) lead() {
	if !l.restored {
		l.rec = l.m.rec
	}
	if l.rec.done {
		l.restored = false
		return
	}
	if !l.restored {
		l.restore()
		return
	}
	n := len(l.m.queue)
	if l.rec.finalising && (n == 0 || l.m.random.IntN(3) > 0) { // parts may come at any time
		l.finalise()
		return
	}
	l.catchUp()
	switch {
	case l.putBack:
		l.open()
	case l.state.Last != l.last:
		l.restored = false
	case n > 0 && l.m.random.IntN(8) > 0:
		l.decide(l.m.queue[l.m.random.IntN(n)])
	case l.rec.finalising:
	case cellsOfModel&^l.committed == 0 || l.m.random.IntN(4) == 0:
		l.put(func(r *record) { r.finalising = true })
	}
}

func (l *modelLeader) restore() {
	l.catchUp()
	if l.rec.epoch == 0 || l.putBack || l.state.Epoch != l.rec.epoch || l.state.Sealed && !l.rec.finalising {
		l.open()
		return
	}
	if l.m.areas[l.rec.epoch] == nil && !l.rec.finalising {
		l.open()
		return
	}
	for name := range l.m.visible {
		if l.state.Stranger(idOf(name)) {
			l.open()
			return
		}
	}
	l.take()
	l.restored = true
}

// take takes in what is committed.
func (l *modelLeader) take() {
	l.note()
	l.committed = 0
	for _, f := range l.state.Files() {
		l.committed |= l.m.cells[f.Name]
	}
}

func (l *modelLeader) decide(p stagedPart) {
	if l.m.areas[l.rec.epoch] == nil {
		l.restored = false
		return
	}
	outcome, _ := l.state.Part(p.epoch, p.name)
	cells := l.m.cells[p.name]
	e := &Entry{Type: Commit, Prev: l.last, Epoch: p.epoch, Part: p.name, Files: []File{fileOf(p.name)}}
	switch {
	case outcome != "":
		l.m.queue = slices.DeleteFunc(l.m.queue, func(q stagedPart) bool { return q == p })
		return
	case l.state.Check(e) != "":
		e.Type, e.Files = Void, nil
	case cells&l.committed != 0:
		e.Type, e.Files, e.Rejected = Reject, nil, map[string][]byte{"f": {byte(cells & l.committed)}}
	}
	if l.append(e) && e.Type == Commit {
		l.committed |= cells
	}
}

func (l *modelLeader) seal() bool {
	for range 3 {
		l.note()
		if !l.state.Opened() || l.append(&Entry{Type: Seal, Epoch: l.state.Epoch}) {
			return true
		}
	}
	return false
}

func (l *modelLeader) preempt() bool {
	return l.state.Epoch == 0 || l.append(&Entry{Type: Claim, Epoch: l.state.Epoch})
}

// open opens the next epoch with what the log and the dataset know.
func (l *modelLeader) open() {
	l.restored = false
	l.catchUp()
	if l.m.rec.revision != l.rec.revision || !l.seal() || !l.preempt() {
		return
	}
	l.pause("recovers")
	if !l.leading() {
		return
	}
	base, ok := l.recover()
	if !ok {
		return
	}
	l.pause("begins an epoch")
	if !l.leading() {
		return
	}
	epoch := max(l.rec.epoch, l.state.Epoch)
	for _, e := range l.m.epochOf {
		epoch = max(epoch, e)
	}
	for e := range l.m.areas {
		epoch = max(epoch, e)
	}
	epoch++
	l.m.areas[epoch] = map[string]bool{}
	e := &Entry{Type: Open, Epoch: epoch, Base: l.m.fresh("base")}
	l.m.bases[e.Base] = base
	if !l.append(e) {
		return
	}
	l.m.success = false
	l.pause("fences")
	if !l.leading() {
		return
	}
	l.m.fence(epoch - 1)
	l.pause("sweeps")
	if !l.sweep() {
		return
	}
	l.pause("says that the epoch is open")
	if l.put(func(r *record) { *r = record{epoch: epoch} }) {
		l.putBack, l.restored = false, true
		l.take()
	}
}

// recover gathers the files that an epoch starts with: the live ones, then the strangers.
func (l *modelLeader) recover() (base []File, ok bool) {
	l.committed = 0
	keep := func(name string) {
		base = append(base, fileOf(name))
		l.committed |= l.m.cells[name]
	}
	for name := range l.m.visible {
		switch {
		case l.state.Removed(idOf(name)):
			l.m.success = false
			delete(l.m.visible, name)
		case l.state.Live(idOf(name)):
			keep(name)
		}
	}
	l.pause("adopts")
	if !l.leading() {
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(l.m.visible)) {
		switch {
		case !l.state.Stranger(idOf(name)):
		case l.m.cells[name]&l.committed != 0:
			l.m.success = false
			delete(l.m.visible, name)
		default:
			keep(name)
		}
	}
	l.pause("makes visible what is staged")
	for _, f := range l.state.Files() {
		if l.m.cells[f.Name]&l.committed == 0 && l.m.reveal(f.Name) {
			keep(f.Name)
		}
	}
	return base, true
}

// sweep removes what is visible and in no entry.
func (l *modelLeader) sweep() bool {
	var names []string
	for name := range l.m.visible {
		names = append(names, name)
	}
	slices.Sort(names)
	l.pause("has listed what is visible")
	if !l.leading() {
		return false
	}
	for _, name := range names {
		if l.state.Sweepable(idOf(name), l.m.epochOf[name]) {
			delete(l.m.visible, name)
		}
	}
	return true
}

func (l *modelLeader) finalise() {
	if l.m.rec.revision != l.rec.revision {
		l.restored = false
		return
	}
	l.catchUp()
	if l.putBack || l.state.Epoch != l.rec.epoch {
		l.open()
		return
	}
	if !l.seal() || !l.state.Sealed || l.state.Epoch != l.rec.epoch || !l.preempt() {
		l.restored = false
		return
	}
	l.m.success = false
	if l.m.areas[l.rec.epoch] == nil {
		l.m.areas[l.rec.epoch] = map[string]bool{}
	}
	l.pause("rolls forward")
	if !l.sweep() || !l.rollForward() {
		return
	}
	l.take()
	if cellsOfModel&^l.committed != 0 {
		l.open()
		return
	}
	for range l.m.random.IntN(3) {
		if !l.swap() {
			return
		}
	}
	l.pause("writes the manifest")
	if !l.leading() {
		return
	}
	var listed []string
	for _, f := range l.state.Files() {
		listed = append(listed, f.Name)
	}
	delete(l.m.areas, l.rec.epoch)
	if !l.sweep() {
		return
	}
	l.m.listed, l.m.success = listed, true
	l.put(func(r *record) { r.done = true })
}

func (l *modelLeader) rollForward() bool {
	for _, f := range l.state.Files() {
		l.pause("rolls " + f.Name + " forward")
		if l.m.reveal(f.Name) {
			continue
		}
		if !l.append(&Entry{Type: Void, Epoch: l.rec.epoch, Family: "f", Remove: []string{f.Name}}) {
			return false
		}
	}
	return true
}

// swap writes a file anew.
func (l *modelLeader) swap() bool {
	files := l.state.Files()
	old := files[l.m.random.IntN(len(files))].Name
	anew := l.m.fresh("s")
	if !l.m.stage(l.rec.epoch, anew, l.m.cells[old]) {
		return false
	}
	if !l.append(&Entry{Type: Swap, Epoch: l.rec.epoch, Family: "f", Remove: []string{old}, Add: []File{fileOf(anew)}}) {
		return false
	}
	l.pause("removes " + old)
	if !l.leading() {
		return false
	}
	delete(l.m.visible, old)
	l.pause("reveals " + anew)
	return l.m.reveal(anew)
}
