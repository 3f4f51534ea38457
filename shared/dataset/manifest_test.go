package dataset

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

func exampleManifest() *Manifest {
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	cols := []Column{{Feature: "family", Name: "family_feature", Kind: packed.Int64}, col("lat double"), col("list json")}
	cells := ManifestCells{Requested: 10, Committed: 9, Failed: 1, BySource: map[string]int64{"dynamodb": 4, "feature_service": 5}, ByCode: map[string]int64{"timeout": 1}}
	return &Manifest{
		Run: "demo", State: "completed_with_failures", RunFile: "run: demo\nfamilies: [{id: a/b}] # <&>\n", RunFileHash: "abc",
		StartedAt: at, EndedAt: at.Add(time.Minute),
		Epochs:    []ManifestEpoch{{Epoch: 1, RunFileHash: "abc", OpenedAt: at, SealedAt: at.Add(30 * time.Second)}},
		Records:   ManifestRecords{Seen: 11, Failed: 1, Samples: 10},
		Cells:     cells,
		Families:  []ManifestFamily{{Family: "a/b", ManifestCells: cells, Columns: ManifestColumns(cols)}},
		Files:     []ManifestFile{{Family: "a/b", Name: "part-1-w1-1.parquet", Rows: 9, Bytes: 1234, Checksum: strings.Repeat("0f", 16)}},
		ReadUnits: map[string]int64{"features": 12},
		Versions:  map[string]string{"fff": "0.0.0", "go": "1.26.0"},
	}
}

func TestManifestGolden(t *testing.T) {
	data, err := EncodeManifest(exampleManifest())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "manifest.json", data)
}

func TestManifestRoundTrip(t *testing.T) {
	m := exampleManifest()
	data, err := EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeManifest(data)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v, want %+v", got, err, m)
	}
}

func TestManifestRefuses(t *testing.T) {
	good, err := EncodeManifest(exampleManifest())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, old, new, err string }{
		{"another version", `"version": 1`, `"version": 2`, "version 2"},
		{"no JSON", `{`, ``, "_manifest.json"},
		{"a file elsewhere", `"name": "part-1-w1-1.parquet"`, `"name": "../part-1.parquet"`, "files[0]"},
		{"a path elsewhere", `features/family=a%2Fb/part`, `features/family=b/part`, "files[0]: path"},
		{"a file of no family", "      \"family\": \"a/b\",\n      \"name\"", "      \"family\": \"c\",\n      \"name\"", `family "c" is not among`},
		{"an empty family", "\"family\": \"a/b\",\n      \"requested\"", "\"family\": \"\",\n      \"requested\"", "families[0]"},
		{"a count below zero", `"rows": 9`, `"rows": -9`, "below zero"},
		{"cells below zero", "\"family\": \"a/b\",\n      \"requested\": 10", "\"family\": \"a/b\",\n      \"requested\": -1", "below zero"},
	} {
		bad := strings.Replace(string(good), tc.old, tc.new, 1)
		if bad == string(good) {
			t.Fatalf("%s: nothing replaced", tc.name)
		}
		if _, err := DecodeManifest([]byte(bad)); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
	}
	twice := exampleManifest()
	twice.Files = append(twice.Files, twice.Files[0])
	if _, err := EncodeManifest(twice); err == nil || !strings.Contains(err.Error(), "listed twice") {
		t.Errorf("a file twice: %v", err)
	}
	twice = exampleManifest()
	twice.Families = append(twice.Families, twice.Families[0])
	if _, err := EncodeManifest(twice); err == nil || !strings.Contains(err.Error(), "listed twice") {
		t.Errorf("a family twice: %v", err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	data, err := EncodeManifest(exampleManifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeManifest(data)
		if err != nil {
			return
		}
		again, err := EncodeManifest(m)
		if err != nil {
			t.Skip(err) // a time beyond the year 9999
		}
		if _, err := DecodeManifest(again); err != nil {
			t.Errorf("decoded, but not after encoding: %v", err)
		}
	})
}

func TestFailureHasTheFieldsOfTheContract(t *testing.T) {
	line := AppendFailure(nil, &Failure{Kind: "cell", UserID: "u1", PITCTimestamp: "2025-01-31T12:00:00Z", Family: "a", Stage: "fs-fast", Code: "timeout", Reason: "no <answer>", Attempts: 5, At: "2025-01-31T13:00:00Z"})
	want := `{"kind":"cell","user_id":"u1","pitc_timestamp":"2025-01-31T12:00:00Z","family":"a","stage":"fs-fast","code":"timeout","reason":"no <answer>","attempts":5,"at":"2025-01-31T13:00:00Z"}` + "\n"
	if string(line) != want {
		t.Errorf("line %s, want %s", line, want)
	}
	// All fields are there, also when there is nothing to say.
	if got, want := string(AppendFailure([]byte("x\n"), &Failure{Kind: "batch", Code: "bad_batch"})), "x\n"+`{"kind":"batch","user_id":"","pitc_timestamp":"","family":"","stage":"","code":"bad_batch","reason":"","attempts":0,"at":""}`+"\n"; got != want {
		t.Errorf("lines %s, want %s", got, want)
	}
}

