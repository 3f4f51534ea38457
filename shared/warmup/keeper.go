package warmup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nuid"
)

// The defaults of Config.
const (
	DefaultWatch = 15 * time.Minute
	DefaultPoll  = 5 * time.Second
	DefaultWait  = 45 * time.Minute // a class change of a large database takes half of it
)

// Bounds of the wait before what failed to come down is tried again.
const (
	minRetry = 5 * time.Second
	maxRetry = 5 * time.Minute
)

// Config sets up a keeper.
type Config struct {
	Run      string
	System   string // tells runs of the same name apart: eight hexadecimal digits of the broker's store
	Backends []Backend
	// Stores keep the journal: the one that compares and swaps first. An intent is written
	// to all of them before anything is changed.
	Stores []Store
	Hold   time.Duration // how long resources stay raised at most
	Watch  time.Duration // how long they are watched after; < 0 = not at all
	Poll   time.Duration // between two looks at a change that is under way
	Wait   time.Duration // for a raise to be there
	Report func(Event)   // nil = nobody listens
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
}

// Event is something that a person may want to know.
type Event struct {
	Resource Resource
	What     What
	Text     string // in words; with Failed and Foreign what to do
}

// What is the kind of an event.
type What string

// The kinds of events.
const (
	Raising  What = "raising"
	Waiting  What = "waiting" // a raise is not there yet
	Raised   What = "raised"
	Lowering What = "lowering"
	Lowered  What = "lowered" // it is in its first state
	Shared   What = "shared"  // others hold it; the last one out brings it down
	Foreign  What = "foreign" // somebody else changed it; it was left as it is
	Late     What = "late"    // it was raised again after it was lowered, by a call of before
	Failed   What = "failed"  // it could not be brought down; it is tried again
	Gone     What = "gone"    // it does not exist any more
)

// Keeper raises the resources of one run and brings them down. It is used by one goroutine
// at a time. Two keepers of one run never both go on: the one whose journal was saved by
// the other gets ErrOvertaken.
type Keeper struct {
	cfg      Config
	backends map[string]Backend
	journal  Journal
	label    string             // of this keeper's marks
	asked    map[Resource]asked // the change that was asked for last
}

// asked is a change that was asked for.
type asked struct {
	to Values
	at time.Time
}

// showTime is how long a change may take to show in what a backend says of a resource: RDS
// calls one available for a while after it has accepted a change.
const showTime = time.Minute

// applyTimeout bounds the call that asks for a change.
const applyTimeout = 20 * time.Second

// apply asks for a change, unless it was asked for and may not show yet. The call is not
// given up when ctx ends: it might arrive all the same, after whoever ended ctx has looked.
func (k *Keeper) apply(ctx context.Context, b Backend, r Resource, to Values, say func()) error {
	now := k.cfg.Now()
	if last, ok := k.asked[r]; ok && maps.Equal(last.to, to) && now.Before(last.at.Add(showTime)) {
		return ErrBusy
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	say()
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := b.Apply(call, r.Name, to); err != nil {
		return err
	}
	k.asked[r] = asked{to, now}
	return nil
}

// Open gives a keeper that knows what is left to undo.
func Open(ctx context.Context, cfg Config) (*Keeper, error) {
	cfg.Watch = max(0, cmp.Or(cfg.Watch, DefaultWatch))
	cfg.Poll = cmp.Or(cfg.Poll, DefaultPoll)
	cfg.Wait = cmp.Or(cfg.Wait, DefaultWait)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Report == nil {
		cfg.Report = func(Event) {}
	}
	k := &Keeper{cfg: cfg, backends: map[string]Backend{}, asked: map[Resource]asked{}}
	for _, b := range cfg.Backends {
		k.backends[b.Kind()] = b
	}
	found, stale, err := load(ctx, cfg.Stores)
	if err != nil {
		return nil, fmt.Errorf("warm-up of run %s: %w", cfg.Run, err)
	}
	k.journal = Journal{Run: cfg.Run, Holder: Holder(cfg.Run, cfg.System)}
	if found != nil {
		// Its holder is kept: the marks on the resources have that name, though the broker's
		// store was lost and the system has a new one.
		k.journal = *found
	}
	k.journal.Writer = nuid.Next()
	k.label = label(k.journal.Holder, k.journal.Writer)
	if len(k.journal.Entries) == 0 && !stale {
		return k, nil
	}
	for i := range k.journal.Entries {
		if e := &k.journal.Entries[i]; e.Stage == Undone {
			e.UndoneAt = cfg.Now() // the keeper before may have a call on its way
		}
	}
	// From here on an instance that kept the journal before, and is only asleep, is told
	// that it was overtaken.
	return k, k.record(ctx, false)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Hurry has what could not be brought down tried again now, not after its wait.
func (k *Keeper) Hurry() {
	for i := range k.journal.Entries {
		k.journal.Entries[i].NextTry = time.Time{}
	}
}

// Entries gives what is raised or watched.
func (k *Keeper) Entries() []Entry { return slices.Clone(k.journal.Entries) }

func (k *Keeper) backend(r Resource) (Backend, error) {
	if b, ok := k.backends[r.Kind]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("%s: this process cannot reach resources of this kind", r)
}

func (k *Keeper) report(r Resource, what What, format string, args ...any) {
	k.cfg.Report(Event{Resource: r, What: what, Text: fmt.Sprintf(format, args...)})
}

// record saves the journal in all stores. With intent each of them must have it, because a
// change follows that is undone by it alone; otherwise one is enough, because what it says
// can be found out again.
func (k *Keeper) record(ctx context.Context, intent bool) error {
	k.journal.Version++
	var errs []error
	saved := 0
	for _, s := range k.cfg.Stores {
		err := s.Save(ctx, &k.journal)
		if errors.Is(err, ErrOvertaken) {
			return err
		}
		if err == nil {
			saved++
		} else {
			errs = append(errs, err)
		}
	}
	if saved == 0 || intent && len(errs) > 0 {
		return fmt.Errorf("the undo journal cannot be written: %w", errors.Join(errs...))
	}
	return nil
}

// drop removes an entry.
func (k *Keeper) drop(ctx context.Context, r Resource) error {
	k.journal.Entries = slices.DeleteFunc(k.journal.Entries, func(e Entry) bool { return e.Resource == r })
	return k.record(ctx, false)
}
