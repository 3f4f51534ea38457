// Package tunertest simulates a feature service and instances that ask it, on a clock of its
// own: minutes pass in milliseconds, and the same seed gives the same course.
package tunertest

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fastfeaturefetch/fff/shared/tuner"
)

// Service is what is simulated. Its fields may be changed while the simulation goes on.
type Service struct {
	Threads    int           // requests that it works on at the same time; 0 = any number
	Queue      int           // requests that wait for a thread; more are refused; -1 = any number
	Knee       float64       // it takes 1 + (requests at work / Knee)² times as long; 0 = it does not
	Min, Max   time.Duration // what a request takes, evenly spread
	Spikes     float64       // share of the requests that take ten times as long
	RefuseAny  float64       // share of the requests that are refused whatever the load
	RetryAfter time.Duration // of a refusal; the instance pauses as long
}

// Ask reports what happened on an instance, and gives its next limit and when to report
// again.
type Ask func(now time.Time, instance int, s tuner.Sample, limit, inUse int) (next int, again time.Duration)

// Second is what happened in one second.
type Second struct {
	OK, Refused int
	InFlight    int
	Latencies   []time.Duration
}

// Simulation is a service and the instances that ask it as much as they may.
type Simulation struct {
	Service Service
	Work    int // slots that the instances would use together; 0 = any number
	Seconds []Second

	ask       Ask
	begin     time.Time
	now       time.Time
	random    *rand.Rand
	events    events
	order     int
	instances []*instance
	working   int
	queue     []request
}

type instance struct {
	number  int
	limit   int
	inUse   int
	paused  time.Time
	sample  tuner.Sample
	counted time.Time // up to when slots are counted
	gone    bool
}

type request struct {
	from  *instance
	begin time.Time
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// New gives a simulation of so many instances.
func New(seed uint64, s Service, instances int, ask Ask) *Simulation {
	begin := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	m := &Simulation{Service: s, ask: ask, begin: begin, now: begin, random: rand.New(rand.NewPCG(seed, 1))}
	for range instances {
		m.Join()
	}
	return m
}

// Join adds an instance.
func (m *Simulation) Join() {
	i := &instance{number: len(m.instances), counted: m.now}
	m.instances = append(m.instances, i)
	m.after(time.Duration(m.random.Int64N(int64(100*time.Millisecond))), func() { m.report(i) })
}

// Kill ends an instance without a word; its requests come to their end.
func (m *Simulation) Kill(instance int) {
	m.instances[instance].gone = true
}

// Now gives the simulated time.
func (m *Simulation) Now() time.Time { return m.now }

// Limits gives the instances' limits.
func (m *Simulation) Limits() []int {
	var all []int
	for _, i := range m.instances {
		if !i.gone {
			all = append(all, i.limit)
		}
	}
	return all
}

// Run lets time pass.
func (m *Simulation) Run(d time.Duration) {
	end := m.now.Add(d)
	for len(m.events) > 0 && !m.events[0].at.After(end) {
		e := heap.Pop(&m.events).(event)
		m.now = e.at
		e.do()
	}
	m.now = end
}

func (m *Simulation) after(d time.Duration, do func()) {
	m.order++
	heap.Push(&m.events, event{m.now.Add(d), m.order, do})
}

func (m *Simulation) second() *Second {
	n := int(m.now.Sub(m.begin) / time.Second)
	for len(m.Seconds) <= n {
		m.Seconds = append(m.Seconds, Second{})
	}
	return &m.Seconds[n]
}

func (m *Simulation) share() int {
	if m.Work == 0 {
		return math.MaxInt
	}
	return m.Work / len(m.instances)
}

// count counts the slot time of an instance up to now.
func (m *Simulation) count(i *instance) {
	d := m.now.Sub(i.counted)
	i.counted = m.now
	i.sample.Offered += time.Duration(i.limit) * d
	i.sample.Wanted += time.Duration(max(i.inUse, min(i.limit, m.share()))) * d
}

func (m *Simulation) report(i *instance) {
	if i.gone {
		return
	}
	m.count(i)
	s := i.sample
	i.sample = tuner.Sample{}
	s.Paused = m.now.Before(i.paused)
	limit, again := m.ask(m.now, i.number, s, i.limit, i.inUse)
	i.limit = limit
	m.send(i)
	m.after(again, func() { m.report(i) })
}

// send starts as many requests as an instance may.
func (m *Simulation) send(i *instance) {
	for !i.gone && i.inUse < min(i.limit, m.share()) && !m.now.Before(i.paused) {
		m.count(i)
		i.inUse++
		m.arrive(request{i, m.now})
	}
}

func (m *Simulation) arrive(r request) {
	switch s := &m.Service; {
	case s.RefuseAny > 0 && m.random.Float64() < s.RefuseAny,
		s.Threads > 0 && m.working >= s.Threads && s.Queue >= 0 && len(m.queue) >= s.Queue:
		m.after(time.Millisecond, func() { m.refused(r) })
	case s.Threads > 0 && m.working >= s.Threads:
		m.queue = append(m.queue, r)
	default:
		m.work(r)
	}
}

func (m *Simulation) work(r request) {
	m.working++
	s := &m.Service
	d := float64(s.Min) + m.random.Float64()*float64(s.Max-s.Min)
	if s.Spikes > 0 && m.random.Float64() < s.Spikes {
		d *= 10
	}
	if s.Knee > 0 {
		n := float64(m.working) / s.Knee
		d *= 1 + n*n
	}
	m.after(time.Duration(d), func() { m.answered(r) })
}

func (m *Simulation) answered(r request) {
	m.working--
	for len(m.queue) > 0 && (m.Service.Threads == 0 || m.working < m.Service.Threads) {
		next := m.queue[0]
		m.queue = m.queue[1:]
		m.work(next)
	}
	sec := m.second()
	sec.OK++
	sec.Latencies = append(sec.Latencies, m.now.Sub(r.begin))
	sec.InFlight = max(sec.InFlight, m.working+len(m.queue)+1)
	m.count(r.from)
	r.from.inUse--
	r.from.sample.OK++
	m.send(r.from)
}

func (m *Simulation) refused(r request) {
	i := r.from
	m.second().Refused++
	m.count(i)
	i.inUse--
	i.sample.Refused++
	if until := m.now.Add(m.Service.RetryAfter); until.After(i.paused) {
		i.paused = until
	}
	m.after(i.paused.Sub(m.now), func() { m.send(i) })
}

// Result sums a stretch of time up.
type Result struct {
	PerSecond float64 // answers
	P95       time.Duration
	Refused   int
}

// Result sums up what happened from so long after the beginning to a later moment.
func (m *Simulation) Result(from, to time.Duration) Result {
	var r Result
	var all []time.Duration
	for n := int(from / time.Second); n < int(to/time.Second) && n < len(m.Seconds); n++ {
		all = append(all, m.Seconds[n].Latencies...)
		r.Refused += m.Seconds[n].Refused
	}
	if len(all) == 0 {
		return r
	}
	slices.Sort(all)
	r.PerSecond = float64(len(all)) / (to - from).Seconds()
	r.P95 = all[len(all)*95/100]
	return r
}
