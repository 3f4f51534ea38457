package monitor

import (
	"fmt"
	"time"
)

// silence looks for instances that have ended without a word: killed, out of memory, cut off
// from the broker. It looks, too, for stages that have work and no instance at all.
type silence struct {
	after time.Duration
	told  map[string]bool          // instances
	empty map[string]time.Duration // how long stages have had work and no instance
	last  time.Time
}

// shortestSilence is what a lost beat or two, or a busy machine, may look like.
const shortestSilence = 4 * time.Second

func newSilence(after time.Duration) *silence {
	return &silence{after: max(after, shortestSilence), told: map[string]bool{}, empty: map[string]time.Duration{}}
}

func (r *silence) judge(o *Observation, report func(cause, cure string)) {
	gap := sinceLast(&r.last, o.Now)
	for i := range o.Instances {
		n := &o.Instances[i]
		if n.Silent < r.after {
			delete(r.told, n.ID)
			continue
		}
		if !r.told[n.ID] {
			r.told[n.ID] = true
			report(fmt.Sprintf("instance %s of %s has said nothing for %s; it had %d messages in hand", n.ID, n.Service, n.Silent.Round(time.Second), n.Held),
				"its messages go to other instances by themselves; look at its log, and start another one")
		}
	}
	for i := range o.Stages {
		s := &o.Stages[i]
		if s.Lag == 0 || s.Alive > 0 {
			delete(r.empty, s.Name)
			continue
		}
		before := r.empty[s.Name]
		r.empty[s.Name] += gap
		if before < r.after && r.empty[s.Name] >= r.after {
			report(fmt.Sprintf("%d messages have waited at %s for %s, and no instance of it is alive", s.Lag, s.Name, r.after),
				"start an instance; the run goes on by itself")
		}
	}
}
