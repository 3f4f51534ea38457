package fff

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/rds"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const planFile = `
run: planned
families:
  - {id: a}
  - {id: b}
  - {id: c, lane: slow}
  - {id: d, cached: false}
  - {id: e, lane: slow, cached: false}
dynamodb: {table: features, partition_key: {name: u, value: "{user_id}"}, sort_key: {name: f, value: "{family}#{pitc_timestamp}"}}
feature_service: {url: %q}
output: {dir: %q}
`

// account gives AWS's endpoints to the clients of this process, and credentials that
// nobody checks.
func account(t *testing.T, dynamo, rdsURL string) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": dynamo, "AWS_ENDPOINT_URL_RDS": rdsURL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

func planRecords(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"user_id":"u%d","pitc_timestamp":"2025-01-31T12:00:00Z"}`+"\n", i)
	}
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func planOf(t *testing.T, args ...string) Plan {
	t.Helper()
	r := run(t, append([]string{"plan", "--output", "json"}, args...)...)
	r.expect(t, exitOK, "", "")
	var p Plan
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPlanChangesNothing records every call that a plan makes: it only looks.
func TestPlanChangesNothing(t *testing.T) {
	tables, databases := dynamodb.New(dynamodb.Config{}), rds.New(rds.Config{})
	databases.AddInstance("events", "db.r6g.large", 100)
	databases.AddCluster("aurora", 0.5, 64)
	var mu sync.Mutex
	var calls []string
	recorded := func(h http.Handler) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			calls = append(calls, r.Header.Get("X-Amz-Target")+r.URL.Path)
			mu.Unlock()
			h.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	account(t, recorded(tables), recorded(databases))
	out := filepath.Join(t.TempDir(), "out")
	file := filepath.Join(t.TempDir(), "run.yaml")
	text := fmt.Sprintf(planFile, recorded(http.NotFoundHandler()), out) + `
warm_up:
  target_duration: 10s
  dynamodb: {expected_hit_ratio: 1, max_read_units: 500}
  rds: [{instance: events, class: db.r6g.4xlarge}, {cluster: aurora, min_acu: 16}, {instance: none, class: db.r6g.4xlarge}]
budget: {max_cost_usd: 1}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := runfile.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.CreateTables(parsed, 5, dynamodb.SynthConfig{HitRatio: 1, FeaturesPerFamily: 1}); err != nil {
		t.Fatal(err)
	}
	records := planRecords(t, 1000)
	p := planOf(t, "-f", file, "--records", records)
	for _, c := range calls {
		if c != "DynamoDB_20120810.DescribeTable/" && c != "/" {
			t.Errorf("it called %s", c)
		}
	}
	if n := len(calls); n == 0 || databases.Calls("DescribeDBInstances")+databases.Calls("DescribeDBClusters")+int(tables.Stats().Calls["DescribeTable"]) != n {
		t.Errorf("of %d calls some do more than describe: %v", n, calls)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("it made the output directory: %v", err)
	}
	if len(p.Changes) != 4 || p.Changes[2].Problem == "" || p.Changes[3].From["read_units"] != "5" || p.Changes[3].To["read_units"] != "150" {
		t.Errorf("changes %+v", p.Changes)
	}
	// 145 read units and 15.5 ACU for an hour.
	if want := 145*0.00013 + 15.5*0.12; p.CostUSD < want-1e-9 || p.CostUSD > want+1e-9 || len(p.BudgetProblem) != 1 {
		t.Errorf("it costs %v, want %v; over budget: %v", p.CostUSD, want, p.BudgetProblem)
	}
	r := run(t, "plan", "-f", file, "--records", records, "--price", "acu_hour=1")
	r.expect(t, exitOK, "read_units 5, write_units", "")
	for _, want := range []string{"an outage, paid twice", "NOT POSSIBLE", "15.50 USD  15.5 more capacity units", "OVER BUDGET"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the text lacks %q:\n%s", want, r.stdout)
		}
	}
	run(t, "plan", "-f", file, "--records", records, "--price", "gold=1").expect(t, exitUsage, "", "acu_hour")
}

// TestPlanCountsWhatARunCalls compares a plan with what the stand-ins count in a real run. The
// requests are equal always, and the calls to DynamoDB where the keys of a sample fill whole
// calls. Elsewhere the plan tells the fewest: blocks that go out before they are full, as on a
// busy machine, make more calls of the same keys.
func TestPlanCountsWhatARunCalls(t *testing.T) {
	var hundred strings.Builder
	for i := range 100 {
		lane := "fast"
		if i >= 97 {
			lane = "slow"
		}
		fmt.Fprintf(&hundred, "  - {id: f%d, lane: %s}\n", i, lane)
	}
	for name, c := range map[string]struct {
		families string // besides those of planFile that are not cached
		samples  int
		hits     float64
		exact    bool
	}{
		"whole calls, all hits":     {hundred.String(), 70, 1, true},
		"whole calls, all misses":   {hundred.String(), 70, 0, true},
		"calls of several samples":  {"  - {id: a}\n  - {id: b}\n  - {id: c, lane: slow}\n", 1050, 1, false},
		"the same, where none hits": {"  - {id: a}\n  - {id: b}\n  - {id: c, lane: slow}\n", 1050, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sandbox.New(sandbox.Config{
				DynamoDBAddr: "127.0.0.1:0", FeatureServiceAddr: "127.0.0.1:0", FeaturesPerFamily: 3, HitRatio: c.hits,
				Threads: 64, Queue: 1000, Overflow: "wait",
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			at, err := s.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop(t.Context())
			account(t, at.DynamoDB, at.DynamoDB)
			t.Setenv("FFF_HTTP_ADDR", "off")
			text := fmt.Sprintf(planFile, at.FeatureService, filepath.Join(t.TempDir(), "out"))
			text = strings.Replace(text, "  - {id: a}\n  - {id: b}\n  - {id: c, lane: slow}\n", c.families, 1)
			file := filepath.Join(t.TempDir(), "run.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			parsed, err := runfile.Parse(file, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.AddRun(parsed); err != nil {
				t.Fatal(err)
			}
			records := planRecords(t, c.samples)
			p := planOf(t, "-f", file, "--records", records, "--offline", "--assume-hit-ratio", fmt.Sprint(c.hits))
			planned := map[string]float64{}
			for _, stage := range p.Stages {
				planned[stage.Stage] = stage.Calls
			}
			run(t, "run", "-f", file, "--records", records, "--progress", "none").expect(t, exitOK, "", "")
			db, fs := s.DynamoDB.Stats(), s.FeatureService.Stats()
			if want := planned["fs-fast"] + planned["fs-slow"]; float64(fs.Requests) != want {
				t.Errorf("the feature service had %d requests in the run, %v in the plan", fs.Requests, want)
			}
			if got, want := float64(db.BatchGets), planned["dynamo-fetcher"]; got < want || c.exact && got != want {
				t.Errorf("DynamoDB had %v calls in the run, %v in the plan", got, want)
			}
			if p.Tables[0].Keys != db.Keys || p.Tables[0].ReadUnits != db.ReadUnits {
				t.Errorf("%d keys and %v read units in the run, %d and %v in the plan", db.Keys, db.ReadUnits, p.Tables[0].Keys, p.Tables[0].ReadUnits)
			}
		})
	}
}
