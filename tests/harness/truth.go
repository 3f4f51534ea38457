package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// maxFaults bounds the faults that a proof names.
const maxFaults = 20

// Prove reads the job's dataset and recomputes every value of it. Every cell of the records
// must be there once, but for those that without names, which must not be there at all.
func (j *Job) Prove(t testing.TB, without func(Cell) bool) {
	t.Helper()
	j.Fetch(t)
	file := j.File(t)
	requested := Cells(j.Records, file.FamilyIDs())
	if without != nil {
		maps.DeleteFunc(requested, func(c Cell, _ bool) bool { return without(c) })
	}
	ProveDataset(t, j.Dataset(), file, j.Sandbox, requested)
}

// ProveDataset is Prove for a run file, settings of the stand-ins and cells.
func ProveDataset(t testing.TB, dir string, file *runfile.File, cfg sandbox.Config, requested map[Cell]bool) {
	t.Helper()
	truth, err := sandbox.NewTruth(cfg, file)
	if err != nil {
		t.Fatal(err)
	}
	p := proof{file: file, truth: truth, missing: maps.Clone(requested), families: map[string]*familyProof{}}
	for f, err := range ReadDataset(context.Background(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		p.check(f)
	}
	p.settle()
	for c := range p.missing {
		p.fault("%+v is missing", c)
	}
	if len(p.faults) > 0 {
		t.Fatalf("%s: %d faults, such as\n%s", dir, p.count, strings.Join(p.faults, "\n"))
	}
}

// proof compares a dataset with the truth.
type proof struct {
	file     *runfile.File
	truth    *sandbox.Truth
	missing  map[Cell]bool // cells that were asked for and not seen yet
	families map[string]*familyProof
	faults   []string
	count    int
}

// familyProof is what is seen of one family over all its files.
type familyProof struct {
	schema *arrow.Schema
	column map[string]int // by feature
	kinds  map[string]map[values.Kind]bool
	// fractions are the doubles that no int64 column could hold.
	fractions map[string]bool
}

func (p *proof) fault(format string, args ...any) {
	if p.count++; p.count <= maxFaults {
		p.faults = append(p.faults, fmt.Sprintf(format, args...))
	}
}

// check compares every value of a file.
func (p *proof) check(f *File) {
	fp := p.families[f.Family]
	if fp == nil {
		fp = &familyProof{schema: f.Schema, column: columns(f.Schema), kinds: map[string]map[values.Kind]bool{}, fractions: map[string]bool{}}
		p.families[f.Family] = fp
	}
	if !f.Schema.Equal(fp.schema) {
		p.fault("%s of %s has other columns than the files before it: %s, not %s", f.Name, f.Family, f.Schema, fp.schema)
		return
	}
	for b := range f.batches() {
		for row := range int(b.NumRows()) {
			c, err := b.cell(f.Family, row)
			if err != nil {
				p.fault("%s of %s: %v", f.Name, f.Family, err)
				continue
			}
			if !p.missing[c] {
				p.fault("%+v in %s is there twice, or was not asked for", c, f.Name)
			}
			delete(p.missing, c)
			p.checkRow(fp, &b, row, c)
		}
	}
}

// columns finds the columns of features; one that bears the name of a key column has the
// suffix that the contract gives it.
func columns(s *arrow.Schema) map[string]int {
	at := map[string]int{}
	for i, c := range s.Fields() {
		if i >= len(keys) {
			name, suffixed := strings.CutSuffix(c.Name, "_feature")
			if isKey := slices.ContainsFunc(keys, func(k arrow.Field) bool { return k.Name == name }); !suffixed || !isKey {
				name = c.Name
			}
			at[name] = i
		}
	}
	return at
}

func (p *proof) checkRow(fp *familyProof, b *batch, row int, c Cell) {
	source := "feature_service"
	if p.truth.Cached(c.UserID, c.EpochMS, c.Family) {
		source = "dynamodb"
	}
	if got := b.sources.Value(row); got != source {
		p.fault("%+v: source %s, want %s", c, got, source)
	}
	features := 0
	for feature, want := range p.truth.Values(c.UserID, c.EpochMS, c.Family) {
		features++
		i, ok := fp.column[feature]
		if !ok {
			p.fault("%s has no column for %s", c.Family, feature)
			continue
		}
		if got, ok := same(b.Column(i), row, want); !ok {
			p.fault("%+v: %s is %s, want %s", c, feature, got, want)
		}
		fp.see(feature, want)
	}
	if features != len(fp.column) {
		p.fault("%s has %d columns of features, want %d", c.Family, len(fp.column), features)
	}
}

func (fp *familyProof) see(feature string, v values.V) {
	if v.Kind == values.Null {
		return
	}
	if fp.kinds[feature] == nil {
		fp.kinds[feature] = map[values.Kind]bool{}
	}
	fp.kinds[feature][v.Kind] = true
	if v.Kind == values.Double && (v.Double != math.Trunc(v.Double) || math.Abs(v.Double) > 1<<53) {
		fp.fractions[feature] = true
	}
}

// same compares a value of a column. It gives the value as text where it differs.
func same(c arrow.Array, row int, want values.V) (got string, ok bool) {
	null := c.IsNull(row)
	if null || want.Kind == values.Null {
		ok = null && want.Kind == values.Null
	} else {
		switch a := c.(type) {
		case *array.Float64:
			v := a.Value(row)
			switch want.Kind {
			case values.Double:
				ok = v == want.Double || math.IsNaN(v) && math.IsNaN(want.Double)
			case values.Int64:
				ok = int64(v) == want.Int64 && float64(want.Int64) == v
			}
		case *array.Int64:
			v := a.Value(row)
			ok = want.Kind == values.Int64 && v == want.Int64 || want.Kind == values.Double && float64(v) == want.Double
		case *array.Boolean:
			ok = want.Kind == values.Bool && a.Value(row) == want.Bool
		case *array.String:
			ok = a.Value(row) == want.String() || want.Kind == values.JSON && sameJSON(a.Value(row), want.Text)
		}
	}
	if ok {
		return "", true
	}
	return fmt.Sprintf("%s (%s)", c.ValueStr(row), c.DataType()), false
}

// sameJSON compares two documents by what they say: escapes are up to whoever wrote them.
func sameJSON(a, b string) bool {
	var docs [2]any
	for i, text := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&docs[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(docs[0], docs[1])
}

// settle checks the type of every column against all values that were seen in it, and that
// the columns are those of the declaration and the truth.
func (p *proof) settle() {
	for family, fp := range p.families {
		for feature, i := range fp.column {
			got := fp.schema.Field(i).Type.ID()
			if want := p.types(family, feature, fp); !slices.Contains(want, got) {
				p.fault("%s: column %s is a %s, want one of %v", family, feature, got, want)
			}
		}
	}
}

var arrowTypes = map[runfile.Type]arrow.Type{
	runfile.Double: arrow.FLOAT64, runfile.Int64: arrow.INT64, runfile.Bool: arrow.BOOL, runfile.String: arrow.STRING,
}

// types gives the types that a column may have. A double whose values are all integral, as
// they happen to be, may have been settled as either number.
func (p *proof) types(family, feature string, fp *familyProof) []arrow.Type {
	if f, ok := p.file.Family(family); ok {
		for _, d := range f.Features {
			if d.Name == feature {
				return []arrow.Type{arrowTypes[d.Type]}
			}
		}
	}
	kinds := slices.Collect(maps.Keys(fp.kinds[feature]))
	if len(kinds) != 1 {
		if len(kinds) == 0 {
			return []arrow.Type{arrow.FLOAT64}
		}
		return []arrow.Type{arrow.STRING}
	}
	switch kinds[0] {
	case values.Double:
		if !fp.fractions[feature] {
			return []arrow.Type{arrow.FLOAT64, arrow.INT64}
		}
		return []arrow.Type{arrow.FLOAT64}
	case values.Int64:
		return []arrow.Type{arrow.INT64}
	case values.Bool:
		return []arrow.Type{arrow.BOOL}
	default:
		return []arrow.Type{arrow.STRING}
	}
}
