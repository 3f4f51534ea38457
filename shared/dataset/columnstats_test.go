package dataset

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// What is counted of a column does not depend on how its rows were grouped into messages.
func TestColumnStats(t *testing.T) {
	const double, integer, text = KindSet(1 << packed.Double), KindSet(1 << packed.Int64), KindSet(1 << packed.String)
	for name, c := range map[string]struct {
		messages [][]any // value of each row by message; missing = not named
		want     ColumnStats
	}{
		"values that differ":          {[][]any{{1.5, 2.5}, {3.5}}, ColumnStats{Kinds: double, Varied: true}},
		"differ from block to block":  {[][]any{{1.5, 1.5}, {2.5}}, ColumnStats{Kinds: double, Varied: true}},
		"nulls beside one value":      {[][]any{{nil, "a", nil}, {nil}, {"a"}}, ColumnStats{Kinds: text, Null: 3, Same: 1}},
		"nulls alone":                 {[][]any{{nil, nil}}, ColumnStats{Null: 2}},
		"absent from one block":       {[][]any{{missing, missing}, {1, 1}}, ColumnStats{Kinds: integer, Absent: 2, Null: 2, Same: 1}},
		"absent from a row of one":    {[][]any{{missing, 1, 1}}, ColumnStats{Kinds: integer, Null: 1, Same: 1}},
		"one number in two kinds":     {[][]any{{1}, {1.0}}, ColumnStats{Kinds: integer | double, Same: 1}},
		"numbers, then texts":         {[][]any{{1, 2}, {"x"}}, ColumnStats{Kinds: integer | text, Varied: true}},
		"NaN and infinities":          {[][]any{{math.NaN(), 1.5, nil}, {math.Inf(1), math.Inf(-1)}}, ColumnStats{Kinds: double, Null: 1, NotFinite: 3, Varied: true}},
		"the same value after a null": {[][]any{{true, nil, true}}, ColumnStats{Kinds: 1 << packed.Bool, Null: 1, Same: 1}},
		"differs in the last row":     {[][]any{{"a", "a", nil, "b"}}, ColumnStats{Kinds: text, Null: 1, Varied: true}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, some := &FamilyRows{}, &FamilyRows{} // whole blocks; row after row
			for _, values := range c.messages {
				var cells []cell
				for i, v := range values {
					one := cell{user: string(rune('a' + i)), ms: 1000, values: []value{{"other", i}}}
					if v != missing {
						one.values = append(one.values, value{"x", v})
					}
					cells = append(cells, one)
				}
				m := message(t, packed.DynamoDB, "credit", cells...)
				rows.Add(m, &m.Blocks[0], nil)
				for i := range values {
					some.Add(m, &m.Blocks[0], []uint32{uint32(i)})
				}
			}
			for _, rows := range []*FamilyRows{rows, some} {
				got := statsOf(t, rows, "x")
				if got.Same != 0 { // some hash
					got.Same = 1
				}
				if got != c.want {
					t.Errorf("%+v, want %+v", got, c.want)
				}
			}
		})
	}
}

// statsOf writes rows and gives the statistics of a feature, whose column is known already.
func statsOf(t *testing.T, rows *FamilyRows, feature string) ColumnStats {
	t.Helper()
	cols, stats, err := WriteFamily(&bytes.Buffer{}, runfile.Family{ID: "credit"}, rows, []Column{{Feature: feature, Name: feature}})
	if err != nil {
		t.Fatal(err)
	}
	return stats[slices.IndexFunc(cols, func(c Column) bool { return c.Feature == feature })]
}

const missing = "no such feature"
