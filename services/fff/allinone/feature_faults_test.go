package allinone_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
)

// ailment is something that goes wrong with the feature service for one user.
type ailment struct {
	name   string
	fault  func(*featureservice.Request) featureservice.Fault
	code   failure.Code
	reason string // is part of what the dead letters say
	once   bool   // trying again is of no use, and is not done
	only   string // family that it is about; "" = every one that is asked for
}

func always(f featureservice.Fault) func(*featureservice.Request) featureservice.Fault {
	return func(*featureservice.Request) featureservice.Fault { return f }
}

var ailments = []ailment{
	{name: "500", fault: always(featureservice.Fault{Status: 500}), code: failure.ServerError, reason: "HTTP 500"},
	{name: "502 with a page", fault: always(featureservice.Fault{Status: 502, Body: []byte("<html>bad gateway</html>")}), code: failure.ServerError, reason: "bad gateway"},
	{name: "404", fault: always(featureservice.Fault{Status: 404}), code: failure.Rejected, reason: "HTTP 404", once: true},
	{name: "redirect", fault: always(featureservice.Fault{Status: 302, Header: http.Header{"Location": {"/elsewhere"}}}), code: failure.Rejected, reason: "HTTP 302", once: true},
	{name: "no answer", fault: always(featureservice.Fault{Drop: true}), code: failure.Unreachable},
	{name: "half an answer", fault: always(featureservice.Fault{Truncate: true}), code: failure.Unreachable, reason: "before the answer was complete"},
	{name: "no JSON", fault: always(featureservice.Fault{Body: []byte("ok")}), code: failure.BadResponse, reason: "cannot be read"},
	{name: "JSON that ends early", fault: always(featureservice.Fault{Body: []byte(`{"features":{"late_a":{`)}), code: failure.BadResponse, reason: "cannot be read"},
	{name: "JSON of another form", fault: always(featureservice.Fault{Body: []byte(`{"features":[1,2]}`)}), code: failure.BadResponse, reason: "instead of an object"},
	{name: "family left out", fault: always(featureservice.Fault{Missing: []string{"direct_a"}}), code: failure.MissingInResponse, reason: "neither features nor an error", only: "direct_a"},
	{name: "family null", fault: always(featureservice.Fault{Null: []string{"direct_a"}}), code: failure.MissingInResponse, reason: "neither features nor an error", only: "direct_a"},
	{name: "family twice", fault: always(featureservice.Fault{Repeat: []string{"late_a"}}), code: failure.BadResponse, reason: "repeats", only: "late_a"},
	{
		name: "error that may pass", code: failure.ServiceError, reason: "busy: try later", only: "direct_b",
		fault: always(featureservice.Fault{Errors: map[string]featureservice.FamilyError{"direct_b": {Code: "busy", Message: "try later", Retryable: true}}}),
	},
	{
		name: "error for good", code: failure.ServiceError, reason: "no_user: unknown", only: "late_b", once: true,
		fault: always(featureservice.Fault{Errors: map[string]featureservice.FamilyError{"late_b": {Code: "no_user", Message: "unknown"}}, Both: true}),
	},
}

// ailing gives each ailment a user.
func ailing() map[string]*ailment {
	of := map[string]*ailment{}
	for i := range ailments {
		of[fmt.Sprintf("u%03d", 4*i)] = &ailments[i]
	}
	return of
}

const attempts = 3

// lanesForFaults gives both lanes few attempts.
var lanesForFaults = fmt.Sprintf("max_attempts: %d", attempts)

// codeOf says how the cells of ailing users fail: those that DynamoDB has do not.
func codeOf(r *run, sick map[string]*ailment) func(cell) string {
	truth := r.truth()
	return func(c cell) string {
		a := sick[c.user]
		if a == nil || a.only != "" && a.only != c.family || truth.Cached(c.user, c.ms, c.family) {
			return ""
		}
		return string(a.code)
	}
}

