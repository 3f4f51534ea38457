package warmup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// The world of the model: one resource, systems that raise and lower it, a person who
// changes it, and a scheduler that lets exactly one of them make one call at a time, in an
// order that a seed decides. A process can be killed or frozen at any call; the call in
// hand may then still arrive, much later.

var errKilled = errors.New("killed")

// process is one incarnation of a system's orchestrator.
type process struct {
	name   string
	resume chan verdict // the scheduler lets it go on
	parked chan call    // it has come to its next call
	next   call
	done   bool
	frozen time.Time // not scheduled before this
	dead   bool
	ctx    context.Context // of the leader; it ends when its lease is lost
	cancel context.CancelFunc
}

// call is what a process is about to do.
type call struct {
	what   string
	until  time.Time    // of a sleep
	do     func() error // nil for a sleep
	finish bool
}

// verdict says what becomes of a call.
type verdict int

const (
	proceed verdict = iota
	die
)

type world struct {
	rng       *rand.Rand
	now       time.Time
	values    Values
	next      Values // while a change is under way
	busyUntil time.Time
	marks     map[string]string
	processes []*process
	flying    []flight // calls of the dead that are still on their way
	lateCalls int
	trace     []string
	reported  []Event
}

type flight struct {
	at time.Time
	do func() error
}

const updateTime = 40 * time.Second

func newWorld(seed uint64) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 4)), now: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC),
		values: Values{"units": "5"}, marks: map[string]string{},
	}
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

func (w *world) settle() {
	if w.next != nil && !w.now.Before(w.busyUntil) {
		w.values, w.next = w.next, nil
		w.log("  is %s", w.values)
	}
}

// spawn starts a process; body is killed by a panic of its calls.
func (w *world) spawn(name string, body func(p *process)) *process {
	p := &process{name: name, resume: make(chan verdict), parked: make(chan call)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	w.processes = append(w.processes, p)
	go func() {
		defer func() {
			if r := recover(); r != nil && r != errKilled {
				panic(r)
			}
			p.parked <- call{what: "end", finish: true}
		}()
		if <-p.resume == die {
			panic(errKilled)
		}
		body(p)
	}()
	p.next = call{what: "start", do: func() error { return nil }}
	return p
}

// do parks the process at a call and gives its result once it was let go on.
func (p *process) do(what string, do func() error) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	var err error
	p.park(call{what: what, do: func() error { err = do(); return err }})
	return err
}

func (p *process) park(c call) {
	p.parked <- c
	if <-p.resume == die {
		panic(errKilled)
	}
}

// step lets one process make its call, or moves the clock.
func (w *world) step() bool {
	w.settle()
	w.land()
	var ready []*process
	var wake time.Time
	for _, p := range w.processes {
		if p.done {
			continue
		}
		at := p.frozen
		if p.next.until.After(at) {
			at = p.next.until
		}
		if !at.After(w.now) {
			ready = append(ready, p)
		} else if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	if len(ready) == 0 {
		for _, f := range w.flying {
			if wake.IsZero() || f.at.Before(wake) {
				wake = f.at
			}
		}
		if wake.IsZero() {
			return false
		}
		w.now = wake
		return true
	}
	w.let(ready[w.rng.IntN(len(ready))])
	w.now = w.now.Add(time.Duration(w.rng.IntN(300)) * time.Millisecond)
	return true
}

// let lets a process make its call and come to the next.
func (w *world) let(p *process) {
	if p.next.do != nil {
		err := p.next.do()
		w.log("%s: %s: %v", p.name, p.next.what, err)
	}
	w.resume(p, proceed)
}

func (w *world) resume(p *process, v verdict) {
	p.resume <- v
	p.next = <-p.parked
	p.done = p.next.finish
}

// kill ends a process at its call. The call may arrive all the same, at once or late.
func (w *world) kill(p *process) {
	if do := p.next.do; do != nil && w.rng.IntN(2) == 0 {
		late := time.Duration(w.rng.IntN(600)) * time.Second
		w.flying = append(w.flying, flight{w.now.Add(late), do})
		w.log("%s: killed; %s arrives in %v", p.name, p.next.what, late)
	} else {
		w.log("%s: killed before %s", p.name, p.next.what)
	}
	p.dead = true
	w.resume(p, die)
}

func (w *world) land() {
	w.flying = slices.DeleteFunc(w.flying, func(f flight) bool {
		if w.now.Before(f.at) {
			return false
		}
		w.log("a late call arrives: %v", f.do())
		w.lateCalls++
		return true
	})
}

// resource is the model's Backend, as one process calls it.
type resource struct {
	w *world
	p *process
}

func (r resource) Kind() string { return "table" }

func (r resource) Read(context.Context, string) (s State, err error) {
	err = r.p.do("read values", func() error {
		r.w.settle()
		s.Values = maps.Clone(r.w.values)
		if r.w.next != nil {
			s.Busy = "UPDATING"
		}
		return nil
	})
	if err == nil {
		err = r.p.do("read marks", func() error { s.Marks = maps.Clone(r.w.marks); return nil })
	}
	return s, err
}

func number(v string) int { n, _ := strconv.Atoi(v); return n }

func (r resource) Plan(_ context.Context, name string, want Values) (c Change, err error) {
	err = r.p.do("plan", func() error {
		c = Change{Resource: Resource{"table", name}, From: maps.Clone(r.w.values)}
		c.To = Values{"units": strconv.Itoa(max(number(want["units"]), number(c.From["units"])))}
		return nil
	})
	return c, err
}

func (r resource) Apply(_ context.Context, _ string, to Values) error {
	return r.p.do("apply "+to.String(), func() error {
		r.w.settle()
		if r.w.next != nil {
			return ErrBusy
		}
		r.w.next, r.w.busyUntil = maps.Clone(to), r.w.now.Add(updateTime)
		return nil
	})
}

func (r resource) Mark(_ context.Context, _, holder, text string) error {
	return r.p.do("mark "+holder+" "+text, func() error { r.w.marks[holder] = text; return nil })
}

func (r resource) Unmark(_ context.Context, _, holder string) error {
	return r.p.do("unmark "+holder, func() error { delete(r.w.marks, holder); return nil })
}

// cell is what keeps a journal: the broker's bucket, which compares and swaps, or a file.
type cell struct {
	data     *Journal
	revision int
}

type memory struct {
	p        *process
	c        *cell
	swaps    bool
	revision int
}

func (m *memory) Load(context.Context) (j *Journal, err error) {
	err = m.p.do("load", func() error {
		j, m.revision = copyOf(m.c.data), m.c.revision
		return nil
	})
	return j, err
}

func (m *memory) Save(_ context.Context, j *Journal) error {
	kept := copyOf(j)
	return m.p.do("save "+string(stages(j)), func() error {
		if m.swaps && m.revision != m.c.revision || !m.swaps && m.c.data != nil && m.c.data.Writer != j.Writer && m.c.data.Version >= j.Version {
			return ErrOvertaken
		}
		m.c.data = kept
		m.c.revision++
		m.revision = m.c.revision
		return nil
	})
}

func copyOf(j *Journal) *Journal {
	if j == nil {
		return nil
	}
	data, err := EncodeJournal(j)
	if err != nil {
		panic(err)
	}
	j, err = DecodeJournal(data)
	if err != nil {
		panic(err)
	}
	return j
}

func stages(j *Journal) (s []byte) {
	for _, e := range j.Entries {
		s = append(append(s, e.Stage...), ' ')
	}
	return s
}
