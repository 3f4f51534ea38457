// Package featureservice is a stand-in for a feature service: it answers requests of
// the contract C4 with the values of package values. Like the services it stands for
// it is synchronous and limited by its threads: a request holds one until all of its
// families are computed, one after the other. It is made for the demo, tests and
// benchmarks.
//
// Beyond the contract, GET /_stats gives [Stats] as JSON.
package featureservice

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const (
	maxRequestBytes = 1 << 20
	maxFamilies     = 10_000 // that are kept prepared
	defaultThreads  = 64
)

// Overflow says what happens to a request when all threads are busy and the queue is
// full.
type Overflow string

// The ways to overflow.
const (
	Wait            Overflow = "wait" // it waits: the queue has no end; so too when none is named
	TooManyRequests Overflow = "429"
	Unavailable     Overflow = "503"
)

// Range is how long a family takes; where in it follows from user, family and time.
type Range struct{ Min, Max time.Duration }

// Config sets up a server. Its zero value is useful, but serves no features.
type Config struct {
	Threads           int // requests worked on at the same time; 64 unless given
	Knee              int // n requests take 1 + (n/Knee)² times as long, as those of a service do that shares something scarce; 0 = they do not
	Queue             int // requests that wait for a thread, unless Overflow is Wait
	Overflow          Overflow
	RetryAfter        time.Duration // told with 429 and 503, in whole seconds; 0 = not told
	Latency           func(family string) Range
	FeaturesPerFamily int
	// Before is asked what goes wrong with a request that got a thread; nil = nothing.
	// It is called from many goroutines.
	Before func(*Request) Fault
}

// Request is a request of C4.
type Request struct {
	UserID        string          `json:"user_id"`
	PITCTimestamp string          `json:"pitc_timestamp"`
	Families      []string        `json:"feature_families"`
	Attributes    json.RawMessage `json:"attributes"`

	EpochMS int64 `json:"-"` // PITCTimestamp in epoch milliseconds
	Number  int64 `json:"-"` // 1 for the first request that the server sees
}

// Server is the stand-in. It is an [http.Handler].
type Server struct {
	cfg     Config
	threads threads
	knee    atomic.Int64
	stats   counters

	mu       sync.RWMutex
	families map[string]*values.Family
}

// New gives a server.
func New(cfg Config) *Server {
	if cfg.Threads <= 0 {
		cfg.Threads = defaultThreads
	}
	s := &Server{cfg: cfg, threads: threads{number: cfg.Threads, queue: -1}, families: map[string]*values.Family{}}
	if cfg.Overflow == TooManyRequests || cfg.Overflow == Unavailable {
		s.threads.queue = max(cfg.Queue, 0)
	}
	s.knee.Store(int64(cfg.Knee))
	return s
}

// SetThreads changes how many requests are worked on at the same time from now on.
func (s *Server) SetThreads(n int) { s.threads.set(n) }

// SetKnee changes from how many requests on they slow each other down.
func (s *Server) SetKnee(n int) { s.knee.Store(int64(n)) }

// Declare makes families have the features that a run file declares. Families that
// were not declared are served too.
func (s *Server) Declare(families []runfile.Family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range families {
		s.families[f.ID] = values.NewFamily(f, s.cfg.FeaturesPerFamily)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/_stats" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Stats())
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "the feature service takes POST", http.StatusMethodNotAllowed)
		return
	}
	number := s.stats.requests.Add(1)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	q, err := decode(body)
	if err != nil {
		s.stats.refused.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q.Number = number
	taken, full := s.threads.take(r.Context(), func(change int64) { s.stats.queued.add(change) })
	if full {
		s.overflow(w)
	}
	if !taken {
		return
	}
	s.stats.inFlight.add(1)
	defer s.leave(time.Now())
	s.work(w, r, q)
}

func (s *Server) leave(since time.Time) {
	s.stats.busy.Add(int64(time.Since(since)))
	s.stats.inFlight.add(-1)
	s.threads.give()
}

func (s *Server) overflow(w http.ResponseWriter) {
	s.stats.overflowed.Add(1)
	if s.cfg.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((s.cfg.RetryAfter+time.Second-1)/time.Second)))
	}
	status := http.StatusServiceUnavailable
	if s.cfg.Overflow == TooManyRequests {
		status = http.StatusTooManyRequests
	}
	http.Error(w, "all threads are busy", status)
}

var answers = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}

// work computes and answers a request that has a thread.
func (s *Server) work(w http.ResponseWriter, r *http.Request, q *Request) {
	var f Fault
	if s.cfg.Before != nil {
		f = s.cfg.Before(q)
	}
	if !pause(r.Context(), s.slowed(s.latency(q))+f.Delay) {
		return
	}
	if f.faulty() {
		s.stats.faults.Add(1)
	}
	answer := answers.Get().(*[]byte)
	defer answers.Put(answer)
	*answer = s.appendAnswer((*answer)[:0], q, &f)
	s.stats.families.Add(int64(len(q.Families)))
	if len(q.Attributes) > 0 {
		s.stats.withAttributes.Add(1)
	}
	f.send(w, *answer)
}

// latency is what the families take, one after the other.
func (s *Server) latency(q *Request) time.Duration {
	if s.cfg.Latency == nil {
		return 0
	}
	total := time.Duration(0)
	for _, family := range q.Families {
		l := s.cfg.Latency(family)
		if total += l.Min; l.Max > l.Min {
			h := xxh3.HashStringSeed(q.UserID, xxh3.HashStringSeed(family, uint64(q.EpochMS)))
			total += time.Duration(h % uint64(l.Max-l.Min+1))
		}
	}
	return total
}

// slowed gives how long it takes beside the others that are worked on.
func (s *Server) slowed(d time.Duration) time.Duration {
	knee := s.knee.Load()
	if knee <= 0 {
		return d
	}
	crowd := float64(s.stats.inFlight.now.Load()) / float64(knee)
	return time.Duration(float64(d) * (1 + crowd*crowd))
}

// pause waits; false says that the client went away meanwhile. A real thread would
// work on, unaware; this one is free again, so that tests of time-outs end.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// decode reads a request. Fields that C4 does not know are refused.
func decode(body []byte) (*Request, error) {
	var q Request
	if err := decodeStrictly(body, &q); err != nil {
		return nil, err
	}
	t, err := time.Parse(time.RFC3339, q.PITCTimestamp)
	switch {
	case q.UserID == "":
		return nil, fmt.Errorf("user_id is missing")
	case err != nil:
		return nil, fmt.Errorf("pitc_timestamp: %w", err)
	case len(q.Families) == 0:
		return nil, fmt.Errorf("feature_families is missing or empty")
	}
	for i, f := range q.Families {
		if f == "" || slices.Contains(q.Families[:i], f) {
			return nil, fmt.Errorf("feature_families: %q is empty or given twice", f)
		}
	}
	q.EpochMS = t.UnixMilli()
	return &q, nil
}

// family finds a family, or makes one.
func (s *Server) family(id string) *values.Family {
	s.mu.RLock()
	f, ok := s.families[id]
	s.mu.RUnlock()
	if ok {
		return f
	}
	f = values.NewFamily(runfile.Family{ID: id}, s.cfg.FeaturesPerFamily)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.families) < maxFamilies {
		s.families[id] = f
	}
	return f
}
