package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

var start = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)

// at gives the moment so many seconds from the start.
func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// watch is a monitor with a policy, whose findings are gathered.
type watch struct {
	*Monitor
	found []Finding
}

func newWatch(t *testing.T, policy string, families ...string) *watch {
	t.Helper()
	if len(families) == 0 {
		families = []string{"{id: credit, cached: false}"}
	}
	f, err := runfile.Parse("run.yaml", fmt.Appendf(nil,
		"run: demo\nfamilies: [%s]\nfeature_service: {url: \"http://127.0.0.1/\"}\nfailure_policy: {%s}", strings.Join(families, ", "), policy))
	if err != nil {
		t.Fatal(err)
	}
	return &watch{Monitor: New(f)}
}

func (w *watch) look(o Observation) { w.found = append(w.found, w.Look(&o)...) }

// rules names the rules that were broken.
func (w *watch) rules() string {
	var all []string
	for _, f := range w.found {
		all = append(all, strings.TrimPrefix(f.Rule, "failure_policy.")+" "+string(f.Do))
	}
	return strings.Join(all, ", ")
}

func (w *watch) expect(t *testing.T, want string) {
	t.Helper()
	if got := w.rules(); got != want {
		t.Errorf("found %q (%v), want %q", got, w.found, want)
	}
}

// fast gives an observation of the fast lane.
func fast(at time.Time, families map[string]Cells, attempts map[string]Attempts) Observation {
	return Observation{Now: at, Stages: []Stage{{Name: "fs-fast", Alive: 1, Families: families, Attempts: attempts}}}
}

func TestFailedRatio(t *testing.T) {
	for name, c := range map[string]struct {
		cells []map[string]Cells // every 10 seconds
		want  string
	}{
		"over the threshold":          {[]map[string]Cells{{"credit": {2000, 0}}, {"credit": {3970, 41}}}, "failed_ratio stop"},
		"just at it":                  {[]map[string]Cells{{"credit": {2000, 0}}, {"credit": {3960, 40}}}, ""},
		"of too few cells":            {[]map[string]Cells{{"credit": {899, 100}}}, ""},
		"of enough of them":           {[]map[string]Cells{{"credit": {900, 100}}}, "failed_ratio stop"},
		"a stage of small families":   {[]map[string]Cells{{"a": {450, 50}, "b": {450, 50}}}, "failed_ratio stop"},
		"a bad family among good":     {[]map[string]Cells{{"a": {900, 100}, "b": {99_000, 0}}}, "failed_ratio stop"},
		"two bad families":            {[]map[string]Cells{{"a": {900, 100}, "b": {900, 100}}}, "failed_ratio stop, failed_ratio stop"},
		"told once":                   {[]map[string]Cells{{"a": {900, 100}}, {"a": {900, 200}}, {"a": {900, 300}}}, "failed_ratio stop"},
		"an instance is not heard of": {[]map[string]Cells{{"a": {99_000, 900}}, {"a": {1000, 10}}, {"a": {2000, 30}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, "window: 1m")
			for i, cells := range c.cells {
				w.look(fast(at(10*float64(i)), cells, nil))
			}
			w.expect(t, c.want)
		})
	}
}

// What lies behind the window neither breaks the rule nor hides that it is broken.
func TestFailedRatioForgets(t *testing.T) {
	w := newWatch(t, "window: 1m, failed_ratio: {over: 0.1, do: warn}")
	now := Cells{}
	go10s := func(i int, more Cells) {
		now = now.plus(more)
		w.look(fast(at(10*float64(i)), map[string]Cells{"a": now}, nil))
	}
	for i := range 100 {
		go10s(i, Cells{1000, 0})
	}
	for i := range 6 { // of all cells ever 0.6 %
		go10s(100+i, Cells{800, 100})
	}
	w.expect(t, "failed_ratio warn")
	if !strings.Contains(w.found[0].Cause, "family a failed at fs-fast, more than 10 %") {
		t.Error(w.found[0])
	}
}

// The writer fetches nothing: its failures are among what the others have fetched.
func TestFailedRatioOfTheWriter(t *testing.T) {
	for failed, want := range map[int64]string{10: "", 11: "failed_ratio stop"} {
		w := newWatch(t, "")
		w.look(Observation{Now: at(0), Stages: []Stage{
			{Name: "dynamo", Families: map[string]Cells{"a": {600, 0}}}, {Name: "fs-fast", Families: map[string]Cells{"a": {400, 0}}},
			{Name: "writer", Families: map[string]Cells{"a": {0, failed}}, Attempts: map[string]Attempts{"type_drift": {failed, "lat is no double"}}},
		}})
		w.expect(t, want)
		if want != "" && !strings.Contains(w.found[0].Cause, "mostly type_drift: lat is no double") {
			t.Error(w.found[0])
		}
	}
}

