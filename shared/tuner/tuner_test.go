package tuner_test

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/tuner"
	"github.com/fastfeaturefetch/fff/shared/tuner/tunertest"
)

const usual = 40 // requests that the services bear

// services are the three kinds of overload.
var services = map[string]tunertest.Service{
	"waits in a queue": {Threads: usual, Queue: -1, Min: 30 * time.Millisecond, Max: 70 * time.Millisecond},
	"refuses":          {Threads: usual, Queue: 8, Min: 30 * time.Millisecond, Max: 70 * time.Millisecond, RetryAfter: time.Second},
	"slows down":       {Knee: usual, Min: 30 * time.Millisecond, Max: 70 * time.Millisecond},
}

// capacity gives the service with another capacity.
func capacity(s tunertest.Service, n int) tunertest.Service {
	if s.Threads > 0 {
		s.Threads = n
	}
	if s.Knee > 0 {
		s.Knee = float64(n)
	}
	return s
}

// best sweeps static limits around a capacity: the most answers, with the lowest limit that
// gives them.
func best(s tunertest.Service, capacity int) tunertest.Result {
	var best tunertest.Result
	for n := capacity / 2; n <= capacity*3/2; n += max(1, capacity/20) {
		m := tunertest.New(1, s, 1, func(time.Time, int, tuner.Sample, int, int) (int, time.Duration) { return n, time.Second })
		m.Run(15 * time.Second)
		if r := m.Result(5*time.Second, 15*time.Second); r.PerSecond > 1.002*best.PerSecond {
			best = r
		}
	}
	return best
}

// follow has an instance do what a tuner says, which begins with the instance's first report.
func follow(found **tuner.Tuner, start, most int, every time.Duration) tunertest.Ask {
	return func(now time.Time, _ int, got tuner.Sample, _, _ int) (int, time.Duration) {
		if *found == nil {
			*found = tuner.New(now, start, most)
		}
		(*found).Observe(now, got)
		return (*found).Limit(), every
	}
}

// The capacity is not known, then it is halved, then it is four times as large.
func TestFindsAndFollows(t *testing.T) {
	t.Parallel()
	for name, s := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				var found *tuner.Tuner
				m := tunertest.New(seed, s, 1, follow(&found, 20, 2000, 500*time.Millisecond))
				from := time.Duration(0)
				for _, n := range []int{usual, usual / 2, 2 * usual} {
					m.Service = capacity(s, n)
					m.Run(200 * time.Second)
					want := best(m.Service, n)
					got := m.Result(from+100*time.Second, from+200*time.Second)
					if got.PerSecond < 0.9*want.PerSecond || got.P95 > want.P95*105/100 {
						t.Errorf("seed %d, capacity %d: %.0f answers a second and p95 %v at a limit of %d, the best limit gives %.0f and %v",
							seed, n, got.PerSecond, got.P95, found.Level(), want.PerSecond, want.P95)
					}
					from += 200 * time.Second
				}
			}
		})
	}
}

// While the capacity is searched for, requests become four times as long: slow families find
// their lane. What the service bears has not changed.
func TestFindsWhileRequestsBecomeDearer(t *testing.T) {
	t.Parallel()
	const threads, most = 200, 1000 // requests of 80 to 320 ms in the end
	for begins := 3 * time.Second; begins <= 12*time.Second; begins += 3 * time.Second {
		for seed := range uint64(2) {
			var found *tuner.Tuner
			m := tunertest.New(seed, tunertest.Service{Threads: threads, Queue: -1, Min: 20 * time.Millisecond, Max: 80 * time.Millisecond}, 1,
				follow(&found, 16, 20_000, 250*time.Millisecond))
			m.Run(begins)
			for range 10 {
				m.Service.Min += 6 * time.Millisecond
				m.Service.Max += 24 * time.Millisecond
				m.Run(time.Second)
			}
			m.Run(30 * time.Second)
			end := time.Duration(len(m.Seconds)) * time.Second
			if got := m.Result(end-10*time.Second, end); got.PerSecond < 0.9*most {
				t.Errorf("seed %d, dearer from %v on: %.0f answers a second at a limit of %d, want nearly %d", seed, begins, got.PerSecond, found.Level(), most)
			}
		}
	}
}

// The capacity is halved while a search is under way, whatever it is at just then: what it
// knows of its level is of another service from then on.
func TestFollowsACapacityThatFallsInASearch(t *testing.T) {
	t.Parallel()
	s := services["refuses"]
	for falls := 20 * time.Second; falls < 60*time.Second; falls += time.Second {
		var found *tuner.Tuner
		m := tunertest.New(uint64(falls), s, 1, follow(&found, 16, 20_000, 250*time.Millisecond))
		m.Run(falls)
		m.Service = capacity(s, usual/2)
		m.Run(40 * time.Second)
		const most = usual / 2 * 20 // requests of 30 to 70 ms
		if got := m.Result(falls+30*time.Second, falls+40*time.Second); got.PerSecond < 0.7*most {
			t.Errorf("halved after %v: %.0f answers a second at a limit of %d, want nearly %d", falls, got.PerSecond, found.Level(), most)
		}
	}
}