func TestFailures(t *testing.T) {
	cell := Failure{Kind: "cell", UserID: "u\n1", PITCTimestamp: "2025-01-31T12:00:00Z", Family: "a", Code: "timeout"}
	long := Failure{Kind: "record", Code: "bad_record", UserID: strings.Repeat("\x01", 9000), Reason: strings.Repeat("é", 1<<20)}
	lines := AppendFailure(AppendFailure(nil, &cell), &long)
	var got []Failure
	for f, err := range Failures(bytes.NewReader(append(lines, "\n \n"...))) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	if len(got) != 2 || got[0] != cell || len(got[1].Reason) > maxReasonBytes+3 || !utf8.ValidString(got[1].Reason) {
		t.Errorf("got %d failures: %.300v", len(got), got)
	}
	for _, bad := range []string{
		`hello`, `{"kind":"cell"`, `{"kind":"sample","code":"x"}`, `{"kind":"batch"}`, `{"kind":"cell","code":"x","user_id":"u","family":"f"}`,
		`{"kind":"record","code":"x","reason":"` + strings.Repeat("x", MaxFailureBytes) + `"}`,
	} {
		var last error
		for _, err := range Failures(strings.NewReader(string(AppendFailure(nil, &cell)) + bad + "\n")) {
			last = err
		}
		if last == nil || !strings.HasPrefix(last.Error(), "_failures.jsonl:2: ") {
			t.Errorf("%.60s gives %v", bad, last)
		}
	}
}

func FuzzParseFailure(f *testing.F) {
	f.Add(AppendFailure(nil, &Failure{Kind: "cell", UserID: "u", PITCTimestamp: "t", Family: "a", Code: "timeout", Attempts: 1}))
	f.Add([]byte(`{"kind":"batch","code":"bad_batch"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		one, err := ParseFailure(line)
		if err != nil {
			return
		}
		written := AppendFailure(nil, &one)
		if len(written) > MaxFailureBytes && len(one.Stage)+len(one.Code)+len(one.At) < 1000 {
			t.Errorf("a line of %d bytes", len(written))
		}
		if _, err := ParseFailure(written); err != nil {
			t.Errorf("%s: %v", written, err)
		}
	})
}

func TestOwner(t *testing.T) {
	o := &Owner{Broker: "id", Epoch: 3, Host: "h", PID: 42, Store: "/s", Beat: time.Date(2025, 1, 31, 12, 0, 0, 5, time.UTC)}
	data, err := EncodeOwner(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeOwner(data); err != nil || *got != *o {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"broker":1}`} {
		if _, err := DecodeOwner([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "_owner: ") {
			t.Errorf("%q gives %v", bad, err)
		}
	}
}

func FuzzDecodeOwner(f *testing.F) {
	f.Add([]byte(`{"broker":"b","epoch":1,"host":"h","pid":1,"store":"","beat":"2025-01-31T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := DecodeOwner(data); err == nil && o.Broker == "" {
			t.Error("an owner without a broker")
		}
	})
}

func TestSchemaYAMLGolden(t *testing.T) {
	golden(t, "schema.yaml", SchemaYAML("demo", []FamilySchema{
		{Family: "credit", Columns: []FinalColumn{{Feature: "Source", Name: "Source_feature", Kind: packed.Int64}, col("lat double"), col("list json"), col("ok bool"), col("never null")}},
		{Family: "a/b: #1", Columns: []FinalColumn{col("yes string"), {Feature: `say "hi"` + "\n", Kind: packed.Double}, {Feature: "1e3", Kind: packed.Double}, {Feature: "", Kind: packed.String}}},
		{Family: "empty"},
	}))
}

// What _schema.yaml says reads back as it was, whatever the names are.
func FuzzSchemaYAML(f *testing.F) {
	for _, s := range []string{"credit", "yes", "", "a: b", "#", "- x", "1e3", "0x1f", "~", "null", "'", `"`, "\\", "\t", "\u2028", "é", "\u0085", "<<", "*a", "&a", "!x", "%", "@", "`", "{", "2025-01-31"} {
		f.Add(s, "x")
		f.Add("x", s)
	}
	f.Fuzz(func(t *testing.T, family, name string) {
		if !utf8.ValidString(family) || !utf8.ValidString(name) || strings.ContainsRune(family+name, utf8.RuneError) {
			t.Skip("names are UTF-8")
		}
		data := SchemaYAML("demo", []FamilySchema{{Family: family, Columns: []FinalColumn{{Feature: name, Kind: packed.Bool}}}})
		var got struct {
			Families []struct {
				ID       string            `yaml:"id"`
				Features map[string]string `yaml:"features"`
			} `yaml:"families"`
		}
		if err := yaml.Unmarshal(data, &got); err != nil {
			t.Fatalf("%s\n%v", data, err)
		}
		if len(got.Families) != 1 || got.Families[0].ID != family || got.Families[0].Features[name] != "bool" || len(got.Families[0].Features) != 1 {
			t.Errorf("%s\nreads %+v", data, got)
		}
	})
}

func TestSchemaYAMLOfNothing(t *testing.T) {
	var got map[string][]string
	if err := yaml.Unmarshal(SchemaYAML("demo", nil), &got); err != nil || got["families"] == nil || len(got["families"]) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
