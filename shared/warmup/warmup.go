// Package warmup raises what a run's backends are scaled to, and brings it down again after
// every kind of end.
//
// A [Backend] is one kind of thing that can be scaled: it reads, plans, changes and carries
// marks. A [Keeper] does the rest for all kinds alike. Before it changes anything it writes
// down what it is about to do, in the run's journal and as a mark on the resource itself, so
// that whoever comes later can bring it down: another instance, the next start, or a system
// that knows nothing but the resource.
//
// Several systems may hold one resource. Each writes a mark of its own and nobody else's, so
// no update is lost where the backend cannot compare and swap. The highest value holds, and
// the last one out restores the first state.
package warmup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Resource names one thing that can be scaled.
type Resource struct {
	Kind string `json:"kind"` // of its Backend
	Name string `json:"name"` // as its Backend knows it
}

// String gives kind and name.
func (r Resource) String() string { return r.Kind + " " + r.Name }

// Values are what a resource is scaled to: settings and their values, each in the backend's
// own unit. Neither holds spaces, '=' or '/', so that a mark can carry them.
type Values map[string]string

// String gives the values in order of their names.
func (v Values) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, name+" "+v[name])
	}
	return strings.Join(parts, ", ")
}

// State is what a resource is at a moment.
type State struct {
	Values Values
	Marks  map[string]string // texts of marks by holder, as Mark has written them
	// Busy says, in words, that a change is under way, so that no other one can be asked
	// for; "" = none is.
	Busy string
	// Lag says, in words, what is not there yet though the values say it: replicas that
	// still start. "" = all is there.
	Lag string
}

// Change is what a warm-up would do to a resource.
type Change struct {
	Resource
	From, To Values   // the same settings in both; equal = nothing to do
	Notes    []string // what a person should know before: outages, costs that stay
	// Permanent says that the change can never be undone. The keeper makes it once and
	// forgets it.
	Permanent bool
}

// None tells whether the change changes nothing.
func (c *Change) None() bool { return maps.Equal(c.From, c.To) }

// Backend is one kind of resource. Its calls are bounded by their contexts and may be made
// any number of times.
type Backend interface {
	// Kind names the kind: what Resource.Kind says.
	Kind() string
	// Read reads the state: first the values, then the marks. The order matters: who has
	// marked a resource and reads its values then, and finds no mark of others after that,
	// knows that nobody had raised it.
	Read(ctx context.Context, name string) (State, error)
	// Plan says what would be changed so that the resource has at least what is wanted. A
	// [*Refused] error says why it must not be changed.
	Plan(ctx context.Context, name string, want Values) (Change, error)
	// Apply asks for values and returns; the change may take its time. It names only the
	// settings that it changes.
	Apply(ctx context.Context, name string, to Values) error
	// Mark writes a holder's mark on the resource, in place of the one that it had.
	Mark(ctx context.Context, name, holder, text string) error
	// Unmark removes it. It may be gone already.
	Unmark(ctx context.Context, name, holder string) error
}

// Wish is what a run wants a resource to have at least.
type Wish struct {
	Resource
	Want Values
}

// ErrGone says that a resource does not exist any more.
var ErrGone = errors.New("it does not exist")

// ErrBusy says that a resource takes no change at this moment.
var ErrBusy = errors.New("a change of it is under way")

// Refused says why a resource is not changed, and what to do about it.
type Refused struct {
	Resource Resource
	Reason   string
}

// Error gives resource and reason.
func (r *Refused) Error() string { return fmt.Sprintf("%s: %s", r.Resource, r.Reason) }

// Refuse gives a Refused.
func Refuse(r Resource, format string, args ...any) error {
	return &Refused{Resource: r, Reason: fmt.Sprintf(format, args...)}
}
