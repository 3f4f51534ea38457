package monitor

import (
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// column is what stands in a feature in a part.
type column struct {
	feature string
	dataset.ColumnStats
}

const (
	doubles = dataset.KindSet(1 << packed.Double)
	ints    = dataset.KindSet(1 << packed.Int64)
	strs    = dataset.KindSet(1 << packed.String)
	jsons   = dataset.KindSet(1 << packed.JSON)
	bools   = dataset.KindSet(1 << packed.Bool)
)

// some gives a feature in good order.
func some(feature string) column {
	return column{feature, dataset.ColumnStats{Kinds: doubles, Varied: true}}
}

func (c column) with(change func(*dataset.ColumnStats)) column {
	change(&c.ColumnStats)
	return c
}

func nulls(n int64) func(*dataset.ColumnStats) { return func(s *dataset.ColumnStats) { s.Null = n } }
func absent(n int64) func(*dataset.ColumnStats) {
	return func(s *dataset.ColumnStats) { s.Null, s.Absent = n, n }
}
func inf(n int64) func(*dataset.ColumnStats) { return func(s *dataset.ColumnStats) { s.NotFinite = n } }
func always(hash uint64) func(*dataset.ColumnStats) {
	return func(s *dataset.ColumnStats) { s.Varied, s.Same = false, hash }
}
func of(k dataset.KindSet) func(*dataset.ColumnStats) {
	return func(s *dataset.ColumnStats) { s.Kinds = k }
}

// part is a part of one family.
type part struct {
	rows    int64
	columns []column
}

func (p part) of(family string) *dataset.Part {
	f := dataset.FamilyPart{Family: family, File: dataset.File{Rows: p.rows}}
	for _, c := range p.columns {
		f.File.Columns = append(f.File.Columns, dataset.Column{Feature: c.feature, Name: c.feature})
		f.Stats = append(f.Stats, c.ColumnStats)
	}
	return &dataset.Part{Families: []dataset.FamilyPart{f}}
}

func cols(all ...column) []column { return all }

func TestRulesAboutTheData(t *testing.T) {
	x, y := some("x"), some("y")
	good := part{1000, cols(x, y)}
	for name, c := range map[string]struct {
		family string
		parts  []part // every 10 seconds
		want   string
		says   string
	}{
		"all is well": {"", []part{good, good}, "", ""},

		"too many nulls":            {"", []part{{1000, cols(x.with(nulls(501)))}}, "null_ratio warn", "x (50.1 %)"},
		"half of them":              {"", []part{{1000, cols(x.with(nulls(500)))}}, "", ""},
		"too many in too few":       {"", []part{{999, cols(x.with(nulls(999)))}}, "", ""},
		"too many in two parts":     {"", []part{{600, cols(x.with(nulls(600)))}, {600, cols(x.with(nulls(1)))}}, "null_ratio warn", "x (50.08 %)"},
		"too many of the last ones": {"", []part{{9000, cols(x, y)}, good, good, good, good, {1000, cols(x.with(nulls(900)), y)}, {1000, cols(x.with(nulls(900)), y)}, {1000, cols(x.with(nulls(900)), y)}, {1000, cols(x.with(nulls(900)), y)}}, "null_ratio warn", "x ("},

		"a NaN":            {"", []part{{1000, cols(x.with(inf(1)))}}, "not_finite warn", "x (1 of 1,000)"},
		"a NaN in too few": {"", []part{{999, cols(x.with(inf(1)))}}, "", ""},

		"constant":                 {"", []part{{1000, cols(x.with(always(7)))}}, "constant warn", "x (1,000 values)"},
		"constant in too few":      {"", []part{{999, cols(x.with(always(7)))}}, "", ""},
		"constant but for nulls":   {"", []part{{1400, cols(x.with(always(7)).with(nulls(400)))}}, "constant warn", "x (1,000 values)"},
		"too few of them":          {"", []part{{1400, cols(x.with(always(7)).with(nulls(401)))}}, "", ""},
		"constant in each part":    {"", []part{{600, cols(x.with(always(7)))}, {600, cols(x.with(always(8)))}}, "", ""},
		"the same in each part":    {"", []part{{600, cols(x.with(always(7)))}, {600, cols(x.with(always(7)))}}, "constant warn", "x"},
		"one other in 2,000":       {"", []part{{1999, cols(x)}, {1, cols(x.with(always(7)))}}, "", ""},
		"nulls alone are no value": {"", []part{{1000, cols(x.with(nulls(1000)).with(always(0)).with(of(0)))}}, "null_ratio warn", ""},
		"constant since a minute":  {"", []part{good, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}}, "constant warn", "x"},
		"constant for a while":     {"", []part{good, {600, cols(x.with(always(7)), y)}, {600, cols(x.with(always(7)), y)}, good}, "", ""},

		"a declared one never comes":  {"{id: credit, cached: false, features: {z: double}}", []part{{1000, cols(x, column{"z", dataset.ColumnStats{Absent: 1000, Null: 1000}})}}, "missing_feature warn", "z"},
		"it comes once":               {"{id: credit, cached: false, features: {z: double}}", []part{{1000, cols(x, some("z").with(absent(499)))}}, "", ""},
		"it is not even a column":     {"{id: credit, cached: false, features: {z: double}}", []part{{1000, cols(x)}}, "missing_feature warn", "z"},
		"one that came at first":      {"", []part{good, {1000, cols(x)}, {1000, cols(x)}, {1000, cols(x)}, {1000, cols(x)}, {1000, cols(x)}, {1000, cols(x)}, {1000, cols(x)}}, "null_ratio warn, missing_feature warn", "y"},
		"it is away in some messages": {"", []part{good, {1000, cols(x, y.with(absent(900)))}, good, good}, "", ""},

		"a new one":              {"", []part{good, {10, cols(x, y, some("z"))}}, "new_feature warn", "z"},
		"told once":              {"", []part{good, {10, cols(x, y, some("z"))}, {10, cols(x, y, some("z"))}}, "new_feature warn", "z"},
		"while the schema grows": {"", []part{{999, cols(x)}, {10, cols(x, y)}}, "", ""},
		"a column without it":    {"", []part{{1000, cols(x, column{"z", dataset.ColumnStats{Absent: 1000, Null: 1000}})}}, "", ""},

		"a text among numbers":         {"", []part{good, {10, cols(x.with(of(strs)), y)}}, "type_drift stop", "x (texts, at first numbers)"},
		"fractions among whole ones":   {"", []part{{1000, cols(x.with(of(ints)))}, {10, cols(x.with(of(doubles)))}}, "", ""},
		"an object among texts":        {"", []part{{1000, cols(x.with(of(strs)))}, {10, cols(x.with(of(jsons)))}}, "", ""},
		"a switch among numbers":       {"", []part{good, {10, cols(x.with(of(bools)), y)}}, "type_drift stop", "x (true and false, at first numbers)"},
		"it was mixed from the start":  {"", []part{{900, cols(x)}, {100, cols(x.with(of(strs)))}, {10, cols(x)}, {10, cols(x.with(of(strs)))}}, "", ""},
		"null at first":                {"", []part{{1000, cols(y, x.with(nulls(1000)).with(always(0)).with(of(0)))}, {2000, cols(y, x.with(of(strs)))}}, "null_ratio warn", ""},
		"a declared one is the writer": {"{id: credit, cached: false, features: {x: string}}", []part{{1000, cols(x)}, {10, cols(x.with(of(strs)))}}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var families []string
			if c.family != "" {
				families = []string{c.family}
			}
			w := newWatch(t, "window: 1m", families...)
			for i, p := range c.parts {
				w.Part(at(10*float64(i)), p.of("credit"))
				w.look(Observation{Now: at(10 * float64(i))})
			}
			if got := strings.ReplaceAll(w.rules(), "data.", ""); got != c.want {
				t.Fatalf("found %q (%v), want %q", got, w.found, c.want)
			}
			if c.want != "" && !strings.Contains(w.found[len(w.found)-1].Cause, c.says) {
				t.Errorf("%s; want it to name %s", w.found[len(w.found)-1], c.says)
			}
		})
	}
}
