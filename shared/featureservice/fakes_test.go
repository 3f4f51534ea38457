package featureservice

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// slots are Slots without a limit that remember what was asked of them.
type slots struct {
	mu     sync.Mutex
	inUse  int
	wants  []shares.Want
	pauses []time.Time
}

func (s *slots) Acquire(ctx context.Context, w shares.Want) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse++
	s.wants = append(s.wants, w)
	return ctx.Err()
}

func (s *slots) Release(_ shares.Want, o shares.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse--
}

func (s *slots) PauseUntil(_ shares.Want, t time.Time) {
	if t.After(time.Now()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pauses = append(s.pauses, t)
	}
}

// outputs are Outputs that close a message with every call.
type outputs struct {
	mu       sync.Mutex
	messages [][]byte
	err      error // of every call
}

func (o *outputs) Cells(_ context.Context, src packed.Source, fn func(*packed.Builder) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	b := packed.NewBuilder()
	if err := fn(b); err != nil {
		return err
	}
	o.messages = append(o.messages, b.EncodeParts(src, work.TargetPackedBytes, work.MaxPublishBytes)...)
	return nil
}

func (o *outputs) Request(context.Context, stage.Name, work.Request) error {
	panic("the lanes send no requests")
}

// values gives what was delivered: family → feature → kind and text; null is "null".
func (o *outputs) values(t *testing.T, r work.Request) map[string]map[string]string {
	t.Helper()
	cells := make(map[string]map[string]string)
	for _, data := range o.messages {
		var m packed.Message
		if err := packed.Decode(data, &m); err != nil {
			t.Fatal(err)
		}
		if len(m.Samples) != 1 || string(m.Samples[0].UserID) != r.UserID || m.Samples[0].EpochMS != r.EpochMS {
			t.Fatalf("samples %v", m.Samples)
		}
		if m.Source != packed.FeatureService {
			t.Fatalf("source %v", m.Source)
		}
		for _, block := range m.Blocks {
			if cells[block.Family] != nil || len(block.SampleOf) != 1 {
				t.Fatalf("family %s was delivered more than once", block.Family)
			}
			row := make(map[string]string)
			for _, c := range block.Columns {
				row[c.Name] = "null"
				if !c.IsNull(0) {
					row[c.Name] = c.Kind.String() + " " + string(c.Text(nil, 0))
				}
			}
			cells[block.Family] = row
		}
	}
	return cells
}

// serve starts a feature service and gives the run that uses it.
func serve(t *testing.T, handler http.HandlerFunc) *stage.Run {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return runOn(server.URL + "/features")
}

func runOn(url string) *stage.Run {
	limits := runfile.LaneLimits{MaxInFlight: 100, Timeout: time.Minute, MaxFamilies: 20, MaxAttempts: 5}
	return &stage.Run{ID: "demo", Epoch: 1, File: &runfile.File{
		Run:            "demo",
		FeatureService: &runfile.FeatureService{URL: url, Fast: limits, Slow: limits},
	}}
}

// answers is a handler that always gives the same answer.
func answers(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// newLane gives a fast lane.
func newLane(t *testing.T, s Slots) *Lane {
	client := NewClient()
	t.Cleanup(client.Close)
	return NewLane(client, s, runfile.LaneFast,
		func(f *runfile.FeatureService) runfile.LaneLimits { return f.Fast }, nil)
}

func request(families ...string) work.Request {
	return work.Request{UserID: "u1", EpochMS: 1738324800000, Families: families}
}

// verdict is a stage's verdict as tests compare it.
type verdict struct {
	families []string
	code     failure.Code
	action   failure.Action
	reason   string
}

func (v verdict) String() string {
	return fmt.Sprintf("%q %s action %d %q", v.families, v.code, v.action, v.reason)
}

func plain(verdicts []stage.Verdict[work.Request]) []verdict {
	var all []verdict
	for _, v := range verdicts {
		f := failure.As(v.Err)
		all = append(all, verdict{v.Rest.Families, f.Code, f.Action, f.Error()})
	}
	return all
}

func sameVerdicts(a, b []verdict) bool {
	return slices.EqualFunc(a, b, func(a, b verdict) bool { return a.String() == b.String() })
}

// decoded is a request as the service sees it.
type decoded struct {
	UserID     string          `json:"user_id"`
	Time       string          `json:"pitc_timestamp"`
	Families   []string        `json:"feature_families"`
	Attributes json.RawMessage `json:"attributes"`
}
