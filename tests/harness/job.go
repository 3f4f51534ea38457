package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Job is a job that a test runs: a run file, records, and the settings of the stand-ins
// that it runs on. A test may change it between two runs.
type Job struct {
	Run      string
	Families []string // entries of the run file, each as YAML
	Layout   string
	Backend  string // URL of the feature service; --sandbox puts its own in the place of it
	Lanes    string // settings of both lanes of the feature service
	More     string // further lines of the run file
	Out      string // output directory
	S3       *S3    // where the dataset goes instead; nil = it stays in Out
	Copied   bool   // with S3: the finished dataset is to be copied to Out
	Records  []Record
	Sandbox  sandbox.Config
	Env      Env // further settings of the programs

	dir string
}

// Record is a record of the input.
type Record struct {
	UserID   string
	EpochMS  int64
	Families []string // nil = all of the run's
	Country  string   // an attribute, "" = none
}

// FamilyList is the usual mix: every way that a cell can take, several families wide.
var FamilyList = []string{
	"{id: credit}", "{id: income}", "{id: loans}", "{id: calls}", "{id: device}",
	"{id: bureau, lane: slow}", "{id: graph, lane: slow}",
	"{id: session, cached: false}", "{id: risk, cached: false}",
	"{id: statement, lane: slow, cached: false}",
	"{id: 'geo/€', features: {lat: double, visits: int64, home: bool, city: string, source: string}}",
	"{id: travel, lane: slow, features: {trips: int64}}",
}

// NewJob gives a job of so many samples of every family of FamilyList.
func NewJob(t testing.TB, samples int) *Job {
	t.Helper()
	j := &Job{
		Run: "job", Families: slices.Clone(FamilyList), Layout: "attributes",
		Backend: "http://127.0.0.1:9/features", Out: t.TempDir(), dir: t.TempDir(),
		Records: Samples(samples),
	}
	if err := settings.Defaults(&j.Sandbox); err != nil {
		t.Fatal(err)
	}
	j.Sandbox.FeaturesPerFamily, j.Sandbox.HitRatio = 8, 0.7
	j.Sandbox.SlowMin, j.Sandbox.SlowMax = time.Millisecond, 5*time.Millisecond
	return j
}

// Samples gives records of so many different samples: several points in time of a user,
// users that look like numbers, times to the second and to the millisecond.
func Samples(n int) []Record {
	start := time.Date(2025, 1, 31, 22, 0, 0, 0, time.UTC)
	all := make([]Record, n)
	for i := range all {
		user := fmt.Sprintf("u-%05d", i*2/3)
		if i%5 == 0 {
			user = strconv.Itoa(1_000_000 + i)
		}
		all[i] = Record{UserID: user, EpochMS: start.Add(time.Duration(i) * 97 * time.Minute).UnixMilli()}
		if i%3 == 0 {
			all[i].EpochMS += int64(i % 1000)
		}
	}
	return all
}

// Dataset is the directory of the job's dataset; with S3 that of the copy that Fetch makes.
func (j *Job) Dataset() string {
	if j.S3 != nil {
		return filepath.Join(j.dir, "copy", j.Run)
	}
	return filepath.Join(j.Out, j.Run)
}

// Fetch copies a dataset that is in S3 anew, to where it is looked at.
func (j *Job) Fetch(t testing.TB) {
	t.Helper()
	if j.S3 == nil {
		return
	}
	if err := os.RemoveAll(j.Dataset()); err != nil {
		t.Fatal(err)
	}
	if err := j.S3.Download(t.Context(), j.S3.Prefix(j), j.Dataset()); err != nil {
		t.Fatal(err)
	}
}

// visible gives the paths of the files under features/ as they are now.
func (j *Job) visible() ([]string, error) {
	if j.S3 == nil {
		return Visible(j.Dataset())
	}
	keys, err := j.S3.Keys(context.Background(), j.S3.Prefix(j)+"features/")
	var all []string
	for key := range keys {
		all = append(all, "features/"+key)
	}
	return all, err
}

// files gives the files of the dataset whose paths match the pattern.
func (j *Job) files(pattern string) []string {
	if j.S3 == nil {
		names, _ := filepath.Glob(filepath.Join(j.Dataset(), pattern)) // the pattern is a good one
		return names
	}
	keys, err := j.S3.Keys(context.Background(), j.S3.Prefix(j))
	if err != nil {
		return nil // the server may be away
	}
	pattern = strings.Replace(pattern, "_staging/", "_uploads/", 1) // where the records of what is staged are
	maps.DeleteFunc(keys, func(key string, _ int64) bool {
		match, _ := path.Match(pattern, key)
		return !match
	})
	return slices.Collect(maps.Keys(keys))
}

// Store is the directory of the broker's store unless a test names another.
func (j *Job) Store() string { return filepath.Join(j.Out, ".fff", j.Run) }

// YAML gives the run file.
func (j *Job) YAML() string {
	return fmt.Sprintf(`run: %s
families:
  - %s
dynamodb:
  table: features
  partition_key: {name: user_id, value: "{user_id}"}
  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}
  layout: %s
feature_service: {url: %q, fast: {%s}, slow: {%s}}
output: {dir: %q%s}
%s
`, j.Run, strings.Join(j.Families, "\n  - "), j.Layout, j.Backend, j.Lanes, j.Lanes, j.Out, j.s3(), j.More)
}

