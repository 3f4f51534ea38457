package runfile

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const minimal = `run: demo
families:
  - id: credit
  - id: sms
    lane: slow
dynamodb:
  table: features
  partition_key: {name: user_id, value: "{user_id}"}
  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}
feature_service:
  url: "http://127.0.0.1:8090/features"
`

func mustParse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("run.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustTemplate(t *testing.T, s string) *Template {
	t.Helper()
	tpl, err := ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// settings leaves what only the package knows out of a comparison.
func settings(f *File) File {
	c := *f
	c.name, c.source, c.hash, c.places = "", nil, "", nil
	return c
}

func TestEverySetting(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := File{
		Run: "demo",
		Families: []Family{
			{ID: "credit", Lane: LaneFast, Cached: true},
			{ID: "sms", Lane: LaneSlow},
			{ID: "geo", Lane: LaneFast, Cached: true, Features: []Feature{{"lat", Double}, {"visits", Int64}}},
		},
		DynamoDB: &DynamoDB{
			Table:        "features",
			PartitionKey: KeyAttribute{Name: "user_id", Value: mustTemplate(t, "{user_id}"), Type: "S"},
			SortKey:      &KeyAttribute{Name: "feature_key", Value: mustTemplate(t, "{family}#{pitc_timestamp}"), Type: "S"},
			Layout:       LayoutAttributes,
			MaxInFlight:  64,
		},
		FeatureService: &FeatureService{
			URL:  "http://127.0.0.1:8090/features",
			Fast: LaneLimits{MaxInFlight: 1000, Timeout: time.Minute, MaxFamilies: 20, MaxAttempts: 5},
			Slow: LaneLimits{MaxInFlight: 200, Timeout: 5 * time.Minute, MaxFamilies: 1, MaxAttempts: 5},
		},
		Output: Output{Dir: "./out", S3: &S3{Bucket: "b", Prefix: "p"}, FileBytes: 64_000_000},
		Records: Records{
			UserID: "customer_id", PITCTimestamp: "as_of", FeatureFamilies: "feature_families",
			Attributes: []string{"country"}, Timezone: "UTC",
		},
		Input: Input{Idle: 30 * time.Minute, MaxBytes: 4_000_000_000},
		WarmUp: &WarmUp{
			TargetDuration: 30 * time.Minute,
			MaxHold:        6 * time.Hour,
			DynamoDB:       &WarmUpDynamoDB{ExpectedHitRatio: 0.8, ItemBytes: 2048, MaxReadUnits: 10000},
			FeatureService: &WarmUpFeatureService{
				RequestsPerSecond: 50, MaxDuration: 2 * time.Minute,
				HPA: &HPA{Namespace: "ml", Name: "feature-service", MinReplicas: 36},
			},
			RDS: []WarmUpRDS{{Instance: "events-db", Class: "db.r6g.4xlarge"}, {Cluster: "events-aurora", MinACU: 16}},
		},
		FailurePolicy: FailurePolicy{
			Window: 5 * time.Minute, StallAfter: 10 * time.Minute, StallDo: Stop,
			SilentAfter: 30 * time.Second, SilentDo: Warn,
			FailedRatio: Threshold{0.01, Stop}, RepeatedErrors: Threshold{100, Warn},
			NullRatio: Threshold{0.5, Warn}, NotFinite: Threshold{0, Warn}, Constant: Warn, MissingFeature: Warn, NewFeature: Warn, TypeDrift: Stop,
		},
		Budget: Budget{MaxDuration: 12 * time.Hour, MaxReadUnits: 100_000_000, MaxCostUSD: 50, USDPerMillionReadUnits: 0.125},
	}
	f := mustParse(t, string(data))
	if got := settings(f); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", show(got), show(want))
	}
	if string(f.Source()) != string(data) {
		t.Error("the source is not the file as it was given")
	}
	if f.FailurePolicy != mustParse(t, minimal).FailurePolicy {
		t.Error("the documented failure policy is not the default")
	}
}

