package shares

import (
	"slices"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/tuner"
	"github.com/fastfeaturefetch/fff/shared/tuner/tunertest"
)

// service bears 40 requests of 30 to 70 ms: some 800 a second.
var service = tunertest.Service{Threads: 40, Queue: -1, Min: 30 * time.Millisecond, Max: 70 * time.Millisecond}

const most = 800.0 // answers a second of service

// reporters make what instances of the simulation did into the requests of shares.
type reporters struct {
	granter *Granter
	usage   map[int]Usage
	seq     uint64
	max     int // max_in_flight of one more run, on the first instance
}

func (r *reporters) ask(now time.Time, instance int, s tuner.Sample, limit, inUse int) (int, time.Duration) {
	u := r.usage[instance]
	u.Answered += s.OK
	u.Refused += s.Refused
	u.Wanted += s.Wanted
	u.Offered += s.Offered
	u.Paused = s.Paused
	r.usage[instance] = u
	r.seq++
	req := Request{Key: fast, Instance: string(rune('a' + instance)), Seq: r.seq, Auto: true, Limit: limit, InUse: inUse, Usage: u}
	if instance == 0 {
		req.Max = r.max
	}
	g := r.granter.Grant(now, req)
	again := g.Again()
	if g.Limit < limit {
		again = 0
	}
	return g.Limit, max(again, time.Millisecond)
}

func simulate(instances int) (*reporters, *tunertest.Simulation) {
	r := &reporters{granter: NewGranter(DefaultLease), usage: map[int]Usage{}}
	return r, tunertest.New(1, service, instances, r.ask)
}

func sum(limits []int) (n int) {
	for _, l := range limits {
		n += l
	}
	return n
}

// Three instances have, together, the limit that their reports lead to, in equal parts; also
// when one of them dies, and when another leader takes over.
func TestInstancesFindALimitTogether(t *testing.T) {
	t.Parallel()
	r, m := simulate(3)
	finds := func(what string, over time.Duration) {
		t.Helper()
		from := time.Duration(len(m.Seconds)) * time.Second
		m.Run(over)
		got := m.Result(from+over/2, from+over)
		if got.PerSecond < 0.95*most {
			t.Errorf("%s: %.0f answers a second at limits of %v, want nearly %.0f", what, got.PerSecond, m.Limits(), most)
		}
		if limits := m.Limits(); slices.Max(limits)-slices.Min(limits) > 1+slices.Max(limits)/5 || sum(limits) > 60 {
			t.Errorf("%s: limits of %v, want equal parts of about 40", what, limits)
		}
	}
	finds("three", 4*time.Minute)
	m.Kill(1)
	finds("one was killed", time.Minute)
	r.granter = NewSuccessor(DefaultLease, m.Now())
	before := m.Limits()
	m.Run(5 * time.Second)
	if after := m.Limits(); sum(after) != sum(before) {
		t.Errorf("the new leader has changed %v to %v at once", before, after)
	}
	finds("another leads", time.Minute)
}

// A number in the run file of one run is a bound for all; when that run has gone, the
// search goes on beyond it.
func TestANumberBoundsTheSearch(t *testing.T) {
	t.Parallel()
	r, m := simulate(2)
	r.max = 10
	m.Run(time.Minute)
	if n := sum(m.Limits()); n > 10 {
		t.Errorf("limits of %v, though one run wants 10 at the most", m.Limits())
	}
	r.max = 0
	m.Run(time.Minute)
	if got := m.Result(90*time.Second, 2*time.Minute); got.PerSecond < 0.9*most {
		t.Errorf("%.0f answers a second at limits of %v after the run had gone, want nearly %.0f", got.PerSecond, m.Limits(), most)
	}
}

// What an instance has done before the leader knew it is not counted as done now.
func TestAReportThatWasLostIsMadeUpFor(t *testing.T) {
	var s search
	now := epoch
	s.limit(now, 100, 0)
	s.report(now.Add(time.Millisecond), Usage{Answered: 1000}, Usage{Answered: 1003, Refused: 2, Wanted: time.Second})
	if s.sample.OK != 3 || s.sample.Refused != 2 || s.sample.Wanted != time.Second {
		t.Errorf("counted %+v, want what came in addition", s.sample)
	}
}
