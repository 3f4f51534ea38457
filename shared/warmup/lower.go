package warmup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// watchLooks is how often a resource is looked at while it is watched.
const watchLooks = 30

// Lower brings everything down and returns once it is down, or was found to be held or
// changed by others. It tries again what fails, until ctx ends; its error names what is
// still up then. What is down stays in the journal, to be watched, until Keep drops it.
func (k *Keeper) Lower(ctx context.Context) error {
	for {
		next, err := k.pass(ctx, true)
		if errors.Is(err, ErrOvertaken) {
			return err
		}
		up := k.up()
		if len(up) == 0 {
			return err
		}
		wait := max(next.Sub(k.cfg.Now()), time.Second)
		if slept := k.cfg.Sleep(ctx, min(wait, k.cfg.Poll)); slept != nil {
			return fmt.Errorf("not brought down yet: %s: %w", strings.Join(up, "; "), slept)
		}
	}
}

// up tells what is not down, and why.
func (k *Keeper) up() []string {
	var up []string
	for _, e := range k.journal.Entries {
		if e.Stage != Undone {
			text := e.Resource.String()
			if e.Problem != "" {
				text += " (" + e.Problem + ")"
			}
			up = append(up, text)
		}
	}
	return up
}

// Keep does what is due: it brings down what has been up for too long, and what was raised
// again after it was down; it drops what has been watched for long enough. next is when
// to call it again; zero = nothing is left to keep.
func (k *Keeper) Keep(ctx context.Context) (next time.Time, err error) { return k.pass(ctx, false) }

