package featureservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const two = `{"user_id":"ü1","pitc_timestamp":"2025-01-31T12:00:00.123Z","feature_families":["credit","sms"]}`

// ask has a server answer a request without a network.
func ask(s *featureservice.Server, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/features", strings.NewReader(body)))
	return w
}

// answer is what C4 answers.
type answer struct {
	Features map[string]map[string]json.RawMessage `json:"features"`
	Errors   map[string]featureservice.FamilyError `json:"errors"`
}

func parse(t *testing.T, body string) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a
}

func TestAnswersHoldTheFormula(t *testing.T) {
	s := featureservice.New(featureservice.Config{FeaturesPerFamily: 60})
	s.Declare([]runfile.Family{{ID: "sms", Features: []runfile.Feature{{Name: "sent", Type: runfile.Int64}}}})
	w := ask(s, two)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	a := parse(t, w.Body.String())
	if len(a.Features) != 2 || len(a.Features["credit"]) != 60 || len(a.Features["sms"]) != 60 || len(a.Errors) != 0 {
		t.Fatalf("%v", a)
	}
	if a.Features["sms"]["sent"] == nil {
		t.Error("a declared feature is not served")
	}
	for name, text := range a.Features["credit"] {
		v := values.Value("ü1", 1738324800123, "credit", name)
		var got string
		switch v.Kind {
		case values.String:
			if err := json.Unmarshal(text, &got); err != nil || got != v.Text {
				t.Errorf("%s is %s, want %q", name, text, v.Text)
			}
		case values.Int64, values.Bool, values.Null:
			if string(text) != v.String() {
				t.Errorf("%s is %s, want %s", name, text, v)
			}
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	s := featureservice.New(featureservice.Config{})
	for name, test := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"no JSON":          {`{`, 400, "contract"},
		"unknown field":    {`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["a"],"x":1}`, 400, "x"},
		"two values":       {two + `{}`, 400, "follows"},
		"no user":          {`{"pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["a"]}`, 400, "user_id"},
		"no time":          {`{"user_id":"u","feature_families":["a"]}`, 400, "pitc_timestamp"},
		"time of no zone":  {`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00","feature_families":["a"]}`, 400, "pitc_timestamp"},
		"no families":      {`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":[]}`, 400, "feature_families"},
		"doubled family":   {`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["a","a"]}`, 400, "twice"},
		"too large":        {`{"user_id":"` + strings.Repeat("u", 2<<20) + `"}`, 413, "too large"},
		"good, attributes": {`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["a"],"attributes":{"k":1}}`, 200, `"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			if w := ask(s, test.body); w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/features", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered with %d", w.Code)
	}
	if n := s.Stats(); n.Requests != 10 || n.Refused != 8 || n.WithAttributes != 1 || n.Families != 1 {
		t.Errorf("stats %+v", n)
	}
}

func TestFaultsWithinTheBody(t *testing.T) {
	retryable := featureservice.FamilyError{Code: "deadline", Message: "too slow", Retryable: true}
	for name, test := range map[string]struct {
		fault featureservice.Fault
		check func(t *testing.T, body string)
	}{
		"missing": {featureservice.Fault{Missing: []string{"sms"}}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features) != 1 || len(a.Errors) != 0 {
				t.Error(body)
			}
		}},
		"all missing": {featureservice.Fault{Missing: []string{"credit", "sms"}}, func(t *testing.T, body string) {
			if body != `{"features":{}}` {
				t.Error(body)
			}
		}},
		"null": {featureservice.Fault{Null: []string{"credit"}}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features) != 2 || a.Features["credit"] != nil {
				t.Error(body)
			}
		}},
		"empty": {featureservice.Fault{Empty: []string{"credit"}}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features["credit"]) != 0 || a.Features["credit"] == nil {
				t.Error(body)
			}
		}},
		"error": {featureservice.Fault{Errors: map[string]featureservice.FamilyError{"sms": retryable}}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features) != 1 || a.Errors["sms"] != retryable {
				t.Error(body)
			}
		}},
		"error and features": {featureservice.Fault{Errors: map[string]featureservice.FamilyError{"sms": retryable}, Both: true}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features) != 2 || len(a.Errors) != 1 {
				t.Error(body)
			}
		}},
		"twice": {featureservice.Fault{Repeat: []string{"sms"}}, func(t *testing.T, body string) {
			if parse(t, body); strings.Count(body, `"sms":{`) != 2 {
				t.Error(body)
			}
		}},
		"not a number": {featureservice.Fault{NaN: []string{"sms"}}, func(t *testing.T, body string) {
			if !strings.HasSuffix(body, `,"not_a_number":NaN,"infinite":Infinity,"negative_infinite":-Infinity}}}`) {
				t.Error(body)
			}
		}},
		"not a number alone": {featureservice.Fault{NaN: []string{"sms"}, Empty: []string{"sms"}}, func(t *testing.T, body string) {
			if !strings.Contains(body, `"sms":{"not_a_number":NaN,`) {
				t.Error(body)
			}
		}},
		"unasked": {featureservice.Fault{Unasked: []string{"geo"}}, func(t *testing.T, body string) {
			if a := parse(t, body); len(a.Features) != 3 {
				t.Error(body)
			}
		}},
		"another body": {featureservice.Fault{Body: []byte("<html>")}, func(t *testing.T, body string) {
			if body != "<html>" {
				t.Error(body)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := featureservice.New(featureservice.Config{FeaturesPerFamily: 3, Before: func(r *featureservice.Request) featureservice.Fault {
				if r.UserID != "ü1" || r.EpochMS != 1738324800123 || len(r.Families) != 2 || r.Number != 1 {
					t.Errorf("request %+v", r)
				}
				return test.fault
			}})
			w := ask(s, two)
			if w.Code != 200 {
				t.Errorf("status %d", w.Code)
			}
			test.check(t, w.Body.String())
			if s.Stats().Faults != 1 {
				t.Error("the fault is not counted")
			}
		})
	}
}

func TestFaultsOfTheConnection(t *testing.T) {
	var fault atomic.Pointer[featureservice.Fault]
	h := httptest.NewServer(featureservice.New(featureservice.Config{FeaturesPerFamily: 3, Before: func(*featureservice.Request) featureservice.Fault { return *fault.Load() }}))
	t.Cleanup(h.Close)
	post := func(f featureservice.Fault) (*http.Response, error) {
		fault.Store(&f)
		return http.Post(h.URL, "application/json", strings.NewReader(two))
	}
	if _, err := post(featureservice.Fault{Drop: true}); !errors.Is(err, io.EOF) {
		t.Errorf("a dropped connection gives %v", err)
	}
	r, err := post(featureservice.Fault{Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a body gives %v", err)
	}
	_ = r.Body.Close()
	r, err = post(featureservice.Fault{Status: 429, Header: http.Header{"Retry-After": {"7"}}})
	if err != nil || r.StatusCode != 429 || r.Header.Get("Retry-After") != "7" {
		t.Errorf("%v, %v", r, err)
	}
	_ = r.Body.Close()
}

// crowd sends n requests at the same time and gives how many got each status.
func crowd(s *featureservice.Server, n int) map[int]int {
	statuses := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			w := ask(s, fmt.Sprintf(`{"user_id":"u%d","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["slow"]}`, i))
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
		})
	}
	wg.Wait()
	return statuses
}

