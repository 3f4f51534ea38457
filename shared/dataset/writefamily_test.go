package dataset

import (
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestX(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit",
		cell{"u1", 1000, []value{{"b", 1}, {"a", 1.5}, {"nan", math.NaN()}, {"USER_ID", true}}},
		cell{"u2", 2000, []value{{"b", nil}, {"a", 2.0}, {"s", "x"}}},
	)
	m2 := message(t, packed.FeatureService, "credit",
		cell{"u3", 1001, []value{{"b", 1.5}, {"a", "hallo"}, {"j", jsonText(`[1]`)}, {"z", nil}}},
	)
	data, cols := write(t, nil, nil, m, m2)
	schema, rows := read(t, data)
	fmt.Println(schema)
	for _, r := range rows {
		fmt.Println(r)
	}
	fmt.Println(cols)
}

var _ = slices.Sort[[]int]

func benchRows(b *testing.B, n, features int, nulls bool) *FamilyRows {
	rows := &FamilyRows{}
	for i := 0; i < n; i += 100 {
		var cells []cell
		for j := range 100 {
			c := cell{user: fmt.Sprintf("user-%07d", (i+j)*7919%1000003), ms: 1700000000000 + int64(i+j)*3600000}
			for k := range features {
				name := fmt.Sprintf("feature_%02d", k)
				if nulls && (i+j+k)%10 == 0 {
					c.values = append(c.values, value{name, nil})
				} else {
					c.values = append(c.values, value{name, math.Round(1000*math.Sin(float64((i+j)*features+k)))/8 + 0.01})
				}
			}
			cells = append(cells, c)
		}
		m := message(b, packed.DynamoDB, "credit", cells...)
		rows.Add(m, &m.Blocks[0], nil)
	}
	return rows
}

func BenchmarkWriteFamily(b *testing.B) {
	for _, nulls := range []bool{false, true} {
		b.Run(fmt.Sprintf("nulls=%v", nulls), func(b *testing.B) {
			const n, features = 10_000, 60
			rows := benchRows(b, n, features, nulls)
			b.ReportAllocs()
			var bytes int64
			for b.Loop() {
				w := &countWriter{}
				if _, _, err := WriteFamily(w, runfile.Family{ID: "credit"}, rows, nil); err != nil {
					b.Fatal(err)
				}
				bytes = w.n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*features), "ns/value")
			b.ReportMetric(float64(bytes)/(n*features), "B/value")
		})
	}
}

type countWriter struct{ n int64 }

func (w *countWriter) Write(p []byte) (int, error) { w.n += int64(len(p)); return len(p), nil }

var _ io.Writer = (*countWriter)(nil)
