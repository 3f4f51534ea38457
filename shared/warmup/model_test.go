package warmup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// system is one broker with its runs' life: processes follow each other until the journal
// is empty.
type system struct {
	w      *world
	name   string
	want   string
	bucket cell
	file   cell
	lives  int
	proc   *process
}

// live is what an orchestrator does with a run: raise, work, lower, watch. One that finds
// something left does one of the two things that a next start may do: bring it down, or
// raise again and go on.
func (s *system) live(p *process) {
	ctx := p.ctx
	open := func() (*Keeper, error) {
		return Open(ctx, Config{
			Run: "run", System: s.name, Backends: []Backend{resource{s.w, p}},
			Stores: []Store{&memory{p: p, c: &s.bucket, swaps: true}, &memory{p: p, c: &s.file}},
			Hold:   2 * time.Hour, Poll: 10 * time.Second,
			Now: func() time.Time { return s.w.now },
			Sleep: func(ctx context.Context, d time.Duration) error {
				p.park(call{until: s.w.now.Add(d)})
				return ctx.Err()
			},
			Report: func(e Event) { s.w.log("%s: %s: %s", p.name, e.What, e.Text); s.w.reported = append(s.w.reported, e) },
		})
	}
	k, err := open()
	for errors.Is(err, ErrOvertaken) {
		k, err = open()
	}
	if err != nil {
		return
	}
	again := s.w.rng.IntN(2) == 0
	if len(k.Entries()) == 0 || again {
		if err := k.Raise(ctx, []Wish{{Resource{"table", "t"}, Values{"units": s.want}}}); err != nil && !s.w.carriesOn(ctx, err) {
			return
		}
		p.park(call{until: s.w.now.Add(time.Duration(s.w.rng.IntN(3000)) * time.Second)})
	}
	if err := k.Lower(ctx); err != nil && !s.w.carriesOn(ctx, err) {
		return
	}
	for {
		next, err := k.Keep(ctx)
		if err != nil && !s.w.carriesOn(ctx, err) || err == nil && next.IsZero() {
			return
		}
		p.park(call{until: next})
	}
}

// carriesOn tells whether a process that got an error is still the leader: a failed
// warm-up ends the run, and what it raised is brought down.
func (w *world) carriesOn(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrOvertaken)
}

func (s *system) start() {
	s.lives++
	s.proc = s.w.spawn(fmt.Sprintf("%s%d", s.name, s.lives), s.live)
}

// tend kills, freezes, replaces and loses things, as long as there is trouble left.
func (s *system) tend(trouble int) {
	if s.proc.done {
		if s.wanted() {
			s.start()
		}
		return
	}
	if trouble == 0 {
		return
	}
	switch n := s.w.rng.IntN(400); {
	case n < trouble:
		s.w.kill(s.proc)
	case n == 399 && s.proc.next.do != nil:
		// Stopped, taken over by another instance, and woken.
		s.proc.frozen = s.w.now.Add(time.Duration(s.w.rng.IntN(600)) * time.Second)
		s.w.log("%s: frozen at %s", s.proc.name, s.proc.next.what)
		s.proc.cancel()
		s.w.lateCalls++
		s.start()
	case n == 398 && s.w.rng.IntN(4) == 0:
		s.w.log("%s: its broker's store is lost", s.name)
		s.bucket.data, s.bucket.revision = nil, 0
		s.w.kill(s.proc)
	}
}

// wanted tells whether another process has to follow.
func (s *system) wanted() bool {
	return s.proc.done && (s.proc.dead && s.lives < 8 || s.left())
}

func (s *system) left() bool {
	for _, c := range []*cell{&s.bucket, &s.file} {
		if c.data != nil && len(c.data.Entries) > 0 {
			return true
		}
	}
	return false
}

// TestModel is I4: whatever happens, in the end the resource is in its first state, or in
// the one that somebody else gave it, and nothing is left in any journal or on it.
func TestModel(t *testing.T) {
	seeds := 500
	if testing.Short() {
		seeds = 100
	}
	first := uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		first, seeds = s, 1 // the history of a failure
	}
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	saw := map[What]int{}
	for seed := first; seed < first+uint64(seeds); seed++ {
		w, systems, human := play(seed)
		for _, e := range w.reported {
			saw[e.What]++
		}
		if problem := judge(w, systems, human); problem != "" {
			tail := w.trace
			t.Fatalf("SEED=%d: %s\n%s", seed, problem, strings.Join(tail, "\n"))
		}
	}
	for _, what := range []What{Raising, Raised, Lowering, Lowered, Shared, Foreign, Late} {
		if seeds > 1 && saw[what] == 0 {
			t.Errorf("no history had the event %q", what)
		}
	}
}

// play plays one history.
func play(seed uint64) (w *world, systems []*system, human bool) {
	w = newWorld(seed)
	for i := range 1 + w.rng.IntN(3) {
		systems = append(systems, &system{w: w, name: string(rune('a' + i)), want: strconv.Itoa(100 * (1 + w.rng.IntN(3)))})
	}
	for _, s := range systems {
		s.start()
		s.proc.frozen = w.now.Add(time.Duration(w.rng.IntN(900)) * time.Second) // they begin at different times
	}
	trouble := []int{0, 1, 4, 12}[w.rng.IntN(4)]
	change := -1
	if w.rng.IntN(3) == 0 {
		change = w.rng.IntN(200)
	}
	for i := range 200_000 {
		if i > 1500 {
			trouble = 0
		}
		if change >= 0 && i >= change && w.next == nil && !w.applying() && len(w.flying) == 0 {
			w.values, human, change = Values{"units": "70"}, true, -1
			w.log("somebody sets 70")
		}
		for _, s := range systems {
			s.tend(trouble)
		}
		if !w.step() && !slices.ContainsFunc(systems, (*system).wanted) {
			return w, systems, human
		}
	}
	w.log("it does not end")
	return w, systems, human
}

// applying tells whether a change may be about to be made on what was read before: who
// sets a value between those two loses it, which no backend's API can prevent.
func (w *world) applying() bool {
	return slices.ContainsFunc(w.processes, func(p *process) bool {
		return !p.done && slices.ContainsFunc([]string{"apply", "read marks", "plan", "save", "mark", "unmark"},
			func(what string) bool { return strings.HasPrefix(p.next.what, what) })
	})
}

func judge(w *world, systems []*system, human bool) string {
	allowed := []string{"5"}
	if human {
		allowed = []string{"70"}
		if w.lateCalls > 0 {
			allowed = append(allowed, "5") // the late call has overwritten it, not we
		}
	}
	if !slices.Contains(allowed, w.values["units"]) {
		return fmt.Sprintf("the resource has %s units in the end, want %s", w.values["units"], strings.Join(allowed, " or "))
	}
	if len(w.marks) > 0 {
		return fmt.Sprintf("marks are left: %v", w.marks)
	}
	for _, s := range systems {
		if s.left() {
			return "the journal of system " + s.name + " is not empty"
		}
	}
	return ""
}