// What goes wrong for good becomes dead letters with their reasons, and nothing else
// suffers. Replaying them after the cure completes the dataset, however often.
func TestFailuresOfTheFeatureServiceAreDeadLettersAndReplay(t *testing.T) {
	s := start(t, job{})
	sick := ailing()
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if a := sick[q.UserID]; a != nil {
			return a.fault(q)
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{lanes: lanesForFaults})
	r.submit(usual())
	end := r.ends(control.CompletedWithFailures)
	m := r.lacksOnly(codeOf(r, sick))
	if !maps.Equal(end.FailedByCode, m.Cells.ByCode) || end.Failed != m.Cells.Failed || end.Round != 0 {
		t.Errorf("status: %+v; manifest: %+v", end, m.Cells)
	}
	r.checkReasons(sick)

	r.replaysNothingWhileSick(sick)
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replaysOne(sick)
	r.replaysAll()
}

// checkReasons compares each dead letter and each listed failure with its ailment.
func (r *run) checkReasons(sick map[string]*ailment) {
	r.t.Helper()
	check := func(user, stage, code, reason string, tried int) {
		a := sick[user]
		if a == nil {
			r.t.Errorf("user %s has failed with %s, and nothing was wrong", user, code)
			return
		}
		want := attempts
		if a.once {
			want = 1
		}
		if code != string(a.code) || !strings.Contains(reason, a.reason) || tried != want || !strings.HasPrefix(stage, "fs-") {
			r.t.Errorf("%s: stage %s, %s, %q after %d attempts", a.name, stage, code, reason, tried)
		}
	}
	for _, l := range r.letters() {
		_, user, _ := strings.Cut(string(l.Data), `"user_id":"`)
		check(user[:4], l.Stage, l.Code, l.Reason, l.Attempts)
	}
	for _, f := range r.failures() {
		check(f.UserID, f.Stage, f.Code, f.Reason, f.Attempts)
	}
}

// replay sends dead letters again. That it did is seen by the letters that are left: on a
// busy machine the client asks twice, and the second answer is that there are none.
func (r *run) replay(sel control.Selection) *control.Replayed {
	r.t.Helper()
	done, err := r.control.Replay(r.t.Context(), r.id, sel)
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

func (r *run) replaysNothingWhileSick(sick map[string]*ailment) {
	r.t.Helper()
	before := len(r.letters())
	if done := r.replay(control.Selection{Code: string(failure.Rejected)}); done.Epoch <= r.epoch {
		r.t.Errorf("replayed: %+v", done)
	}
	r.ends(control.CompletedWithFailures)
	r.lacksOnly(codeOf(r, sick))
	if n := len(r.letters()); n != before {
		r.t.Errorf("%d letters after a replay that was of no use, %d before", n, before)
	}
}

func (r *run) replaysOne(sick map[string]*ailment) {
	r.t.Helper()
	letters := r.letters()
	var one *control.Letter
	for _, l := range letters {
		if l.Code == string(failure.ServiceError) && l.Stage == "fs-slow" {
			one = l
		}
	}
	r.replay(control.Selection{Sequences: []uint64{one.Sequence}})
	r.ends(control.CompletedWithFailures)
	rest := codeOf(r, sick)
	r.lacksOnly(func(c cell) string {
		if a := sick[c.user]; a != nil && a.name == "error for good" {
			return ""
		}
		return rest(c)
	})
	if n := len(r.letters()); n != len(letters)-1 {
		r.t.Errorf("%d letters are left of %d", n, len(letters))
	}
}

func (r *run) replaysAll() {
	r.t.Helper()
	r.replay(control.Selection{All: true})
	if done := r.replay(control.Selection{All: true}); done.Replayed != 0 {
		r.t.Errorf("replayed at once again: %+v", done)
	}
	r.ends(control.Completed)
	m := r.isExact()
	if done := r.replay(control.Selection{All: true}); done.Replayed != 0 || len(m.Epochs) != int(done.Epoch) {
		r.t.Errorf("replayed when all was done: %+v", done)
	}
	r.isExact()
}

// What passes within the attempts leaves no trace, and being told to wait is no attempt.
func TestFailuresThatPassLeaveAnExactDataset(t *testing.T) {
	s := start(t, job{})
	sick := ailing()
	var mu sync.Mutex
	asked := map[string]int{} // times, by user and family
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		mu.Lock()
		defer mu.Unlock()
		most := 0
		for _, f := range q.Families {
			asked[q.UserID+f]++
			most = max(most, asked[q.UserID+f])
		}
		switch a := sick[q.UserID]; {
		case a != nil && !a.once && most < attempts:
			return a.fault(q)
		case q.UserID == "u001" && most < 3*attempts:
			return featureservice.Fault{Status: 429, Header: http.Header{"Retry-After": {"0"}}}
		case q.UserID == "u002" && most < 3*attempts:
			return featureservice.Fault{Status: 503, Header: http.Header{"Retry-After": {"0"}}}
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{lanes: lanesForFaults})
	r.submit(usual())
	r.ends(control.Completed)
	r.isExact()
	if letters := r.letters(); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters[0])
	}
}

