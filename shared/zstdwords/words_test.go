package zstdwords

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// shapes are columns as features are.
var shapes = []struct {
	name  string
	value func(*rand.Rand) uint64
}{
	{"fractions of 6 digits", func(r *rand.Rand) uint64 { return math.Float64bits(float64(r.IntN(1e6)) / 1e6) }},
	{"fractions of 4 digits", func(r *rand.Rand) uint64 { return math.Float64bits(float64(r.IntN(1e4)) / 1e4) }},
	{"fractions of 2 digits", func(r *rand.Rand) uint64 { return math.Float64bits(float64(r.IntN(1e4)) / 1e2) }},
	{"256 doubles", func(r *rand.Rand) uint64 { return math.Float64bits(0.01 + float64(r.IntN(256))) }},
	{"normal", func(r *rand.Rand) uint64 { return math.Float64bits(r.NormFloat64()) }},
	{"floats", func(r *rand.Rand) uint64 { return math.Float64bits(float64(float32(r.NormFloat64()))) }},
	{"small doubles", func(r *rand.Rand) uint64 { return math.Float64bits(float64(r.IntN(5))) }},
	{"counts", func(r *rand.Rand) uint64 { return 10000 + r.Uint64N(10000) }},
	{"small counts", func(r *rand.Rand) uint64 { return uint64(math.Exp(r.Float64() * 6)) }},
	{"small signed", func(r *rand.Rand) uint64 { return uint64(r.IntN(9) - 4) }},
	{"flags", func(r *rand.Rand) uint64 { return r.Uint64N(2) }},
	{"times", func(r *rand.Rand) uint64 { return 1_700_000_000_000_000 + r.Uint64N(1e7)*1e6 }},
	{"ids", func(r *rand.Rand) uint64 { return r.Uint64N(1e9) }},
	{"few ids", func(r *rand.Rand) uint64 { return r.Uint64N(500) * 1_234_567 }},
	{"mostly zero", func(r *rand.Rand) uint64 {
		if r.IntN(20) > 0 {
			return 0
		}
		return math.Float64bits(r.Float64())
	}},
	{"one", func(*rand.Rand) uint64 { return 42 }},
	{"noise", func(r *rand.Rand) uint64 { return r.Uint64() }},
	{"noise in powers", func(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(64) << r.IntN(64) }},
}

func column(seed uint64, shape, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, 0, 8*n)
	for range n {
		b = binary.LittleEndian.AppendUint64(b, shapes[shape].value(r))
	}
	return b
}

func general(t testing.TB) (*zstd.Encoder, *zstd.Decoder) {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return e, d
}

func TestAppend(t *testing.T) {
	e := new(Encoder)
	_, d := general(t)
	for shape := range shapes {
		for _, n := range []int{0, 1, 2, 3, 10, 100, 255, 256, 257, 500, 2500, 10_000, 16384, 16385, 40_000} {
			for _, prefix := range []int{0, 7, 313, 5000, 140_000} {
				if prefix > blockBytes && n != 500 {
					continue
				}
				src := append(bytes.Repeat([]byte{6, 7}, prefix)[:prefix], column(uint64(n), shape, n)...)
				out := e.Append([]byte("before"), src, prefix)
				got, err := d.DecodeAll(out[len("before"):], nil)
				if err != nil || !bytes.Equal(got, src) {
					t.Fatalf("%s, %d numbers behind %d bytes: %v", shapes[shape].name, n, prefix, err)
				}
			}
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("numbers"), uint16(3), uint8(1))
	f.Add(column(1, 7, 300), uint16(5000), uint8(4))
	for shape := range shapes {
		f.Add(column(1, shape, 300), uint16(7), uint8(40))
	}
	_, d := general(f)
	e := new(Encoder)
	f.Fuzz(func(t *testing.T, src []byte, first uint16, times uint8) {
		src = bytes.Repeat(src, int(times))
		at := min(int(first), len(src))
		src = src[:at+(len(src)-at)/8*8]
		got, err := d.DecodeAll(e.Append(nil, src, at), nil)
		if err != nil || !bytes.Equal(got, src) {
			t.Fatalf("%d bytes: %v", len(src), err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	other, _ := general(b)
	for shape := range shapes {
		for _, n := range []int{2500, 10_000} {
			src, e := column(1, shape, n), new(Encoder)
			var out []byte
			for name, compress := range map[string]func(){
				"words":   func() { out = e.Append(out[:0], src, 0) },
				"general": func() { out = other.EncodeAll(src, out[:0]) },
				"snappy":  func() { out = s2.EncodeSnappy(out[:cap(out)], src) },
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", shapes[shape].name, n, name), func(b *testing.B) {
					for b.Loop() {
						compress()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
					b.ReportMetric(float64(len(out))/float64(n), "B/value")
				})
			}
		}
	}
}
