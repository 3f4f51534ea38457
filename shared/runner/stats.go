package runner

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Stats counts what an instance does for each run.
type Stats struct {
	mu     sync.Mutex
	runs   map[string]*fleet.RunStats
	times  map[timed][]time.Duration // in order
	errors int64
}

// timed is what answers are timed for.
type timed struct {
	run    string
	epoch  uint64
	family string
}

func newStats() *Stats {
	return &Stats{runs: map[string]*fleet.RunStats{}, times: map[timed][]time.Duration{}}
}

func (s *Stats) with(run string, fn func(*fleet.RunStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.runs[run]; st != nil {
		fn(st)
	}
}

// open begins an epoch of a run. Its counts begin anew, but for the read units, which are
// the run's.
func (s *Stats) open(run string, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &fleet.RunStats{Epoch: epoch}
	if old := s.runs[run]; old != nil {
		if old.Epoch == epoch {
			old.Waiting = ""
			return
		}
		st.Units = old.Units
	}
	s.runs[run] = st
}

// keepCounts is how long the counts of a run are kept when it has been torn down: one that
// is resumed soon goes on counting its read units.
const keepCounts = time.Hour

// forget drops the counts of runs that are gone.
func (s *Stats) forget(gone func(run string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.runs, func(run string, _ *fleet.RunStats) bool { return gone(run) })
	maps.DeleteFunc(s.times, func(of timed, _ []time.Duration) bool {
		st := s.runs[of.run]
		return st == nil || st.Epoch != of.epoch
	})
}

func (s *Stats) message(run string) { s.with(run, func(st *fleet.RunStats) { st.Messages++ }) }
func (s *Stats) out(run string, n int64) {
	s.with(run, func(st *fleet.RunStats) { st.Out += n })
}

// fetched counts cells that are handed on to the writer, by family.
func (s *Stats) fetched(run string, of *packed.Builder) {
	s.with(run, func(st *fleet.RunStats) {
		for family, rows := range of.RowsByFamily() {
			countFamily(st, family, fleet.FamilyStats{Fetched: int64(rows)})
		}
	})
}

// failed counts the cells of a dead letter; families has the family of each.
func (s *Stats) failed(run string, n int64, families []string) {
	s.with(run, func(st *fleet.RunStats) {
		st.Failed += n
		for _, f := range families {
			countFamily(st, f, fleet.FamilyStats{Failed: 1})
		}
	})
}

func countFamily(st *fleet.RunStats, family string, more fleet.FamilyStats) {
	if st.Families == nil {
		st.Families = map[string]fleet.FamilyStats{}
	}
	n := st.Families[family]
	n.Fetched += more.Fetched
	n.Failed += more.Failed
	st.Families[family] = n
}

func (s *Stats) waiting(run, why string) {
	s.with(run, func(st *fleet.RunStats) { st.Waiting = broker.HeaderText(why, maxReason) })
}

// In counts cells that were asked of the stage.
func (s *Stats) In(run string, n int64) { s.with(run, func(st *fleet.RunStats) { st.In += n }) }

// Units counts read units that a table consumed for a run.
func (s *Stats) Units(run, table string, n float64) {
	s.with(run, func(st *fleet.RunStats) {
		if st.Units == nil {
			st.Units = map[string]float64{}
		}
		st.Units[table] += n
	})
}

// failedAttempt counts an attempt that failed, whatever is done about it.
func (s *Stats) failedAttempt(run string, e *failure.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors++
	st := s.runs[run]
	if st == nil {
		return
	}
	if st.Attempts == nil {
		st.Attempts = map[string]fleet.AttemptStats{}
	}
	st.Attempts[string(e.Code)] = fleet.AttemptStats{Count: st.Attempts[string(e.Code)].Count + 1, Last: broker.HeaderText(e.Error(), maxReason)}
}

// maxTimed is how many answers for a family are timed in an epoch.
const maxTimed = 64

// Answered times an answer for some families of a run: each is taken to have had an equal
// part of it.
func (s *Stats) Answered(run string, families []string, took time.Duration) {
	part := took / time.Duration(max(1, len(families)))
	s.with(run, func(st *fleet.RunStats) {
		for _, family := range families {
			of := timed{run, st.Epoch, family}
			times := s.times[of]
			if len(times) == maxTimed {
				continue
			}
			at, _ := slices.BinarySearch(times, part)
			times = slices.Insert(times, at, part)
			s.times[of] = times
			countFamily(st, family, fleet.FamilyStats{})
			n := st.Families[family]
			// The lower quartile: what waits for a thread of the service does so whatever its
			// family, and would make all of them look alike.
			n.Timed, n.Took = int64(len(times)), times[len(times)/4]
			st.Families[family] = n
		}
	})
}

// maxReason is how many bytes of a reason a beat carries.
const maxReason = 200

func (s *Stats) snapshot() (map[string]fleet.RunStats, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]fleet.RunStats, len(s.runs))
	for id, st := range s.runs {
		c := *st
		c.Units, c.Families, c.Attempts = maps.Clone(st.Units), maps.Clone(st.Families), maps.Clone(st.Attempts)
		all[id] = c
	}
	return all, s.errors
}

// Metrics are the Prometheus metrics of the runners of a process.
type Metrics struct {
	Messages *prometheus.CounterVec // by stage and outcome: ok, dropped, given_back
	Retries  *prometheus.CounterVec // by stage and failure code
	Failures *prometheus.CounterVec // cells and records, by stage and failure code
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		Messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fff_messages_total", Help: "Messages settled, by stage and outcome."}, []string{"stage", "outcome"}),
		Retries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fff_retries_total", Help: "Failed attempts that were made again, by stage and code."}, []string{"stage", "code"}),
		Failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fff_failures_total", Help: "Cells and records dead-lettered, by stage and code."}, []string{"stage", "code"}),
	}
	reg.MustRegister(m.Messages, m.Retries, m.Failures)
	return m
}