// A request that takes too long is asked again in halves, and fails in the end.
func TestRequestsThatTakeTooLongAreDeadLetters(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if q.UserID == "u007" && slices.Contains(q.Families, "direct_a") {
			return featureservice.Fault{Delay: time.Hour}
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{lanes: "timeout: 2s"})
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	r.lacksOnly(func(c cell) string {
		if c.user == "u007" && c.family == "direct_a" {
			return string(failure.Timeout)
		}
		return ""
	})
	for _, l := range r.letters() {
		if l.Stage != "fs-fast" || l.Attempts != 5 || !strings.Contains(l.Reason, "within 2s") {
			t.Errorf("letter: %+v", l)
		}
	}
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replay(control.Selection{Code: string(failure.Timeout)})
	r.ends(control.Completed)
	r.isExact()
}

// The wait that a 429 asks for holds the lane of the run.
func TestRetryAfterIsKept(t *testing.T) {
	s := start(t, job{})
	var mu sync.Mutex
	var refused, next time.Time
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		mu.Lock()
		defer mu.Unlock()
		if refused.IsZero() {
			refused = time.Now()
			return featureservice.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}
		}
		if next.IsZero() {
			next = time.Now()
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{
		families: "\n  - {id: late_a, lane: slow, cached: false}\n  - {id: late_b, lane: slow, cached: false}\n  - {id: fast_a}",
		lanes:    "max_in_flight: 1, max_attempts: 1",
	})
	records := usual()
	for i := range records {
		records[i].Families = []string{"late_a", "late_b"}
	}
	r.submit(records)
	r.ends(control.Completed)
	r.isExact()
	if waited := next.Sub(refused); waited < time.Second {
		t.Errorf("asked again after %v, and was told to wait a second", waited)
	}
}

// drop drops dead letters; of its answer the same holds as of replay's.
func (r *run) drop(sel control.Selection) {
	r.t.Helper()
	if _, err := r.control.Drop(r.t.Context(), r.id, sel); err != nil {
		r.t.Fatal(err)
	}
}

// Dropped letters are gone; that their cells have failed stays written down.
func TestDroppedLettersAreNotReplayed(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: always(featureservice.Fault{Status: 404})})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	truth := r.truth()
	rejected := func(c cell) string {
		if truth.Cached(c.user, c.ms, c.family) {
			return ""
		}
		return string(failure.Rejected)
	}
	r.lacksOnly(rejected)
	letters := r.letters()
	r.drop(control.Selection{Sequences: []uint64{letters[0].Sequence}})
	if left := r.letters(); len(left) != len(letters)-1 || left[0].Sequence != letters[1].Sequence {
		t.Fatalf("%d letters are left of %d", len(left), len(letters))
	}
	r.drop(control.Selection{Stage: "fs-slow"})
	for _, l := range r.letters() {
		if l.Stage != "fs-fast" {
			t.Errorf("letter: %+v", l)
		}
	}
	r.drop(control.Selection{All: true})
	if left := r.letters(); len(left) != 0 {
		t.Errorf("letter: %+v", left[0])
	}
	if done := r.replay(control.Selection{All: true}); done.Replayed != 0 {
		t.Errorf("replayed: %+v", done)
	}
	r.lacksOnly(rejected)
	if r.has(dataset.SuccessName) {
		t.Error("_SUCCESS is there")
	}
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.reopen(job{})
	r.submit(usual())
	r.ends(control.Completed)
	r.isExact()
}
