package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

const job = `
run: demo
families:
  - {id: credit}
  - {id: geo, table: places, features: {lat: double, visits: int64}}
  - {id: sms, lane: slow, cached: false}
dynamodb: {table: features, partition_key: {name: user_id, value: "{user_id}"}, sort_key: {name: feature_key, value: "{family}#{pitc_date}"}, ttl: expires}
feature_service: {url: "http://127.0.0.1:8090/features"}
`

func parseJob(t *testing.T) *runfile.File {
	t.Helper()
	f, err := runfile.Parse("run.yaml", []byte(job))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// config gives the default settings on free ports, with short latencies.
func config(t *testing.T) sandbox.Config {
	t.Helper()
	var cfg sandbox.Config
	if err := settings.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.DynamoDBAddr, cfg.FeatureServiceAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.SlowMin, cfg.SlowMax = 0, 0
	cfg.HitRatio, cfg.ExpiredRatio, cfg.FeaturesPerFamily = 0.6, 0.3, 10
	return cfg
}

func start(t *testing.T, cfg sandbox.Config) (*sandbox.Sandbox, sandbox.Endpoints) {
	t.Helper()
	s, err := sandbox.New(cfg, parseJob(t))
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, at
}

// post sends a request and gives the status and the body.
func post(t *testing.T, url, target, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", target)
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	data, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, data
}

// batchGet asks a table for a family of one user.
func batchGet(t *testing.T, url, table, family, user, date string) (item map[string]map[string]any, found bool) {
	t.Helper()
	body := fmt.Sprintf(`{"RequestItems":{%q:{"Keys":[{"user_id":{"S":%q},"feature_key":{"S":"%s#%s"}}]}}}`, table, user, family, date)
	status, data := post(t, url, "DynamoDB_20120810.BatchGetItem", body)
	var out struct {
		Responses map[string][]map[string]map[string]any
	}
	if err := json.Unmarshal(data, &out); err != nil || status != 200 {
		t.Fatalf("%d %s", status, data)
	}
	if len(out.Responses[table]) == 0 {
		return nil, false
	}
	return out.Responses[table][0], true
}

// What the stand-ins answer is what the truth says.
func TestTruth(t *testing.T) {
	cfg := config(t)
	_, at := start(t, cfg)
	truth, err := sandbox.NewTruth(cfg, parseJob(t))
	if err != nil {
		t.Fatal(err)
	}
	ms := time.Date(2025, 1, 31, 12, 0, 0, 5e6, time.UTC).UnixMilli()
	cached := map[bool]int{}
	for u := range 40 {
		user := fmt.Sprint("user", u)
		for family, table := range map[string]string{"credit": "features", "geo": "places"} {
			item, found := batchGet(t, at.DynamoDB, table, family, user, "2025-01-31")
			live := found && item["expires"]["N"] == "4102444800"
			if truth.Cached(user, ms, family) != live {
				t.Fatalf("%s of %s: item %v", family, user, item)
			}
			cached[live]++
			if live {
				checkItem(t, item, truth, user, ms, family)
			}
		}
		status, data := post(t, at.FeatureService, "", fmt.Sprintf(`{"user_id":%q,"pitc_timestamp":"2025-01-31T12:00:00.005Z","feature_families":["sms","credit"]}`, user))
		var out struct{ Features map[string]map[string]any }
		if err := json.Unmarshal(data, &out); err != nil || status != 200 {
			t.Fatalf("%d %s", status, data)
		}
		n := 0
		for name, v := range truth.Values(user, ms, "sms") {
			if n++; v.Kind == values.String && out.Features["sms"][name] != v.Text {
				t.Fatalf("sms.%s of %s is %v, want %v", name, user, out.Features["sms"][name], v)
			}
		}
		if truth.Cached(user, ms, "sms") || n != cfg.FeaturesPerFamily || len(out.Features["credit"]) != n {
			t.Fatalf("%d features, %s", n, data)
		}
	}
	if cached[true] < 20 || cached[false] < 20 {
		t.Errorf("cached and not: %v", cached)
	}
	for range truth.Values("user", ms, "nothing") {
		t.Error("an unknown family has values")
	}
}

func checkItem(t *testing.T, item map[string]map[string]any, truth *sandbox.Truth, user string, ms int64, family string) {
	t.Helper()
	n := 0
	for name, v := range truth.Values(user, ms, family) {
		n++
		if v.Kind == values.Int64 && item[name]["N"] != v.String() || v.Kind == values.String && item[name]["S"] != v.Text {
			t.Fatalf("%s.%s of %s is %v, want %v", family, name, user, item[name], v)
		}
	}
	if len(item) != n+3 { // beside the keys and the time to live
		t.Errorf("item %v", item)
	}
}

func TestFaultsCanBeSetWhileItRuns(t *testing.T) {
	s, at := start(t, config(t))
	ask := func() int {
		status, _ := post(t, at.FeatureService, "", `{"user_id":"u","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["sms"]}`)
		return status
	}
	read := func() int {
		status, _ := post(t, at.DynamoDB, "DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"features":{"Keys":[{"user_id":{"S":"u"},"feature_key":{"S":"x"}}]}}}`)
		return status
	}
	if ask() != 200 || read() != 200 {
		t.Error("something goes wrong without a fault")
	}
	s.SetFaults(sandbox.Faults{
		BatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{Err: dynamodb.InternalServerError()} },
		Features: func(*featureservice.Request) featureservice.Fault { return featureservice.Fault{Status: 503} },
	})
	if ask() != 503 || read() != 500 {
		t.Error("nothing goes wrong with a fault")
	}
	s.SetFaults(sandbox.Faults{})
	if ask() != 200 || read() != 200 {
		t.Error("something goes wrong after the faults")
	}
	if s.DynamoDB.Stats().BatchGets != 3 || s.FeatureService.Stats().Requests != 3 {
		t.Error("the counters are not those of the stand-ins")
	}
}

func TestRunsCanBeAdded(t *testing.T) {
	cfg := config(t)
	cfg.HitRatio, cfg.ExpiredRatio = 1, 0
	s, err := sandbox.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(context.Background()) }()
	if err := s.AddRun(parseJob(t)); err != nil {
		t.Fatal(err)
	}
	if _, found := batchGet(t, at.DynamoDB, "features", "credit", "u", "2025-01-31"); !found {
		t.Error("the run that was added has no items")
	}
}