func show(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestDefaults(t *testing.T) {
	f := mustParse(t, minimal)
	if f.Output.Dir != "./out" || f.Output.S3 != nil || f.WarmUp != nil || f.Budget != (Budget{USDPerMillionReadUnits: DefaultReadPrice}) {
		t.Errorf("output %+v, warm-up %v, budget %+v", f.Output, f.WarmUp, f.Budget)
	}
	if want := (Input{Idle: 30 * time.Minute, MaxBytes: 4_000_000_000}); f.Input != want {
		t.Errorf("input %+v, want %+v", f.Input, want)
	}
	if want := (LaneLimits{MaxInFlight: 100, Timeout: time.Minute, MaxFamilies: 20, MaxAttempts: 5}); f.FeatureService.Fast != want {
		t.Errorf("fast %+v, want %+v", f.FeatureService.Fast, want)
	}
	auto := mustParse(t, minimal+"  slow: {max_in_flight: auto}\n")
	if n := auto.FeatureService.Slow.MaxInFlight; n != 0 {
		t.Errorf("auto is %d, want 0", n)
	}
	if r := f.Records; r.UserID != "user_id" || r.PITCTimestamp != "pitc_timestamp" || r.FeatureFamilies != "feature_families" {
		t.Errorf("records %+v", r)
	}
	if f.Families[0].Lane != LaneFast || !f.Families[0].Cached {
		t.Errorf("family %+v", f.Families[0])
	}
}

func TestAccepted(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		ok         func(f *File) bool
	}{
		{"JSON with tabs and escapes", "{\n\t\"run\": \"d\\u0065mo\",\n\t\"families\": [{\"id\": \"a\", \"cached\": false}],\n\t\"feature_service\": {\"url\": \"https:\\/\\/h\\/f\"}\n}",
			func(f *File) bool { return f.Run == "demo" && f.FeatureService.URL == "https://h/f" }},
		{"BOM and CRLF", "\ufeff" + strings.ReplaceAll(minimal, "\n", "\r\n"),
			func(f *File) bool { return len(f.Families) == 2 }},
		{"no family cached, no dynamodb", "run: a\nfamilies: [{id: b, cached: false}]\nfeature_service: {url: http://h/f}\n",
			func(f *File) bool { return f.DynamoDB == nil }},
		{"a table for each family", "run: a\nfamilies: [{id: b, table: tab1}, {id: c, table: tab2}]\ndynamodb: {partition_key: {name: k, value: \"{user_id}\"}}\nfeature_service: {url: http://h/f}\n",
			func(f *File) bool { return f.TableOf(&f.Families[1]) == "tab2" && f.DynamoDB.SortKey == nil }},
		{"number keys", strings.Replace(minimal, `value: "{user_id}"`, `type: N, value: "1{user_id}"`, 1),
			func(f *File) bool { return f.DynamoDB.PartitionKey.Type == "N" }},
		{"sizes and large numbers", minimal + "input: {max_bytes: 512MiB}\nbudget: {max_read_units: 1e6}\n",
			func(f *File) bool { return f.Input.MaxBytes == 512<<20 && f.Budget.MaxReadUnits == 1_000_000 }},
		{"layout map", strings.Replace(minimal, "  table: features\n", "  table: features\n  layout: map:data\n  ttl: expires\n  exclude: [updated_at]\n", 1),
			func(f *File) bool { return f.DynamoDB.Layout == LayoutMap && f.DynamoDB.LayoutAttribute == "data" }},
		{"anchors", "run: a\nfamilies: [{id: b, features: &f {x: double}}, {id: c, features: *f}]\n" + strings.SplitN(minimal, "lane: slow\n", 2)[1],
			func(f *File) bool { return f.Families[1].Features[0] == Feature{"x", Double} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if f := mustParse(t, tc.text); !tc.ok(f) {
				t.Errorf("got %s", show(settings(f)))
			}
		})
	}
}

func TestHash(t *testing.T) {
	f := mustParse(t, minimal)
	same := `{"feature_service": {"url": "http://127.0.0.1:8090/features"}, # other order, other layout
  "dynamodb": {"sort_key": {"value": "{family}#{pitc_timestamp}", "name": "feature_key"},
    "partition_key": {"name": "user_id", "value": "{user_id}"}, "table": "features"},
  "families": [{"id": "credit"}, {"lane": "slow", "id": "sms"}], "run": "demo"}`
	if got := mustParse(t, same).Hash(); got != f.Hash() || len(got) != 64 {
		t.Errorf("the same settings hash to %s and %s", f.Hash(), got)
	}
	if mustParse(t, strings.Replace(minimal, "lane: slow", "lane: fast", 1)).Hash() == f.Hash() {
		t.Error("another lane has the same hash")
	}
	const pinned = "ad36d02f"
	if !strings.HasPrefix(f.Hash(), pinned) {
		t.Errorf("hash %s does not begin with %s; stored runs would look changed", f.Hash(), pinned)
	}
}

