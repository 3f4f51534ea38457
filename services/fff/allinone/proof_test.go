package allinone_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// cell names a cell.
type cell struct {
	user   string
	ms     int64
	family string
}

// row is what a dataset holds of a cell.
type row struct {
	source string
	values map[string]string // text of each feature's value; a null is not there
}

// isExact proves that the dataset holds every cell that was asked for exactly once, from
// where the stand-ins have it and with their values, and that it says so of itself.
func (r *run) isExact() *dataset.Manifest {
	r.t.Helper()
	m, rows := r.checkedRows(dataset.Exact)
	truth, cached := r.truth(), int64(0)
	for _, record := range r.records {
		for _, family := range r.familiesOf(record.Families) {
			c := cell{record.UserID, record.EpochMS, family}
			got, ok := rows[c]
			if !ok {
				r.t.Fatalf("%v is not in the dataset", c)
			}
			want := row{source: "feature_service", values: map[string]string{}}
			if truth.Cached(c.user, c.ms, family) {
				want.source = "dynamodb"
			}
			for name, v := range truth.Values(c.user, c.ms, family) {
				if v.Kind == values.JSON {
					got.values[name] = canonical(got.values[name])
					want.values[name] = canonical(v.Text)
				} else if v.Kind != values.Null {
					want.values[name] = v.String()
				}
			}
			if got.source != want.source || !maps.Equal(got.values, want.values) {
				r.t.Fatalf("%v is %v, want %v", c, got, want)
			}
		}
	}
	for _, got := range rows {
		if got.source == "dynamodb" {
			cached++
		}
	}
	if n := int64(len(rows)); m.State != control.Completed || m.Cells.Requested != n || m.Cells.Committed != n || m.Cells.Failed != 0 ||
		m.Cells.BySource["dynamodb"] != cached || m.Cells.BySource["feature_service"] != n-cached {
		r.t.Errorf("the manifest says %s, %+v; %d cells are there, %d of them from DynamoDB", m.State, m.Cells, n, cached)
	}
	if len(r.failures()) != 0 || !r.has(dataset.SuccessName) {
		r.t.Errorf("_SUCCESS is there: %v; failures: %v", r.has(dataset.SuccessName), r.failures())
	}
	return m
}

// lacksOnly proves that the dataset holds what was asked for but for cells that it lists
// as failed, each with the code that want gives for a cell; "" = it has not failed.
func (r *run) lacksOnly(want func(cell) string) *dataset.Manifest {
	r.t.Helper()
	outcome := dataset.Exact
	failed := map[cell]string{}
	byCode := map[string]int64{}
	for _, record := range r.records {
		for _, family := range r.familiesOf(record.Families) {
			c := cell{record.UserID, record.EpochMS, family}
			if code := want(c); code != "" {
				outcome = dataset.FailuresOnly
				failed[c] = code
				byCode[code]++
			}
		}
	}
	m, rows := r.checkedRows(outcome)
	listed := map[cell]string{}
	for _, f := range r.failures() {
		if f.Kind != "cell" {
			continue
		}
		c := cell{f.UserID, r.msOf(f.UserID), f.Family}
		if _, twice := listed[c]; twice {
			r.t.Errorf("%v is listed twice", c)
		}
		listed[c] = f.Code
		if f.Reason == "" || f.Attempts < 1 || f.At == "" {
			r.t.Errorf("%v is listed as %+v", c, f)
		}
	}
	if !maps.Equal(listed, failed) {
		r.t.Errorf("listed as failed are %d cells, want %d: %s", len(listed), len(failed), firstDifference(listed, failed))
	}
	for c := range failed {
		if _, there := rows[c]; there {
			r.t.Errorf("%v has failed and is there", c)
		}
	}
	if m.Cells.Failed != int64(len(failed)) || !maps.Equal(m.Cells.ByCode, byCode) && len(byCode)+len(m.Cells.ByCode) > 0 || m.Cells.Committed != int64(len(rows)) {
		r.t.Errorf("the manifest says %+v; want %v failed, %d committed", m.Cells, byCode, len(rows))
	}
	if len(failed) > 0 && r.has(dataset.SuccessName) {
		r.t.Error("_SUCCESS is there though cells have failed")
	}
	return m
}

