// Package pages reads the files that the page writer makes with a reader that is not ours.
package pages

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
)

// doubles are shapes of columns, each of which is compressed in another way.
var doubles = []func(*rand.Rand) float64{
	func(r *rand.Rand) float64 { return float64(r.IntN(10_000)) / 1e4 },
	func(r *rand.Rand) float64 { return float64(r.IntN(5)) },
	func(r *rand.Rand) float64 { return r.NormFloat64() },
	func(r *rand.Rand) float64 { return float64(float32(r.NormFloat64())) },
	func(r *rand.Rand) float64 {
		return []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), 0}[r.IntN(4)]
	},
	func(r *rand.Rand) float64 { return 7 },
}

// TestArrow writes columns of every shape, with many nulls, few and none, and has arrow-go read
// the values and the statistics.
func TestArrow(t *testing.T) {
	for _, rows := range []int{1, 100, 5000, 90_000} {
		for _, nulls := range []int{0, 10, 95, 100} {
			t.Run(fmt.Sprintf("rows=%d,nulls=%d%%", rows, nulls), func(t *testing.T) { roundTrip(t, rows, nulls) })
		}
	}
}

func roundTrip(t *testing.T, rows, nulls int) {
	r := rand.New(rand.NewPCG(uint64(rows), uint64(nulls)))
	schema := &pages.Schema{CreatedBy: "fff version 1(build 2)"}
	want := make([][]float64, len(doubles))
	present := make([][]bool, len(doubles))
	for c := range doubles {
		schema.Columns = append(schema.Columns, pages.Column{Name: fmt.Sprint("c", c)})
		for range rows {
			want[c] = append(want[c], doubles[c](r))
			present[c] = append(present[c], r.IntN(100) >= nulls)
		}
	}
	var b bytes.Buffer
	w := pages.NewWriter(&b, schema)
	for c := range want {
		out := w.Column()
		for i, v := range want[c] {
			if !present[c][i] {
				out.Nulls(1)
				continue
			}
			out.Numbers(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
			out.Rows(1)
		}
		if err := w.EndColumn(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := file.NewParquetReader(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for c := range want {
		i := 0
		for _, chunk := range table.Column(c).Data().Chunks() {
			values := chunk.(*array.Float64)
			for row := range values.Len() {
				if values.IsNull(row) == present[c][i] || present[c][i] && math.Float64bits(values.Value(row)) != math.Float64bits(want[c][i]) {
					t.Fatalf("column %d, row %d: null %v, value %v; want %v", c, i, values.IsNull(row), values.Value(row), want[c][i])
				}
				i++
			}
		}
		if i != rows {
			t.Fatalf("column %d has %d rows of %d", c, i, rows)
		}
		statistics(t, f, c, want[c], present[c])
	}
}

// statistics checks that no value is outside of what the footer says.
func statistics(t *testing.T, f *file.Reader, c int, want []float64, present []bool) {
	chunk, err := f.MetaData().RowGroup(0).ColumnChunk(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := chunk.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	null := int64(0)
	for i, v := range want {
		if !present[i] {
			null++
			continue
		}
		if d, ok := s.(*metadata.Float64Statistics); ok && d.HasMinMax() && (v < d.Min() || v > d.Max()) {
			t.Errorf("column %d: %v is not between %v and %v", c, v, d.Min(), d.Max())
		}
	}
	if s.NullCount() != null || s.Type() != parquet.Types.Double {
		t.Errorf("column %d: %d nulls, want %d", c, s.NullCount(), null)
	}
}