// pass goes through all entries, the last raised first, and does one step of each.
func (k *Keeper) pass(ctx context.Context, all bool) (next time.Time, err error) {
	var errs []error
	for _, e := range slices.Backward(slices.Clone(k.journal.Entries)) {
		now := k.cfg.Now()
		due := e.Deadline
		if all || e.Stage == Undone || !now.Before(e.Deadline) {
			due = e.NextTry
		}
		if !now.Before(due) {
			if due, err = k.step(ctx, k.journal.find(e.Resource)); err != nil {
				errs = append(errs, err)
			}
		}
		if errors.Is(err, ErrOvertaken) {
			return time.Time{}, err
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next, errors.Join(errs...)
}

// step does what can be done for one entry at this moment, and says when to come again;
// zero = the entry is gone. What fails is noted in the entry and reported.
func (k *Keeper) step(ctx context.Context, e *Entry) (time.Time, error) {
	r, before := e.Resource, *e
	err := k.lower(ctx, e)
	if errors.Is(err, ErrOvertaken) {
		return time.Time{}, err
	}
	if errors.Is(err, ErrGone) {
		k.report(r, Gone, "there is nothing to bring down any more")
		return time.Time{}, k.drop(ctx, r)
	}
	if e = k.journal.find(r); e == nil {
		return time.Time{}, err
	}
	now := k.cfg.Now()
	e.NextTry = now.Add(k.cfg.Poll)
	switch {
	case err == nil && e.Stage == Undone:
		e.Problem, e.Attempts = "", 0
		e.NextTry = now.Add(max(k.cfg.Poll, k.cfg.Watch/watchLooks))
	case err == nil || errors.Is(err, ErrBusy):
		err = nil // it is on its way
	case ctx.Err() != nil:
		e.NextTry = time.Time{}
	default:
		e.Attempts++
		e.Problem = err.Error()
		e.NextTry = now.Add(retryAfter(e.Attempts))
		k.report(r, Failed, "it cannot be brought down: %v; it is tried again at %s, attempt %d", err, e.NextTry.UTC().Format(timeLayout), e.Attempts)
	}
	due := e.NextTry
	if changed(&before, e) {
		if saved := k.record(ctx, false); saved != nil {
			return due, errors.Join(err, saved)
		}
	}
	return due, err
}

// changed tells whether the journal has something to remember; when to try again is
// found out anew after a restart.
func changed(a, b *Entry) bool {
	return a.Stage != b.Stage || a.Problem != b.Problem || !slices.Equal(a.Foreign, b.Foreign)
}

// lower leaves a resource: it says so first, and looks then who is still there. Of two that
// leave at the same time at least one sees that the other has left.
func (k *Keeper) lower(ctx context.Context, e *Entry) error {
	b, err := k.backend(e.Resource)
	if err != nil {
		return err
	}
	state, err := b.Read(ctx, e.Name)
	if err != nil {
		return err
	}
	k.adopt(e, state)
	if own, others := split(state.Marks, k.journal.Holder); own[k.label].Phase != Left || len(own) > 1 {
		err := k.mark(ctx, b, e, Left)
		if err == nil {
			err = k.tidy(ctx, b, e, state)
		}
		if err != nil && len(live(others, k.cfg.Now(), k.cfg.Watch)) > 0 {
			return err
		}
		if state, err = b.Read(ctx, e.Name); err != nil {
			return err
		}
	}
	marks := k.marks(e, state)
	_, rest := split(state.Marks, k.journal.Holder)
	others := live(rest, k.cfg.Now(), k.cfg.Watch)
	if len(others) > 0 {
		return k.leave(ctx, b, e, state, others)
	}
	if state.Busy != "" {
		e.Problem = state.Busy
		return ErrBusy
	}
	to, foreign := wayDown(state.Values, marks)
	if len(to) > 0 {
		late := e.Stage == Undone && !e.Shared
		e.Stage, e.Shared = Applied, false
		return k.apply(ctx, b, e.Resource, to, func() {
			if late {
				k.report(e.Resource, Late, "it was raised again by a call of before; it is brought down once more, to %s", to)
			} else {
				k.report(e.Resource, Lowering, "to %s", to)
			}
		})
	}
	if k.cfg.Watch < showTime && e.Stage == Intent && len(e.Pairs) > 0 && k.cfg.Now().Before(e.RaisedAt.Add(showTime)) {
		e.Problem = "the change that was asked for may not show yet"
		return ErrBusy // nobody would be there to see it later
	}
	return k.down(ctx, b, e, state, foreign)
}

// down notes that the resource is down, and drops the entry once it was watched for long
// enough, with all marks that nobody needs any more.
func (k *Keeper) down(ctx context.Context, b Backend, e *Entry, state State, foreign []string) error {
	now := k.cfg.Now()
	if e.Stage != Undone {
		e.Stage, e.UndoneAt, e.Foreign, e.Shared = Undone, now, foreign, false
		if len(foreign) > 0 {
			k.report(e.Resource, Foreign, "%s: somebody else has changed this to what it is now, and it was left so; before the run it was %s; set it yourself if need be",
				state.Values, k.firsts(e, foreign))
		} else {
			k.report(e.Resource, Lowered, "%s", state.Values)
		}
	}
	if now.Before(e.UndoneAt.Add(k.cfg.Watch)) {
		return nil
	}
	_, others := split(state.Marks, k.journal.Holder)
	for holder, m := range others {
		// Nobody holds it, so what says so is of somebody who died. The last one out cleans
		// up after those, and after those that left a while ago.
		if m.Phase == Left && now.Before(m.Until) {
			continue
		}
		if err := b.Unmark(ctx, e.Name, holder); err != nil {
			return err
		}
	}
	return k.forget(ctx, b, e, state)
}

func (k *Keeper) firsts(e *Entry, settings []string) Values {
	v := Values{}
	for _, name := range settings {
		v[name] = e.Pairs[name].Before
	}
	return v
}

// forget removes the run's marks and the entry.
func (k *Keeper) forget(ctx context.Context, b Backend, e *Entry, state State) error {
	own, _ := split(state.Marks, k.journal.Holder)
	for name := range own {
		if err := b.Unmark(ctx, e.Name, name); err != nil {
			return err
		}
	}
	return k.drop(ctx, e.Resource)
}

// leave leaves a resource to the others that hold it. The own mark stays as long as it is
// the only one that explains what the resource has.
func (k *Keeper) leave(ctx context.Context, b Backend, e *Entry, state State, others []string) error {
	now := k.cfg.Now()
	if e.Stage != Undone {
		e.Stage, e.UndoneAt, e.Shared = Undone, now, true
		k.report(e.Resource, Shared, "%s hold it; the last one out brings it down", strings.Join(others, " and "))
	}
	if now.Before(e.UndoneAt.Add(k.cfg.Watch)) {
		return nil
	}
	_, rest := split(state.Marks, k.journal.Holder)
	for name, pair := range e.Pairs {
		value := state.Values[name]
		if before, explained := explain(rest, name, value); (!explained || before != pair.Before) && slices.Contains(pair.Raised, value) && value != pair.Before {
			return nil // kept until the others are out
		}
	}
	return k.forget(ctx, b, e, state)
}
