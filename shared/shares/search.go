package shares

import (
	"time"

	"github.com/fastfeaturefetch/fff/shared/tuner"
)

const (
	firstFound = 16     // where a search begins that knows nothing
	mostFound  = 20_000 // no search goes beyond

	// reports is how often instances tell how their slots were used while a limit is
	// searched for. It is less than half of what the tuner waits after it has changed the
	// limit, so that by then every instance has heard of it and reports on it alone.
	reports = 250 * time.Millisecond
)

// search finds the limit of a key from what the instances report. Its zero value has not
// begun.
type search struct {
	tuner    *tuner.Tuner
	bound    int          // of its limits
	sample   tuner.Sample // since the tuner was told last
	observed time.Time
}

// report adds what an instance has done since its last report.
func (s *search) report(now time.Time, before, after Usage) {
	if s.tuner == nil {
		return
	}
	s.sample.OK += after.Answered - before.Answered
	s.sample.Refused += after.Refused - before.Refused
	s.sample.Wanted += after.Wanted - before.Wanted
	s.sample.Offered += after.Offered - before.Offered
	s.sample.Paused = s.sample.Paused || after.Paused
	if now.Sub(s.observed) >= reports {
		s.tuner.Observe(now, s.sample)
		s.sample, s.observed = tuner.Sample{}, now
	}
}

// limit gives the limit for now, which never passes bound. A search begins where those
// stand who hold slots already: a leader before has found that.
func (s *search) limit(now time.Time, bound, held int) int {
	switch {
	case s.tuner == nil && held == 0:
		s.begin(now, tuner.New(now, firstFound, bound), bound)
	case s.tuner == nil:
		s.begin(now, tuner.Resume(now, held, bound), bound)
	case s.bound != bound: // a run has come or gone that has one of its own
		s.begin(now, tuner.Resume(now, s.tuner.Level(), bound), bound)
	}
	return s.tuner.Limit()
}

func (s *search) begin(now time.Time, t *tuner.Tuner, bound int) {
	*s = search{tuner: t, bound: bound, observed: now}
}