func second(string) featureservice.Range {
	return featureservice.Range{Min: time.Second, Max: time.Second}
}

func TestThreadsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := featureservice.New(featureservice.Config{Threads: 4, Latency: second})
		began := time.Now()
		if got := crowd(s, 12); got[200] != 12 {
			t.Errorf("statuses %v", got)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("12 requests of 1 s on 4 threads took %v", took)
		}
		n := s.Stats()
		if n.MaxInFlight != 4 || n.MaxQueued != 8 || n.InFlight != 0 || n.Queued != 0 || n.BusyTime != 12*time.Second || n.Families != 12 {
			t.Errorf("stats %+v", n)
		}
	})
}

func TestOverflow(t *testing.T) {
	for overflow, status := range map[featureservice.Overflow]int{featureservice.TooManyRequests: 429, featureservice.Unavailable: 503} {
		synctest.Test(t, func(t *testing.T) {
			s := featureservice.New(featureservice.Config{Threads: 4, Queue: 3, Overflow: overflow, RetryAfter: 1500 * time.Millisecond, Latency: second})
			if got := crowd(s, 12); got[200] != 7 || got[status] != 5 {
				t.Errorf("%s: statuses %v", overflow, got)
			}
			if n := s.Stats(); n.Overflowed != 5 || n.MaxQueued != 3 {
				t.Errorf("stats %+v", n)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := featureservice.New(featureservice.Config{Threads: 1, Overflow: featureservice.TooManyRequests, RetryAfter: 1500 * time.Millisecond, Latency: second})
		var wg sync.WaitGroup
		wg.Go(func() { ask(s, two) })
		defer wg.Wait()
		synctest.Wait()
		if w := ask(s, two); w.Code != 429 || w.Header().Get("Retry-After") != "2" {
			t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
	})
}

// The families of a request are computed one after the other.
func TestLatencyAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := featureservice.New(featureservice.Config{Latency: func(family string) featureservice.Range {
			if family == "sms" {
				return featureservice.Range{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond}
			}
			return featureservice.Range{Min: time.Second}
		}})
		began := time.Now()
		ask(s, two)
		first := time.Since(began)
		if first < 1010*time.Millisecond || first > 1020*time.Millisecond {
			t.Errorf("took %v", first)
		}
		began = time.Now()
		ask(s, two)
		if again := time.Since(began); again != first {
			t.Errorf("the same request took %v, then %v", first, again)
		}
	})
}

func TestClientsThatGoAwayFreeTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := featureservice.New(featureservice.Config{Threads: 1, Latency: func(string) featureservice.Range { return featureservice.Range{Min: time.Hour} }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(two)))
			})
		}
		wg.Wait()
		if n := s.Stats(); n.InFlight != 0 || n.Queued != 0 || n.BusyTime > time.Minute {
			t.Errorf("stats %+v", n)
		}
	})
}

func TestStatsOverHTTP(t *testing.T) {
	w := httptest.NewRecorder()
	featureservice.New(featureservice.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_stats", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"max_in_flight":0`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// FuzzRequest: every request is answered with 200 and JSON, or refused with 400.
func FuzzRequest(f *testing.F) {
	f.Add(two)
	f.Add(`{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00+05:30","feature_families":["a\"b","географ"],"attributes":{"a":[1]}}`)
	f.Add(`{"feature_families":null}`)
	f.Add(`[]`)
	s := featureservice.New(featureservice.Config{FeaturesPerFamily: 3})
	f.Fuzz(func(t *testing.T, body string) {
		w := ask(s, body)
		if w.Code != 400 && (w.Code != 200 || !json.Valid(w.Body.Bytes())) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func BenchmarkTenFamilies(b *testing.B) {
	s := featureservice.New(featureservice.Config{FeaturesPerFamily: 60})
	body := `{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["f0","f1","f2","f3","f4","f5","f6","f7","f8","f9"]}`
	b.ReportAllocs()
	for range b.N {
		if w := ask(s, body); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// The number of threads, and where requests begin to slow each other down, can be changed
// while requests are worked on and wait.
func TestCapacityChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := featureservice.New(featureservice.Config{Threads: 1, Latency: second})
		var all sync.WaitGroup
		all.Go(func() { crowd(s, 7) })
		time.Sleep(1500 * time.Millisecond) // the second is worked on
		s.SetThreads(4)
		synctest.Wait()
		if n := s.Stats(); n.InFlight != 4 || n.Queued != 2 {
			t.Errorf("with four threads %d are worked on and %d wait, want 4 and 2", n.InFlight, n.Queued)
		}
		s.SetThreads(1)
		begin := time.Now()
		all.Wait()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("with one thread again the rest took %v, want 3s: one for what was worked on, and one for each that waited", took)
		}
		s.SetKnee(1)
		begin = time.Now()
		crowd(s, 1)
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("at its knee it took %v, want twice as long as a second", took)
		}
	})
}