func TestAddressInUse(t *testing.T) {
	_, at := start(t, config(t))
	for _, taken := range []string{at.DynamoDB, strings.TrimSuffix(at.FeatureService, sandbox.FeaturesPath)} {
		cfg := config(t)
		cfg.FeatureServiceAddr = strings.TrimPrefix(taken, "http://")
		s, err := sandbox.New(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), cfg.FeatureServiceAddr) {
			t.Errorf("error %v does not name %s", err, cfg.FeatureServiceAddr)
		}
	}
}

func TestMainSaysWhereItListens(t *testing.T) {
	t.Setenv("FFF_SANDBOX_DYNAMODB_ADDR", "127.0.0.1:0")
	t.Setenv("FFF_SANDBOX_FEATURE_SERVICE_ADDR", "127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelling{cancel: cancel}
	if err := sandbox.Main(ctx, []string{path}, out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:", "feature_service.url: http://127.0.0.1:", "/features\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
}

// cancelling ends the sandbox once it says where it listens.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	defer c.cancel()
	return c.Buffer.Write(p)
}

func TestMainThatIsRefused(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("run: demo\nfamilie: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args     []string
		variable string
		value    string
		says     string
	}{
		"two run files":    {[]string{"a", "b"}, "", "", "one run file"},
		"no such file":     {[]string{"missing.yaml"}, "", "", "missing.yaml"},
		"bad run file":     {[]string{bad}, "", "", "bad.yaml:2"},
		"hit ratio of 2":   {nil, "FFF_SANDBOX_HIT_RATIO", "2", "FFF_SANDBOX_HIT_RATIO"},
		"slow is faster":   {nil, "FFF_SANDBOX_SLOW_MAX", "1ms", "FFF_SANDBOX_SLOW_MAX"},
		"fast is slower":   {nil, "FFF_SANDBOX_FAST_MIN", "1h", "FFF_SANDBOX_FAST_MAX"},
		"unknown overflow": {nil, "FFF_SANDBOX_OVERFLOW", "drop", "FFF_SANDBOX_OVERFLOW"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.variable != "" {
				t.Setenv(test.variable, test.value)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := sandbox.Main(ctx, test.args, io.Discard); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v does not say %q", err, test.says)
			}
		})
	}
}
