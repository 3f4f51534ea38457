package allinone_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// settling is what a feature is in the first epoch and in the second, as JSON of user n,
// and what its column and values come to be.
type settling struct {
	first, second func(n int) string
	column        string
}

func whole(n int) string       { return strconv.Itoa(n) }
func halves(n int) string      { return strconv.Itoa(n) + ".5" }
func boolean(n int) string     { return strconv.FormatBool(n%2 == 0) }
func word(n int) string        { return strconv.Quote("w" + strconv.Itoa(n)) }
func beyond(n int) string      { return "9007199254740993" + strconv.Itoa(n%10) } // no double is equal to it
func null(int) string          { return "null" }
func unquoted(v string) string { return strings.Trim(v, `"`) }

var settlings = map[string]settling{
	"ints":         {first: whole, second: whole, column: "int64"},
	"int_double":   {first: whole, second: halves, column: "double"},
	"double_int":   {first: halves, second: whole, column: "double"},
	"large_double": {first: beyond, second: halves, column: "string"},
	"int_string":   {first: whole, second: word, column: "string"},
	"bool_int":     {first: boolean, second: whole, column: "string"},
	"null_bool":    {first: null, second: boolean, column: "bool"},
	"int_null":     {first: whole, second: null, column: "int64"},
}

// Types are settled over all epochs, whatever the files of the first one were written as.
func TestTypesSettleOverEpochs(t *testing.T) {
	const half = users / 2
	j := job{families: "\n  - {id: late_a, lane: slow, cached: false}\n  - {id: fast_a}"}
	s := start(t, j)
	answer := func(q *featureservice.Request) featureservice.Fault {
		n, _ := strconv.Atoi(q.UserID[1:]) // users are u000, u001, …
		var fields []string
		for name, one := range settlings {
			v := one.first
			if n >= half {
				v = one.second
			}
			fields = append(fields, fmt.Sprintf("%q:%s", name, v(n)))
		}
		return featureservice.Fault{Body: fmt.Appendf(nil, `{"features":{"late_a":{%s}}}`, strings.Join(fields, ","))}
	}
	s.Sandbox().SetFaults(sandbox.Faults{Features: answer})
	records := usual()
	for i := range records {
		records[i].Families = []string{"late_a"}
	}
	r := s.open(j)
	r.submit(records[:half])
	r.ends(control.Completed)
	m, _ := r.checkedRows(dataset.Exact)
	if got := columnType(t, m, "late_a", "int_double"); got != "int64" {
		t.Errorf("after the first epoch the column is %s", got)
	}
	r.reopen(j)
	r.submit(records)
	r.ends(control.Completed)
	m, rows := r.checkedRows(dataset.Exact)
	schema, err := os.ReadFile(filepath.Join(r.dir(), dataset.SchemaName))
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range settlings {
		if got := columnType(t, m, "late_a", name); got != one.column {
			t.Errorf("%s is %s, want %s", name, got, one.column)
		}
		if !strings.Contains(string(schema), name+": "+one.column) {
			t.Errorf("_schema.yaml does not say that %s is %s:\n%s", name, one.column, schema)
		}
		for n, record := range records {
			v := one.first
			if n >= half {
				v = one.second
			}
			want := unquoted(v(n))
			if want == "null" {
				want = ""
			}
			if got := rows[cell{record.UserID, record.EpochMS, "late_a"}].values[name]; got != want {
				t.Errorf("%s of %s is %q, want %q", name, record.UserID, got, want)
			}
		}
	}
}
