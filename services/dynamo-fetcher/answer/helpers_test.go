package answer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/answer"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// now is the clock of the tests.
var now = time.Unix(1_700_000_000, 0)

func template(t testing.TB, s string) *runfile.Template {
	t.Helper()
	tpl, err := runfile.ParseTemplate(s)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// runFile has the families f0, f1, … under the key attributes pk (user) and sk (family).
func runFile(t testing.TB, families int, layout runfile.Layout) *runfile.File {
	f := &runfile.File{Run: "r", DynamoDB: &runfile.DynamoDB{
		Table:        "t",
		PartitionKey: runfile.KeyAttribute{Name: "pk", Type: "S", Value: template(t, "{user_id}")},
		SortKey:      &runfile.KeyAttribute{Name: "sk", Type: "S", Value: template(t, "{family}")},
		Layout:       layout,
	}}
	if layout != runfile.LayoutAttributes {
		f.DynamoDB.LayoutAttribute = "features"
	}
	for i := range families {
		f.Families = append(f.Families, runfile.Family{ID: fmt.Sprintf("f%d", i), Cached: true})
	}
	return f
}

// lookUp is a block whose answers are scanned.
type lookUp struct {
	t       testing.TB
	plan    *plan.Plan
	scanner *answer.Scanner
	builder *packed.Builder
	result  answer.Result
	emits   int
	emitErr error
}

// newLookUp asks for all families of users.
func newLookUp(t testing.TB, f *runfile.File, users ...string) *lookUp {
	t.Helper()
	var requests []work.Request
	for i, user := range users {
		r := work.Request{UserID: user, EpochMS: int64(i)}
		for _, family := range f.Families {
			r.Families = append(r.Families, family.ID)
		}
		requests = append(requests, r)
	}
	p, err := plan.New(plan.Compile(f), requests)
	if err != nil {
		t.Fatal(err)
	}
	return &lookUp{
		t: t, plan: p, builder: packed.NewBuilder(),
		scanner: answer.NewScanner(answer.NewLayout(f.DynamoDB)),
	}
}

func (l *lookUp) emit(fn func(*packed.Builder) error) error {
	l.emits++
	if l.emitErr != nil {
		return l.emitErr
	}
	return fn(l.builder)
}

// scan reads an answer to the whole first call.
func (l *lookUp) scan(body string) error {
	return l.scanFor(body, l.plan.Calls[0].Keys)
}

func (l *lookUp) scanFor(body string, keys []int32) error {
	return l.scanner.Scan([]byte(body), l.plan, 0, keys, now, l.emit, &l.result)
}

// scanInto reads an answer to the whole first call, each lent builder being a message of
// its own.
func (l *lookUp) scanInto(body string, message func(bytes, rows int)) error {
	emit := func(fn func(*packed.Builder) error) error {
		l.emits++
		l.builder.Reset()
		err := fn(l.builder)
		message(len(l.builder.Encode(nil, packed.DynamoDB)), l.builder.Rows())
		return err
	}
	return l.scanner.Scan([]byte(body), l.plan, 0, l.plan.Calls[0].Keys, now, emit, &l.result)
}

// states gives the cells' states, a letter each: pending, hit, missed, failed.
func (l *lookUp) states() string {
	var b strings.Builder
	for _, c := range l.plan.Cells {
		b.WriteByte("phmf"[c.State])
	}
	return b.String()
}

// rows gives the rows that were written, as user/family{feature:kind(text) …}.
func (l *lookUp) rows() []string {
	l.t.Helper()
	data := l.builder.Encode(nil, packed.DynamoDB)
	var m packed.Message
	if err := packed.Decode(data, &m); err != nil {
		l.t.Fatalf("what the scanner wrote cannot be decoded: %v", err)
	}
	var rows []string
	for _, block := range m.Blocks {
		for i, sample := range block.SampleOf {
			values := map[string]string{}
			for c := range block.Columns {
				column := &block.Columns[c]
				if column.IsNull(i) {
					values[column.Name] = "null"
					continue
				}
				values[column.Name] = fmt.Sprintf("%v(%s)", column.Kind, column.Text(nil, i))
			}
			var texts []string
			for _, name := range slices.Sorted(maps.Keys(values)) {
				texts = append(texts, name+":"+values[name])
			}
			rows = append(rows, fmt.Sprintf("%s/%s{%s}", m.Samples[sample].UserID, block.Family, strings.Join(texts, " ")))
		}
	}
	return rows
}

func (l *lookUp) wantRows(want ...string) {
	l.t.Helper()
	if got := l.rows(); !slices.Equal(got, want) {
		l.t.Errorf("rows are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// key gives the JSON of the key attributes' members.
func key(user, family string) string {
	return fmt.Sprintf(`"pk":{"S":%q},"sk":{"S":%q}`, user, family)
}

// responses wraps items into an answer.
func responses(items ...string) string {
	return `{"Responses":{"t":[` + strings.Join(items, ",") + `]},"UnprocessedKeys":{}}`
}
