package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

// repeatedErrors looks for the same error again and again: failed attempts of one stage with
// one code, whether they were cured by trying again or not.
type repeatedErrors struct {
	over   float64
	window time.Duration
	errors map[kindOfError]*occurrences
}

type kindOfError struct{ stage, code string }

type occurrences struct {
	seen   int64
	recent window[count]
	told   bool
}

type count int64

func (c count) plus(o count) count { return c + o }
func (c count) weight() int64      { return int64(c) }

func newRepeatedErrors(over float64, window time.Duration) *repeatedErrors {
	return &repeatedErrors{over: over, window: window, errors: map[kindOfError]*occurrences{}}
}

func (r *repeatedErrors) judge(o *Observation, report func(cause, cure string)) {
	for i := range o.Stages {
		s := &o.Stages[i]
		for _, code := range slices.Sorted(maps.Keys(s.Attempts)) {
			a := s.Attempts[code]
			e := r.errors[kindOfError{s.Name, code}]
			if e == nil {
				e = &occurrences{recent: window[count]{length: r.window}}
				r.errors[kindOfError{s.Name, code}] = e
			}
			e.recent.add(o.Now, count(max(0, a.Count-e.seen)))
			e.seen = a.Count
			if n := e.recent.sum(); !e.told && float64(n) > r.over {
				e.told = true
				report(fmt.Sprintf("%s failed attempts at %s were %s within %s, the last: %s", humanize.Comma(int64(n)), s.Name, code, r.window, cmp.Or(a.Last, "no reason given")),
					"see docs/failures.md for the code; attempts are made again, and what fails for good is in `fff failed list`")
			}
		}
	}
}
