package monitor

import (
	"fmt"
	"strings"
	"time"
)

// longestGap is the most time between two observations that counts. A leader that was stopped
// for longer has seen nothing, and finds no stall in what it has not seen.
const longestGap = 5 * time.Second

// stall looks for a run that does not get on: messages wait, and no cell is committed or
// fails for good.
type stall struct {
	after time.Duration

	settled int64
	idle    time.Duration
	last    time.Time
	told    bool
}

func (r *stall) judge(o *Observation, report func(cause, cure string)) {
	gap := sinceLast(&r.last, o.Now)
	if o.Settled != r.settled || lag(o.Stages) == 0 {
		r.settled, r.idle, r.told = o.Settled, 0, false
		return
	}
	r.idle += gap
	if r.idle < r.after || r.told {
		return
	}
	r.told = true
	report(fmt.Sprintf("no cell was committed for %s while messages wait: %s", r.after, backlog(o.Stages)),
		"see what the first of them waits for and cure it, start instances where none is alive, or raise failure_policy.stall.after")
}

// sinceLast gives the time since an observation, as far as it counts, and notes the new one.
func sinceLast(last *time.Time, now time.Time) time.Duration {
	before := *last
	*last = now
	if before.IsZero() {
		return 0
	}
	return min(now.Sub(before), longestGap)
}

func lag(stages []Stage) (n int64) {
	for i := range stages {
		n += stages[i].Lag
	}
	return n
}

// backlog says what waits where, and for what.
func backlog(stages []Stage) string {
	var all []string
	for i := range stages {
		s := &stages[i]
		if s.Lag == 0 {
			continue
		}
		text := fmt.Sprintf("%d at %s", s.Lag, s.Name)
		switch {
		case s.Alive == 0:
			text += ", of which no instance is alive"
		case s.Waiting != "":
			text += ", which waits: " + s.Waiting
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
