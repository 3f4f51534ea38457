package dataset

import (
	"math"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestDriftRows(t *testing.T) {
	big := 1<<53 + 1
	for _, tc := range []struct {
		name   string
		typ    runfile.Type
		values []any // one a row
		drift  []int
	}{
		{"doubles", runfile.Double, []any{1.5, nil, math.NaN(), math.Inf(1)}, nil},
		{"integers as double", runfile.Double, []any{1, -7, nil, 1 << 60}, nil},
		{"an integer that no double is", runfile.Double, []any{1, big, 3}, []int{1}},
		{"doubles that were written out", runfile.Double, []any{999_990_000_000_000_000, 123_456_789_012_345_660, 0.5}, nil},
		{"one text among doubles", runfile.Double, []any{1.5, "x", 2e-9, math.NaN(), nil, 1e300}, []int{1}},
		{"large and fractional", runfile.Double, []any{big, 0.5, 7}, []int{0}},
		{"bool as double", runfile.Double, []any{true, nil}, []int{0}},
		{"arrays as double", runfile.Double, []any{jsonText("[1]"), 5.5}, []int{0}},
		{"arrays alone", runfile.Double, []any{jsonText("[1]"), jsonText("{}")}, []int{0, 1}},
		{"integers", runfile.Int64, []any{1, math.MinInt64, nil, math.MaxInt64}, nil},
		{"integral doubles as int64", runfile.Int64, []any{1.0, -3e15, 0.5, math.NaN(), math.Inf(-1), 1e19}, []int{2, 3, 4, 5}},
		{"one text among integers", runfile.Int64, []any{1, "1.5", "x", math.MaxInt64, "007", " 1"}, []int{1, 2, 4, 5}},
		{"bools", runfile.Bool, []any{true, nil, false}, nil},
		{"bools among others", runfile.Bool, []any{true, 1, "yes", "true"}, []int{1, 2}},
		{"numbers as bool", runfile.Bool, []any{0, 1}, []int{0, 1}},
		{"everything as string", runfile.String, []any{1, 1.5, true, "x", nil, jsonText("[]")}, nil},
		{"nulls alone", runfile.Bool, []any{nil, nil}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var cells []cell
			for _, v := range tc.values {
				cells = append(cells, cell{"u", 0, []value{{"other", "x"}, {"f", v}}})
			}
			m := message(t, packed.DynamoDB, "credit", cells...)
			declared := []runfile.Feature{{Name: "absent", Type: runfile.Bool}, {Name: "f", Type: tc.typ}}
			rows, feature := DriftRows(&m.Blocks[0], declared)
			if !slices.Equal(rows, tc.drift) || len(rows) > 0 && feature != "f" {
				t.Fatalf("rows %v of %q drift, want %v", rows, feature, tc.drift)
			}
			// What does not drift can be written, and what drifts cannot.
			var good []uint32
			for i := range cells {
				if !slices.Contains(rows, i) {
					good = append(good, uint32(i))
				}
			}
			if err := tryWrite(declared, m, good); err != nil {
				t.Errorf("rows %v: %v", good, err)
			}
			for _, i := range rows {
				if tryWrite(declared, m, []uint32{uint32(i)}) == nil {
					t.Errorf("row %d drifts but was written", i)
				}
			}
			// A cell drifts or not, whatever block it came in.
			for i := range cells {
				alone := message(t, packed.DynamoDB, "credit", cells[i])
				rows, _ := DriftRows(&alone.Blocks[0], declared)
				if (len(rows) == 1) != slices.Contains(tc.drift, i) {
					t.Errorf("row %d alone: drift %v, in the block: %v", i, rows, tc.drift)
				}
			}
		})
	}
}

func tryWrite(declared []runfile.Feature, m *packed.Message, rows []uint32) error {
	if len(rows) == 0 {
		return nil
	}
	var f FamilyRows
	f.Add(m, &m.Blocks[0], rows)
	_, _, err := WriteFamily(&countWriter{}, runfile.Family{ID: "credit", Features: declared}, &f, nil)
	return err
}

func TestDriftRowsOfSeveralFeatures(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit",
		cell{"u1", 0, []value{{"b", 1.5}, {"a", true}}},
		cell{"u2", 0, []value{{"b", 1}, {"a", 5}}},
		cell{"u3", 0, []value{{"b", "x"}, {"a", 5}}},
	)
	rows, _ := DriftRows(&m.Blocks[0], []runfile.Feature{{Name: "a", Type: runfile.Int64}, {Name: "b", Type: runfile.Int64}})
	if want := []int{0, 2}; !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
}
