package warmup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Raise raises all resources to what is wished and waits until they are there. After an
// error some may be raised: they are in the journal, and Lower brings them down.
func (k *Keeper) Raise(ctx context.Context, wishes []Wish) error {
	var changes []Change
	for _, w := range wishes {
		change, err := k.ask(ctx, w)
		if err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		changes = append(changes, change)
	}
	for i := range changes {
		if err := k.await(ctx, &changes[i]); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
	}
	return nil
}

// ask has one resource raised, without waiting for it.
func (k *Keeper) ask(ctx context.Context, w Wish) (Change, error) {
	b, err := k.backend(w.Resource)
	if err != nil {
		return Change{}, err
	}
	change, err := b.Plan(ctx, w.Name, w.Want) // before anything is marked: a refusal leaves no trace
	if err != nil {
		return Change{}, err
	}
	if change.Permanent {
		if change.None() {
			return change, nil
		}
		k.report(w.Resource, Raising, "from %s to %s; it cannot be lowered again", change.From, change.To)
		return change, b.Apply(ctx, w.Name, change.To)
	}
	now := k.cfg.Now()
	e := k.journal.find(w.Resource)
	if e == nil {
		k.journal.Entries = append(k.journal.Entries, Entry{Resource: w.Resource})
		e = &k.journal.Entries[len(k.journal.Entries)-1]
	}
	raisedAt := now
	if len(e.Pairs) > 0 {
		raisedAt = e.RaisedAt // what it was raised from then is no newer for being raised again
	}
	*e = Entry{Resource: w.Resource, Stage: Intent, Pairs: e.Pairs, RaisedAt: raisedAt, Deadline: now.Add(k.cfg.Hold)}
	if err := k.record(ctx, true); err != nil {
		return Change{}, err
	}
	return change, k.raise(ctx, b, e, w.Want, &change)
}

// raise announces, looks, writes down, and only then changes. Announced is first: from
// then on nobody else lowers the resource or removes what explains its values, so that
// the state before can be told.
func (k *Keeper) raise(ctx context.Context, b Backend, e *Entry, want Values, change *Change) error {
	state, err := b.Read(ctx, e.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Resource, err)
	}
	k.adopt(e, state)
	if err := k.mark(ctx, b, e, Held); err != nil {
		return err
	}
	if state, err = k.settled(ctx, b, e.Resource); err != nil {
		return err
	}
	if *change, err = b.Plan(ctx, e.Name, want); err != nil {
		return err
	}
	first, raised := firstState(state.Values, k.marks(e, state)), Values{}
	for name, value := range change.To {
		if value != first[name] {
			raised[name] = value
		}
	}
	e.Pairs, e.RaisedAt = e.Pairs.with(first, raised), k.cfg.Now()
	if err := k.record(ctx, true); err != nil {
		return err
	}
	if err := k.mark(ctx, b, e, Held); err != nil {
		return err
	}
	if err := k.tidy(ctx, b, e, state); err != nil {
		return err
	}
	if change.None() {
		return nil
	}
	delete(k.asked, e.Resource)
	return k.apply(ctx, b, e.Resource, change.To, func() { k.report(e.Resource, Raising, "from %s to %s", change.From, change.To) })
}

// mark writes the entry's mark.
func (k *Keeper) mark(ctx context.Context, b Backend, e *Entry, phase Phase) error {
	m := Mark{Phase: phase, At: e.RaisedAt, Until: e.Deadline, Pairs: e.Pairs}
	if phase == Left {
		m.Until = k.cfg.Now().Add(k.cfg.Watch)
	}
	if err := b.Mark(ctx, e.Name, k.label, m.String()); err != nil {
		return fmt.Errorf("%s: mark it: %w; it is changed only while it carries the mark that tells others how to undo that", e.Resource, err)
	}
	return nil
}

// adopt takes over what marks of the run know and the journal does not: its stores may have
// been lost, or put back to an earlier copy.
func (k *Keeper) adopt(e *Entry, state State) {
	own, _ := split(state.Marks, k.journal.Holder)
	for _, m := range slices.SortedFunc(maps.Values(own), func(a, b Mark) int { return b.At.Compare(a.At) }) {
		if len(e.Pairs) == 0 && len(m.Pairs) > 0 {
			e.RaisedAt = m.At
		}
		e.Pairs = e.Pairs.merge(m.Pairs)
	}
}

