package main

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
)

// second is what a service saw in one second.
type second struct {
	Answers   int `json:"answers"`
	Refused   int `json:"refused"`
	InFlight  int `json:"in_flight"` // at its end, waiting ones included
	latencies []time.Duration
}

// figures sum seconds up.
type figures struct {
	PerSecond float64 `json:"answers_per_second"`
	Refused   float64 `json:"refused_per_second"`
	P95       float64 `json:"p95_ms"`
	InFlight  float64 `json:"in_flight"`
}

func sum(seconds []second) figures {
	var f figures
	var all []time.Duration
	n := float64(len(seconds))
	for _, s := range seconds {
		f.PerSecond += float64(s.Answers) / n
		f.Refused += float64(s.Refused) / n
		f.InFlight += float64(s.InFlight) / n
		all = append(all, s.latencies...)
	}
	if len(all) > 0 {
		slices.Sort(all)
		f.P95 = float64(all[len(all)*95/100]) / float64(time.Millisecond)
	}
	return f
}

// recorder notes what comes of the requests to a service.
type recorder struct {
	service *featureservice.Server
	began   chan struct{} // closed at the first answer

	mu       sync.Mutex
	since    time.Time
	started  bool
	inFlight int
	seconds  []second
}

func newRecorder(s *featureservice.Server) *recorder {
	return &recorder{service: s, began: make(chan struct{}), since: time.Now()}
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	begin := time.Now()
	r.mu.Lock()
	r.inFlight++
	r.mu.Unlock()
	answer := &status{ResponseWriter: w}
	r.service.ServeHTTP(answer, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	s := r.second()
	if answer.code >= 400 {
		s.Refused++
		return
	}
	s.Answers++
	s.latencies = append(s.latencies, time.Since(begin))
	if !r.started {
		r.started = true
		close(r.began)
	}
}

// second is called with mu held.
func (r *recorder) second() *second {
	for n := int(time.Since(r.since) / time.Second); len(r.seconds) <= n; {
		r.seconds = append(r.seconds, second{})
	}
	s := &r.seconds[len(r.seconds)-1]
	s.InFlight = r.inFlight
	return s
}

// clear begins anew.
func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.seconds = time.Now(), nil
}

// take gives the first n seconds.
func (r *recorder) take(n int) []second {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.second()
	for len(r.seconds) < n {
		r.seconds = append(r.seconds, second{})
	}
	return slices.Clone(r.seconds[:n])
}

// status notes the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}
