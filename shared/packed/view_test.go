package packed_test

import (
	"math"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// columnOf gives a decoded column of values, in rows of their own.
func columnOf[T int64 | float64](t testing.TB, values ...T) *packed.Column {
	t.Helper()
	b := packed.NewBuilder()
	k := b.Block("f")
	for i, v := range values {
		k.Begin()
		switch v := any(v).(type) {
		case float64:
			k.Double([]byte("x"), v)
		case int64:
			k.Int64([]byte("x"), v)
		}
		k.End(b.Sample("u", int64(i)))
	}
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, packed.DynamoDB), &m); err != nil {
		t.Fatal(err)
	}
	return &m.Blocks[0].Columns[0]
}

func TestNotFinite(t *testing.T) {
	t.Parallel()
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Float64frombits(0xfff0_0000_0000_0001), math.Float64frombits(math.MaxUint64)}
	fine := []float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1}
	for n := range 10 { // in whichever lane it stands
		values := make([]float64, 0, 10)
		for i := range n {
			values = append(values, fine[i%len(fine)])
		}
		if got := columnOf(t, append(values, 1)...).NotFinite(); got != 0 {
			t.Errorf("%d of %v are not finite", got, values)
		}
		for _, v := range odd {
			if got := columnOf(t, append(values, v, v)...).NotFinite(); got != 2 {
				t.Errorf("%d of %v and twice %v are not finite", got, values, v)
			}
		}
	}
}

func TestExactAsDoubleAtTheEdges(t *testing.T) {
	t.Parallel()
	const edge = 1 << 53
	for v, want := range map[int64]bool{
		edge - 1: true, edge: true, edge + 1: false, -edge: true, -edge - 1: false,
		math.MaxInt64: false, 999_990_000_000_000_000: true, math.MinInt64: false,
	} {
		for n := range 6 {
			values := append(make([]int64, n), v, 7)
			if got := columnOf(t, values...).ExactAsDouble(); got != want {
				t.Errorf("%v: %v, want %v", values, got, want)
			}
		}
	}
}

// BenchmarkColumn takes what is asked of each column of a block before it is written.
func BenchmarkColumn(b *testing.B) {
	const n = 100
	doubles, integers := make([]float64, n), make([]int64, n)
	for i := range n {
		doubles[i], integers[i] = float64(i)/n, 10_000+int64(i)
	}
	real, whole := columnOf(b, doubles...), columnOf(b, integers...)
	for name, ask := range map[string]func() bool{
		"NotFinite":     func() bool { return real.NotFinite() == 0 },
		"ExactAsDouble": whole.ExactAsDouble,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !ask() {
					b.Fatal("wrong")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
	}
}