func (j *Job) s3() string {
	if j.S3 == nil {
		return ""
	}
	return fmt.Sprintf(", s3: {bucket: %s, prefix: %s, local_copy: %t}", j.S3.Bucket, s3Prefix, j.Copied)
}

// File gives the run file as the programs read it.
func (j *Job) File(t testing.TB) *runfile.File {
	t.Helper()
	f, err := runfile.Parse("run.yaml", []byte(j.YAML()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// RunFile writes the run file and gives its path.
func (j *Job) RunFile(t testing.TB) string {
	t.Helper()
	return j.write(t, "run.yaml", []byte(j.YAML()))
}

// JSONL writes the records as JSON lines and gives the path of the file.
func (j *Job) JSONL(t testing.TB) string {
	t.Helper()
	return j.write(t, "records.jsonl", Lines(j.Records))
}

func (j *Job) write(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(j.dir, name)
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Args are the arguments of fff that run the job.
func (j *Job) Args(t testing.TB, more ...string) []string {
	t.Helper()
	return append([]string{"run", "-f", j.RunFile(t), "--records", j.JSONL(t)}, more...)
}

// Settings are the variables of the job's programs: the job's own and the stand-ins'.
func (j *Job) Settings() Env {
	c := &j.Sandbox
	env := Env{
		"FFF_SANDBOX_FEATURES_PER_FAMILY":  strconv.Itoa(c.FeaturesPerFamily),
		"FFF_SANDBOX_HIT_RATIO":            strconv.FormatFloat(c.HitRatio, 'g', -1, 64),
		"FFF_SANDBOX_DYNAMODB_LATENCY":     c.DynamoDBLatency.String(),
		"FFF_SANDBOX_READ_UNITS":           strconv.FormatInt(c.ReadUnits, 10),
		"FFF_SANDBOX_TABLE_UPDATE_TIME":    c.TableUpdateTime.String(),
		"FFF_SANDBOX_DATABASE_UPDATE_TIME": c.DatabaseUpdateTime.String(),
		"FFF_SANDBOX_THREADS":              strconv.Itoa(c.Threads),
		"FFF_SANDBOX_FAST_MIN":             c.FastMin.String(),
		"FFF_SANDBOX_FAST_MAX":             c.FastMax.String(),
		"FFF_SANDBOX_SLOW_MIN":             c.SlowMin.String(),
		"FFF_SANDBOX_SLOW_MAX":             c.SlowMax.String(),
	}
	if j.S3 != nil {
		maps.Copy(env, j.S3.Env())
	}
	maps.Copy(env, j.Env)
	return env
}

// Start starts the job.
func (j *Job) Start(t testing.TB, more ...string) *Process {
	t.Helper()
	return Start(t, j.Settings(), j.Args(t, more...)...)
}

// Verify has fff prove the dataset and expects the exit code.
func (j *Job) Verify(t testing.TB, code int) {
	t.Helper()
	j.Fetch(t)
	Run(t, j.Settings(), "verify", j.Dataset(), "--records", j.JSONL(t)).Expect(t, code)
}

// Line gives a record as a line of JSON without its end. A user that is a number goes as
// one, and every other time as epoch milliseconds.
func (r Record) Line() []byte {
	fields := map[string]any{"user_id": r.UserID, "pitc_timestamp": FormatTime(r.EpochMS)}
	if id, err := strconv.ParseInt(r.UserID, 10, 64); err == nil && strconv.FormatInt(id, 10) == r.UserID {
		fields["user_id"] = id
	}
	if r.EpochMS%2 == 1 {
		fields["pitc_timestamp"] = r.EpochMS
	}
	if r.Families != nil {
		fields["feature_families"] = r.Families
	}
	if r.Country != "" {
		fields["attributes"] = map[string]string{"country": r.Country}
	}
	line, err := json.Marshal(fields)
	if err != nil { // strings and integers always encode
		panic(err)
	}
	return line
}

// FormatTime writes a time as RFC 3339 in UTC, with milliseconds where they are not zero.
func FormatTime(epochMS int64) string {
	return time.UnixMilli(epochMS).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// Lines gives records as JSON lines.
func Lines(records []Record) []byte {
	var b []byte
	for _, r := range records {
		b = append(append(b, r.Line()...), '\n')
	}
	return b
}

// Batch gives records as a batch in JSON.
func Batch(records []Record) string {
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = string(r.Line())
	}
	return `{"records":[` + strings.Join(lines, ",") + `]}`
}

// Cells gives the cells that records ask for, each once.
func Cells(records []Record, families []string) map[Cell]bool {
	all := map[Cell]bool{}
	for _, r := range records {
		wanted := families
		if r.Families != nil {
			wanted = r.Families
		}
		for _, f := range wanted {
			all[Cell{Family: f, UserID: r.UserID, EpochMS: r.EpochMS}] = true
		}
	}
	return all
}
