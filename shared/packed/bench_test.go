package packed_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

const benchFeatures = 60

// shape is how the cells of a benchmark's message lie.
type shape struct {
	name           string
	families, rows int
	columnar       bool // a fresh block a family, as for answers of DynamoDB
	nulls          bool // every eighth value
	guess          bool // names are the block's guesses, as scanners give them
}

var shapes = []shape{
	{"5 families x 100 rows", 5, 100, true, false, false},
	{"50 families x 10 rows", 50, 10, false, false, false},
	{"5 families x 100 rows, nulls", 5, 100, true, true, false},
	{"5 families x 100 rows, guessed", 5, 100, true, false, true},
}

type benchData struct {
	shape
	families []string
	users    []string
	names    [][][]byte
	values   []float64
}

func newBenchData(s shape) *benchData {
	r := rand.New(rand.NewPCG(1, 1))
	d := &benchData{shape: s, values: make([]float64, benchFeatures)}
	for i := range s.families {
		d.families = append(d.families, fmt.Sprintf("family_%02d", i))
		var names [][]byte
		for j := range benchFeatures {
			names = append(names, fmt.Appendf(nil, "feature_%02d_%02d", i, j))
		}
		d.names = append(d.names, names)
	}
	for i := range s.rows {
		d.users = append(d.users, fmt.Sprintf("user-%06d", i))
	}
	for i := range d.values {
		d.values[i] = r.Float64()
	}
	return d
}

func (d *benchData) build(b *packed.Builder) {
	b.Reset()
	for f, family := range d.families {
		open := b.Block
		if d.columnar {
			open = b.NewBlock
		}
		k := open(family)
		names := d.names[f]
		for i, user := range d.users {
			k.Begin()
			for j, v := range d.values {
				if !d.nulls || (i+j)%8 != 0 {
					if d.guess && len(k.Guess()) > 0 && k.GuessedDouble(v) {
						continue
					}
					k.Double(names[j], v)
				}
			}
			k.End(b.Sample(user, int64(i)))
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			d, builder := newBenchData(s), packed.NewBuilder()
			b.ReportAllocs()
			for b.Loop() {
				d.build(builder)
			}
			d.report(b)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			d, builder := newBenchData(s), packed.NewBuilder()
			d.build(builder)
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = builder.Encode(dst[:0], packed.DynamoDB)
			}
			d.report(b)
			b.ReportMetric(float64(len(dst))/float64(s.families*s.rows), "B/family")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			d, builder := newBenchData(s), packed.NewBuilder()
			d.build(builder)
			data := builder.Encode(nil, packed.DynamoDB)
			var m packed.Message
			sum := 0.0
			b.ReportAllocs()
			for b.Loop() {
				if err := packed.Decode(data, &m); err != nil {
					b.Fatal(err)
				}
				for i := range m.Blocks {
					sum += addUp(&m.Blocks[i])
				}
			}
			d.report(b)
		})
	}
}

// addUp reads each value. It is on its own because Loop keeps variables in memory.
func addUp(b *packed.BlockView) float64 {
	sum := 0.0
	for i := range b.Columns {
		c := &b.Columns[i]
		for row := range b.Rows() {
			sum += c.Double(row)
		}
	}
	return sum
}

func (d *benchData) report(b *testing.B) {
	b.Helper()
	values := float64(b.N) * float64(len(d.families)*len(d.users)*benchFeatures)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/values, "ns/value")
}

// BenchmarkDecodeAnew decodes into a message of its own, as those do who keep it.
func BenchmarkDecodeAnew(b *testing.B) {
	s := shape{name: "one family x 900 rows", families: 1, rows: 900, columnar: true}
	d, builder := newBenchData(s), packed.NewBuilder()
	d.build(builder)
	data := builder.Encode(nil, packed.DynamoDB)
	b.ReportAllocs()
	for b.Loop() {
		var m packed.Message
		if err := packed.Decode(data, &m); err != nil {
			b.Fatal(err)
		}
	}
}