func TestOverride(t *testing.T) {
	f := mustParse(t, minimal)
	if same, err := f.Override(Overrides{}); err != nil || same != f {
		t.Errorf("no override gives %v, %v", same, err)
	}
	o, err := f.Override(Overrides{Run: "other", OutputDir: "/data", FeatureServiceURL: "http://localhost:1/f"})
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, string(o.Source()))
	if again.Run != "other" || again.Output.Dir != "/data" || again.FeatureService.URL != "http://localhost:1/f" {
		t.Errorf("source %s", o.Source())
	}
	again.Run, again.Output.Dir, again.FeatureService.URL = f.Run, f.Output.Dir, f.FeatureService.URL
	if !reflect.DeepEqual(settings(again), settings(f)) {
		t.Errorf("override changed more than it was asked to: %s", o.Source())
	}
	_, err = f.Override(Overrides{Run: "No Such"})
	wantError(t, err, 0, "run", "is no run id; use")
}

func wantError(t *testing.T, err error, line int, field string, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	if line > 0 && (e.Line != line || e.Column < 1) {
		t.Errorf("place %d:%d, want line %d: %v", e.Line, e.Column, line, err)
	}
	if e.Field != field {
		t.Errorf("field %q, want %q: %v", e.Field, field, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q is not in: %v", p, err)
		}
	}
	if !strings.HasPrefix(err.Error(), "run.yaml") {
		t.Errorf("no file in: %v", err)
	}
}