func TestRepeatedErrors(t *testing.T) {
	errors := func(n int64) map[string]Attempts { return map[string]Attempts{"timeout": {n, "no answer in 60s"}} }
	for name, c := range map[string]struct {
		counts []int64 // every 10 seconds
		want   string
	}{
		"over the threshold":          {[]int64{50, 101}, "repeated_errors warn"},
		"just at it":                  {[]int64{50, 100}, ""},
		"spread over more than that":  {[]int64{60, 60, 60, 60, 60, 60, 60, 120}, ""},
		"told once":                   {[]int64{101, 202, 303}, "repeated_errors warn"},
		"an instance is not heard of": {[]int64{90, 10, 20}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, "window: 1m")
			for i, n := range c.counts {
				w.look(fast(at(10*float64(i)), nil, errors(n)))
			}
			w.expect(t, c.want)
		})
	}
	w := newWatch(t, "")
	w.look(fast(at(0), nil, map[string]Attempts{"timeout": {60, ""}, "rejected": {60, ""}}))
	w.expect(t, "") // they are not the same error
}

func TestStall(t *testing.T) {
	busy := []Stage{{Name: "fs-fast", Lag: 3, Alive: 2, Waiting: "HTTP 503"}, {Name: "writer", Alive: 1}}
	type look struct {
		at      float64
		settled int64
		stages  []Stage
	}
	for name, c := range map[string]struct {
		looks []look
		want  string
	}{
		"nothing is committed":         {[]look{{0, 7, busy}, {5, 7, busy}, {10, 7, busy}, {12, 7, busy}, {15, 7, busy}}, "stall stop"},
		"not for long enough":          {[]look{{0, 7, busy}, {5, 7, busy}, {9.9, 7, busy}}, ""},
		"something is now and then":    {[]look{{0, 7, busy}, {5, 7, busy}, {9.9, 8, busy}, {14, 8, busy}, {18, 8, busy}, {19.8, 9, busy}}, ""},
		"there is nothing to do":       {[]look{{0, 7, nil}, {5, 7, nil}, {10, 7, nil}, {15, 7, nil}}, ""},
		"there was nothing for a time": {[]look{{0, 7, busy}, {5, 7, busy}, {9, 7, nil}, {10, 7, busy}, {14, 7, busy}, {18, 7, busy}}, ""},
		"nobody looked":                {[]look{{0, 7, busy}, {3600, 7, busy}, {3604, 7, busy}}, ""},
		"again after it went on":       {[]look{{0, 7, busy}, {5, 7, busy}, {10, 7, busy}, {11, 8, busy}, {15, 8, busy}, {20, 8, busy}, {21, 8, busy}}, "stall stop, stall stop"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, "stall: {after: 10s}, silent_instance: {do: ignore}")
			for _, l := range c.looks {
				w.look(Observation{Now: at(l.at), Settled: l.settled, Stages: l.stages})
			}
			w.expect(t, c.want)
			if c.want != "" && !strings.Contains(w.found[0].Cause, "3 at fs-fast, which waits: HTTP 503") {
				t.Error(w.found[0])
			}
		})
	}
}

func TestSilence(t *testing.T) {
	quiet := func(d time.Duration) []Instance { return []Instance{{Service: "writer", ID: "w1", Silent: d, Held: 4}} }
	for name, c := range map[string]struct {
		instances [][]Instance // every 4 seconds
		stages    []Stage
		want      string
	}{
		"an instance fell silent":     {[][]Instance{quiet(0), quiet(4 * time.Second), quiet(10 * time.Second)}, nil, "silent_instance warn"},
		"not for long enough":         {[][]Instance{quiet(9900 * time.Millisecond)}, nil, ""},
		"told once":                   {[][]Instance{quiet(10 * time.Second), quiet(14 * time.Second)}, nil, "silent_instance warn"},
		"again after it was heard of": {[][]Instance{quiet(10 * time.Second), quiet(0), quiet(10 * time.Second)}, nil, "silent_instance warn, silent_instance warn"},
		"nobody is there to work":     {[][]Instance{nil, nil, nil, nil}, []Stage{{Name: "writer", Lag: 1}}, "silent_instance warn"},
		"nobody, for a short time":    {[][]Instance{nil, nil, nil}, []Stage{{Name: "writer", Lag: 1}}, ""},
		"nobody, and nothing to do":   {[][]Instance{nil, nil, nil, nil}, []Stage{{Name: "writer"}}, ""},
		"somebody is":                 {[][]Instance{nil, nil, nil, nil}, []Stage{{Name: "writer", Lag: 1, Alive: 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, "silent_instance: {after: 10s}")
			for i, all := range c.instances {
				w.look(Observation{Now: at(4 * float64(i)), Instances: all, Stages: c.stages})
			}
			w.expect(t, c.want)
		})
	}
}

// The run file decides what is done about a rule; when nothing is left to do only bad data
// stops the run.
func TestWhatIsDone(t *testing.T) {
	failing := map[string]Cells{"credit": {0, 2000}}
	for policy, want := range map[string]string{
		"":                            "failed_ratio stop",
		"failed_ratio: {do: warn}":    "failed_ratio warn",
		"failed_ratio: {do: ignore}":  "",
		"failed_ratio: {over: 1}":     "",
		"failed_ratio: {over: 0.999}": "failed_ratio stop",
	} {
		w := newWatch(t, policy)
		w.look(fast(at(0), failing, nil))
		w.expect(t, want)
	}
	w := newWatch(t, "")
	o := fast(at(0), failing, nil)
	o.Last, o.Drifted, o.Settled = true, 1, 2000
	w.look(o)
	w.expect(t, "failed_ratio warn, data.type_drift stop")
}
