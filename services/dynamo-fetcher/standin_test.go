package dynamofetcher_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/awsdynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// standIn is a stand-in DynamoDB with the tables of a run, and the real client of it.
type standIn struct {
	server *dynamodb.Server
	synth  *dynamodb.Synth
	client *awsdynamodb.Client
}

func newStandIn(t testing.TB, f *runfile.File, cfg dynamodb.Config, hits dynamodb.SynthConfig) *standIn {
	t.Helper()
	s := &standIn{server: dynamodb.New(cfg)}
	if err := s.server.CreateTables(f, 0, hits); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.synth, err = dynamodb.NewSynth(f, f.DynamoDB.Table, hits); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.server)
	t.Cleanup(h.Close)
	s.client, err = awsdynamodb.New(t.Context(), awsdynamodb.Config{Endpoint: h.URL, DummyCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const standInRun = `
run: demo
families: [{id: a}, {id: b}, {id: c, lane: slow}, {id: d}, {id: e}]
dynamodb:
  table: features
  partition_key: {name: user_id, value: "{user_id}"}
  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}
  layout: LAYOUT
  exclude: [updated_at]
  ttl: expires_at
feature_service: {url: "http://127.0.0.1:1/"}
`

// every gives the fault to each third call.
func every(third dynamodb.Fault) func(dynamodb.Call) dynamodb.Fault {
	return func(c dynamodb.Call) dynamodb.Fault {
		if c.Number%3 == 1 {
			return third
		}
		return dynamodb.Fault{}
	}
}

func always(f dynamodb.Fault) func(dynamodb.Call) dynamodb.Fault {
	return func(dynamodb.Call) dynamodb.Fault { return f }
}

// Whatever goes wrong on the way, every cell is written with the right values if its
// item is there, and asked of the feature service if it is not: once.
func TestEveryCellOfAStandInIsAccountedFor(t *testing.T) {
	faults := []struct {
		name string
		cfg  dynamodb.Config
	}{
		{"nothing", dynamodb.Config{}},
		{"half the keys unprocessed", dynamodb.Config{BeforeBatchGet: always(dynamodb.Fault{Unprocessed: 0.5})}},
		{"throttled", dynamodb.Config{BeforeBatchGet: every(dynamodb.Fault{Err: dynamodb.Throttled("features")})}},
		{"more than one partition may give", dynamodb.Config{PartitionBytes: 2000}},
		{"more than one call may give", dynamodb.Config{CallBytes: 20_000}},
		{"internal errors", dynamodb.Config{BeforeBatchGet: every(dynamodb.Fault{Err: dynamodb.InternalServerError()})}},
		{"broken connections", dynamodb.Config{BeforeBatchGet: every(dynamodb.Fault{Truncate: true})}},
		{"damaged answers", dynamodb.Config{BeforeBatchGet: every(dynamodb.Fault{CorruptBody: true})}},
	}
	for _, layout := range []string{"attributes", "map:features", "json:features"} {
		for _, fault := range faults {
			t.Run(layout+", "+fault.name, func(t *testing.T) {
				t.Parallel() // most of the time goes by in pauses
				checkStandIn(t, strings.Replace(standInRun, "LAYOUT", layout, 1), fault.cfg)
			})
		}
	}
}

func checkStandIn(t *testing.T, file string, cfg dynamodb.Config) {
	t.Helper()
	var requests []work.Request
	for i := range 130 {
		requests = append(requests, work.Request{
			UserID: fmt.Sprint("user-", i%120), EpochMS: 1_700_000_000_000 + int64(i)*1000, Families: []string{"a", "b", "c", "d", "e"},
		})
	}
	m, b := newMessage(t, file, requests...)
	s := newStandIn(t, m.Run.File, cfg, dynamodb.SynthConfig{HitRatio: 0.7, ExpiredRatio: 0.2, FeaturesPerFamily: 15})
	out := newOutputs(t)
	var units float64
	st := dynamofetcher.NewStage(s.client, dynamofetcher.StageConfig{MaxInFlight: 1, Consumed: func(_ *stage.Run, _ string, n float64) { units += n }})
	settleAll(t, st, m, b, out)
	for _, r := range requests {
		for _, family := range r.Families {
			cell := fmt.Sprintf("%s@%d/%s", r.UserID, r.EpochMS, family)
			hit := s.synth.Hit(r.UserID, family, r.EpochMS)
			if want := map[bool][2]int{true: {1, 0}, false: {0, 1}}[hit]; out.hits[cell] != want[0] || out.missed[cell] != want[1] {
				t.Errorf("cell %s, with an item %t: %d hits, %d misses", cell, hit, out.hits[cell], out.missed[cell])
			}
			if hit {
				checkValues(t, s.synth, r, family, out.values)
			}
		}
	}
	for at := range out.values { // checkValues takes out what it expects
		t.Errorf("%s is no feature", at)
	}
	if units == 0 {
		t.Error("no read units are reported")
	}
}

// settleAll tries what is not done again, as the runner does.
func settleAll(t *testing.T, s *dynamofetcher.Stage, m *stage.Message, b *work.Block, out *outputs) {
	t.Helper()
	todo := []*work.Block{b}
	for attempt := 0; len(todo) > 0; attempt++ {
		if attempt == 100 {
			t.Fatal("it does not come to an end")
		}
		b := todo[0]
		todo = todo[1:]
		for _, v := range s.Do(t.Context(), m, b, out) {
			if e := failure.As(v.Err); e.Action == failure.GiveUp {
				t.Fatalf("cells fail for good: %v", e)
			}
			todo = append(todo, v.Rest)
		}
	}
}

func checkValues(t *testing.T, synth *dynamodb.Synth, r work.Request, family string, got map[string]string) {
	t.Helper()
	f, row, _ := synth.Row(r.UserID, family, r.EpochMS)
	for name, v := range f.All(row) {
		at := fmt.Sprintf("%s@%d/%s/%s", r.UserID, r.EpochMS, family, name)
		_, text, _ := strings.Cut(got[at], " ")
		want := v.String()
		if v.Kind == values.Double {
			want = string(packed.AppendDouble(nil, v.Double))
		}
		if v.Kind != values.Null && text != want {
			t.Errorf("%s is %q, want %q", at, text, want)
		} else if v.Kind == values.Null && got[at] != "" {
			t.Errorf("%s is %q, want null", at, text)
		}
		delete(got, at)
	}
}

func TestATableThatIsNotThere(t *testing.T) {
	m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a"}})
	h := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	defer h.Close()
	client, err := awsdynamodb.New(t.Context(), awsdynamodb.Config{Endpoint: h.URL, DummyCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := do(t, client, m, b, newOutputs(t))
	if len(verdicts) != 1 {
		t.Fatalf("verdicts are %v", verdicts)
	}
	e := failure.As(verdicts[0].Err)
	if e.Action != failure.GiveUp || !strings.HasPrefix(e.Error(), `table "features": ResourceNotFoundException: `) {
		t.Errorf("verdict is %v", e)
	}
}

// BenchmarkBlockOfAStandIn looks a full block up; the time of the stand-in is in it.
func BenchmarkBlockOfAStandIn(b *testing.B) {
	var families, ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprintf("f%02d", i))
		families = append(families, "{id: "+ids[i]+"}")
	}
	file := strings.Replace(standInRun, "[{id: a}, {id: b}, {id: c, lane: slow}, {id: d}, {id: e}]", "["+strings.Join(families, ", ")+"]", 1)
	file = strings.Replace(strings.Replace(file, "LAYOUT", "attributes", 1), "  ttl: expires_at\n", "", 1)
	var requests []work.Request
	for i := range 100 {
		requests = append(requests, work.Request{UserID: fmt.Sprint("user-", i), EpochMS: 1_700_000_000_000, Families: ids})
	}
	m, block := newMessage(b, file, requests...)
	s := newStandIn(b, m.Run.File, dynamodb.Config{}, dynamodb.SynthConfig{HitRatio: 1, FeaturesPerFamily: 60})
	st := dynamofetcher.NewStage(s.client, dynamofetcher.StageConfig{})
	start := time.Now()
	for b.Loop() {
		if v := st.Do(b.Context(), m, block, discard{}); len(v) > 0 {
			b.Fatal(v[0].Err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N)/5000, "µs/family")
}