func TestExpand(t *testing.T) {
	text := strings.NewReplacer(
		`"http://127.0.0.1:8090/features"`, `"${FS_URL}"`,
		"table: features", "table: ${ENV_NAME}-features",
		"lane: slow", "lane: ${LANE}",
		`"{family}#{pitc_timestamp}"`, `"${PREFIX}{family}$$#{pitc_timestamp}"`,
	).Replace(minimal) + "  fast: {timeout: \"${TIMEOUT}\", max_in_flight: \"${N}\"}\n"
	env := map[string]string{
		"FS_URL": "https://user:secret@host/f", "ENV_NAME": "prod", "LANE": "auto", "PREFIX": "v1/", "TIMEOUT": "90s", "N": "7",
	}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }

	f := mustParse(t, text)
	if f.FeatureService.URL != "${FS_URL}" || f.DynamoDB.SortKey.Value.String() != "${PREFIX}{family}$$#{pitc_timestamp}" {
		t.Errorf("unexpanded: %s", show(settings(f)))
	}
	e, err := f.Expand(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if e.Hash() != f.Hash() || string(e.Source()) != text {
		t.Error("Expand changed hash or source")
	}
	if e.FeatureService.URL != env["FS_URL"] || e.DynamoDB.Table != "prod-features" || e.Families[1].Lane != LaneAuto ||
		e.FeatureService.Fast.Timeout != 90*time.Second || e.FeatureService.Fast.MaxInFlight != 7 {
		t.Errorf("expanded: %s", show(settings(e)))
	}
	if key := e.DynamoDB.SortKey.Value.Append(nil, "u", "sms", 0); string(key) != "v1/sms$#1970-01-01T00:00:00Z" {
		t.Errorf("key %s", key)
	}

	for _, tc := range []struct {
		name, value, field, msg string
		line                    int
	}{
		{"LANE", "fst", "families[1].lane", `"${LANE}", once expanded, is no lane; use fast, slow or auto`, 5},
		{"FS_URL", "ftp://user:secret@host", "feature_service.url", `"${FS_URL}", once expanded, is no URL`, 11},
		{"TIMEOUT", "90", "feature_service.fast.timeout", "is no duration; write a number with its unit", 12},
		{"N", "many", "feature_service.fast.max_in_flight", "is no whole number", 12},
		{"PREFIX", "{secret}", "dynamodb.sort_key.value", "expands to is no key template; use {user_id}", 9},
		{"ENV_NAME", "a b", "dynamodb.table", "is no DynamoDB table name", 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.Expand(func(name string) (string, bool) {
				if name == tc.name {
					return tc.value, true
				}
				return getenv(name)
			})
			wantError(t, err, tc.line, tc.field, tc.msg)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	_, err = f.Expand(func(string) (string, bool) { return "", false })
	wantError(t, err, 5, "families[1].lane", "the environment variable LANE is not set; set it")
}

func TestCheckResume(t *testing.T) {
	old := mustParse(t, minimal+"records: {user_id: u}\n")
	for _, tc := range []struct{ name, from, to string }{
		{"nothing", "", ""},
		{"a family more, at the front", "  - id: credit\n", "  - {id: geo, features: {lat: double}}\n  - id: credit\n"},
		{"another order", "  - id: credit\n  - id: sms\n    lane: slow\n", "  - id: sms\n  - id: credit\n"},
		{"lane and cached", "lane: slow", "cached: false"},
		{"limits", "  url:", "  fast: {max_in_flight: 2, timeout: 1s, max_attempts: 9}\n  url:"},
		{"read consistency", "  table: features\n", "  table: features\n  consistent_read: true\n  max_in_flight: 3\n"},
		{"policy, budget, warm-up, output, input", "run: demo", "run: demo\nbudget: {max_cost_usd: 1}\nwarm_up: {dynamodb: {}}\noutput: {dir: other}\ninput: {idle: 1m}\nfailure_policy: {window: 1m}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := CheckResume(old, mustParse(t, strings.Replace(minimal, tc.from, tc.to, 1))); err != nil {
				t.Error(err)
			}
		})
	}
	withTypes := mustParse(t, strings.Replace(minimal, "id: credit", "{id: credit, features: {a: int64}}", 1))
	for _, tc := range []struct {
		name     string
		old      *File
		from, to string
		field    string
	}{
		{"run", old, "run: demo", "run: other", "run"},
		{"a family gone", old, "  - id: credit\n", "", "families"},
		{"table", old, "table: features", "table: features2", "dynamodb.table"},
		{"a family's table", old, "id: credit", "{id: credit, table: other}", "families[0].table"},
		{"key name", old, "name: user_id", "name: uid", "dynamodb.partition_key.name"},
		{"key template", old, "{family}#", "{family}/", "dynamodb.sort_key.value"},
		{"key type", old, "name: user_id", "type: N, name: user_id", "dynamodb.partition_key.type"},
		{"no sort key", old, `  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}`, "", "dynamodb.sort_key.name"},
		{"layout", old, "  table: features\n", "  table: features\n  layout: json:data\n", "dynamodb.layout"},
		{"exclude", old, "  table: features\n", "  table: features\n  exclude: [x]\n", "dynamodb.exclude"},
		{"types declared", old, "id: credit", "{id: credit, features: {a: double}}", "families[0].features"},
		{"type changed", withTypes, "id: credit", "{id: credit, features: {a: double}}", "families[0].features"},
		{"types gone", withTypes, "", "", "families[0].features"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(minimal, tc.from, tc.to, 1)
			if tc.name == "no sort key" {
				text = strings.Replace(text, `"{user_id}"`, `"{user_id}{family}"`, 1)
				same := strings.Replace(minimal, `"{user_id}"`, `"{user_id}{family}"`, 1)
				tc.old = mustParse(t, same)
			}
			wantError(t, CheckResume(tc.old, mustParse(t, text)), 0, tc.field, "use another run id")
		})
	}
	uncached := "run: demo\nfamilies: [{id: credit, cached: false}]\nfeature_service: {url: http://h/f}\n"
	if err := CheckResume(mustParse(t, uncached), old); err != nil {
		t.Errorf("dynamodb added with the families that need it: %v", err)
	}
	cached := strings.Replace(minimal, "  - id: sms\n    lane: slow\n", "", 1)
	wantError(t, CheckResume(mustParse(t, cached), mustParse(t, uncached)), 1, "dynamodb", "put it back", "use another run id")
}

func TestLookups(t *testing.T) {
	f := mustParse(t, minimal)
	if ids := strings.Join(f.FamilyIDs(), " "); ids != "credit sms" {
		t.Errorf("ids %s", ids)
	}
	if sms, ok := f.Family("sms"); !ok || sms.Lane != LaneSlow {
		t.Errorf("sms: %+v, %v", sms, ok)
	}
	if _, ok := f.Family("geo"); ok {
		t.Error("found a family that is not there")
	}
}