// tidy removes the marks of the run's earlier keepers, which the own one repeats.
func (k *Keeper) tidy(ctx context.Context, b Backend, e *Entry, state State) error {
	own, _ := split(state.Marks, k.journal.Holder)
	for name := range own {
		if name == k.label {
			continue
		}
		if err := b.Unmark(ctx, e.Name, name); err != nil {
			return err
		}
	}
	return nil
}

// marks are those on the resource, with the journal's knowledge in place of the run's own.
func (k *Keeper) marks(e *Entry, state State) map[string]Mark {
	_, marks := split(state.Marks, k.journal.Holder)
	marks[k.label] = Mark{Phase: Held, At: e.RaisedAt, Until: e.Deadline, Pairs: e.Pairs}
	return marks
}

// settled reads a resource once no change of it is under way.
func (k *Keeper) settled(ctx context.Context, b Backend, r Resource) (State, error) {
	for end := k.cfg.Now().Add(k.cfg.Wait); ; {
		state, err := b.Read(ctx, r.Name)
		if err != nil {
			return state, fmt.Errorf("%s: %w", r, err)
		}
		if state.Busy == "" {
			return state, nil
		}
		if !k.cfg.Now().Before(end) {
			return state, fmt.Errorf("%s: %s, for %v now; look at it and start again", r, state.Busy, k.cfg.Wait)
		}
		k.report(r, Waiting, "%s", state.Busy)
		if err := k.cfg.Sleep(ctx, k.cfg.Poll); err != nil {
			return state, err
		}
	}
}

// await waits until a change is there.
func (k *Keeper) await(ctx context.Context, c *Change) error {
	if c.Permanent {
		return k.awaitPermanent(ctx, c)
	}
	b, err := k.backend(c.Resource)
	if err != nil {
		return err
	}
	for end := k.cfg.Now().Add(k.cfg.Wait); ; {
		state, err := b.Read(ctx, c.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Resource, err)
		}
		e := k.journal.find(c.Resource)
		missing, foreign := k.missing(e, state, c.To)
		switch {
		case state.Busy == "" && len(foreign) > 0:
			return fmt.Errorf("%s: somebody else has set %s while it was being raised; it is left so", c.Resource, foreign)
		case state.Busy == "" && len(missing) > 0:
			// Somebody on the way out has lowered it and had not seen the announcement.
			err := k.apply(ctx, b, c.Resource, missing, func() { k.report(c.Resource, Raising, "once more to %s", missing) })
			if err != nil && !errors.Is(err, ErrBusy) {
				return err
			}
		case state.Busy == "" && state.Lag == "":
			e.Stage = Applied
			k.report(c.Resource, Raised, "%s", state.Values)
			return k.record(ctx, false)
		}
		if !k.cfg.Now().Before(end) {
			return fmt.Errorf("%s: it is not at %s after %v: %s%s", c.Resource, c.To, k.cfg.Wait, state.Busy, state.Lag)
		}
		k.report(c.Resource, Waiting, "%s", waiting(state, c.To))
		if err := k.cfg.Sleep(ctx, k.cfg.Poll); err != nil {
			return err
		}
	}
}

func waiting(s State, to Values) string {
	for _, text := range []string{s.Busy, s.Lag} {
		if text != "" {
			return text
		}
	}
	return "for " + to.String()
}

// missing gives what is to be asked for again because the resource is back in its first
// state, and what is neither that nor raised by any of us.
func (k *Keeper) missing(e *Entry, state State, to Values) (again, foreign Values) {
	again, foreign = Values{}, Values{}
	_, others := split(state.Marks, k.journal.Holder)
	for name, pair := range e.Pairs {
		value, want := state.Values[name], to[name]
		_, theirs := explain(others, name, value)
		switch {
		case value == want || theirs:
		case value == pair.Before || slices.Contains(pair.Raised, value):
			again[name] = want
		default:
			foreign[name] = value
		}
	}
	return again, foreign
}

// awaitPermanent waits until a change that nobody undoes is done.
func (k *Keeper) awaitPermanent(ctx context.Context, c *Change) error {
	b, err := k.backend(c.Resource)
	if err != nil || c.None() {
		return err
	}
	state, err := k.settled(ctx, b, c.Resource)
	if err == nil {
		k.report(c.Resource, Raised, "%s", state.Values)
	}
	return err
}

// retryAfter is how long to wait after so many attempts.
func retryAfter(attempts int) time.Duration {
	return min(maxRetry, minRetry<<min(max(attempts-1, 0), 10))
}