func firstDifference(got, want map[cell]string) string {
	for c := range want {
		if got[c] != want[c] {
			return fmt.Sprintf("%v is %q, want %q", c, got[c], want[c])
		}
	}
	for c := range got {
		if got[c] != want[c] {
			return fmt.Sprintf("%v is %q, want %q", c, got[c], want[c])
		}
	}
	return ""
}

// msOf gives the point in time of a user of whom one sample was asked for.
func (r *run) msOf(user string) int64 {
	for i := range r.records {
		if r.records[i].UserID == user {
			return r.records[i].EpochMS
		}
	}
	r.t.Fatalf("nobody asked for user %q", user)
	return 0
}

func (r *run) familiesOf(asked []string) []string {
	if asked == nil {
		return r.file.FamilyIDs()
	}
	return asked
}

func (r *run) wanted() iter.Seq2[dataset.Requested, error] {
	return func(yield func(dataset.Requested, error) bool) {
		for _, one := range r.records {
			if !yield(dataset.Requested{UserID: one.UserID, EpochMS: one.EpochMS, Families: one.Families}, nil) {
				return
			}
		}
	}
}

// checkedRows verifies the dataset and reads it.
func (r *run) checkedRows(want dataset.Outcome) (*dataset.Manifest, map[cell]row) {
	r.t.Helper()
	report, err := dataset.Verify(r.t.Context(), r.dir(), r.wanted(), dataset.VerifyOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	if report.Outcome != want || report.Extra != 0 {
		r.t.Fatalf("the dataset is %s, want %s: %+v", report.Outcome, want, report)
	}
	m, err := dataset.ReadManifest(r.dir())
	if err != nil {
		r.t.Fatal(err)
	}
	rows := map[cell]row{}
	for i := range m.Files {
		readFile(r.t, filepath.Join(r.dir(), m.Files[i].Path), m.Files[i].Family, rows)
	}
	return m, rows
}

// readFile adds the rows of a file.
func readFile(t *testing.T, path, family string, rows map[cell]row) {
	t.Helper()
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	info, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(src, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	columns := file.Schema().Columns()
	for _, group := range file.RowGroups() {
		reader := group.Rows()
		buffer := make([]parquet.Row, 16)
		for {
			n, err := reader.ReadRows(buffer)
			for _, one := range buffer[:n] {
				c := cell{family: family}
				got := row{values: map[string]string{}}
				for _, v := range one {
					switch name := columns[v.Column()][0]; {
					case v.IsNull():
					case name == dataset.ColumnUserID:
						c.user = string(v.ByteArray())
					case name == dataset.ColumnPITCTimestamp:
						c.ms = v.Int64() / 1000
					case name == dataset.ColumnSource:
						got.source = string(v.ByteArray())
					default:
						got.values[name] = textOf(v)
					}
				}
				if _, twice := rows[c]; twice {
					t.Errorf("%v is there twice", c)
				}
				rows[c] = got
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		_ = reader.Close()
	}
}

// textOf gives a value as package values writes it.
func textOf(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Double:
		return values.V{Kind: values.Double, Double: v.Double()}.String()
	case parquet.Int64:
		return values.V{Kind: values.Int64, Int64: v.Int64()}.String()
	case parquet.Boolean:
		return values.V{Kind: values.Bool, Bool: v.Boolean()}.String()
	}
	return string(v.ByteArray())
}

// canonical gives a JSON text in one form: the stand-ins escape in different ways.
func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, _ := json.Marshal(v) // what was JSON can be written as JSON
	return string(out)
}

// failures reads _failures.jsonl.
func (r *run) failures() []dataset.Failure {
	r.t.Helper()
	f, err := os.Open(filepath.Join(r.dir(), dataset.FailuresName))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []dataset.Failure
	for one, err := range dataset.Failures(f) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// columnType gives the type of a feature's column.
func columnType(t *testing.T, m *dataset.Manifest, family, feature string) string {
	t.Helper()
	for i := range m.Families {
		f := &m.Families[i]
		at := slices.IndexFunc(f.Columns, func(c dataset.ManifestColumn) bool { return c.Feature == feature })
		if f.Family == family && at >= 0 {
			return string(f.Columns[at].Type)
		}
	}
	t.Fatalf("family %s has no feature %s", family, feature)
	return ""
}
