package zstdwords

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// byteShapes are ways in which literals are unlike each other.
var byteShapes = map[string]func(r *rand.Rand) byte{
	"two":          func(r *rand.Rand) byte { return byte(r.IntN(2)) * 255 },
	"mostly one":   func(r *rand.Rand) byte { return byte(max(0, r.IntN(1000)-998)) },
	"text":         func(r *rand.Rand) byte { return "etaoin shrdlu"[int(math.Abs(r.NormFloat64())*4)%13] },
	"normal":       func(r *rand.Rand) byte { return byte(128 + r.NormFloat64()*20) },
	"powers":       func(r *rand.Rand) byte { return byte(r.ExpFloat64() / math.Ln2) }, // codes as wide as can be
	"rare ones":    func(r *rand.Rand) byte { return byte(max(0, r.IntN(5000)-4744)) }, // more than have a share
	"one of four":  func(r *rand.Rand) byte { return byte(r.IntN(256)) & -byte(r.IntN(4)/3) },
	"nearly noise": func(r *rand.Rand) byte { return byte(max(r.IntN(256), r.IntN(256))) },
	"high ones":    func(r *rand.Rand) byte { return byte(250 + r.IntN(6)*r.IntN(2)) },
}

// Bytes of every shape come back, and are no larger than what a code of theirs needs.
func TestLiterals(t *testing.T) {
	e := new(Encoder)
	_, d := general(t)
	for name, next := range byteShapes {
		for _, n := range []int{64, 65, 100, 255, 256, 257, 1000, 1023, 1024, 5000, 16383, 16384, 100_000} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(n), 1))
				src := make([]byte, n, n+n/8+64)
				for i := range src {
					src[i] = next(r)
				}
				least, most := bitsOf(src)
				h := &e.huffman
				if h.count(src) < n {
					size, room := h.measure(n), 0
					for _, w := range h.widths {
						if w > 0 {
							room += 1 << (maxCodeBits - w)
						}
					}
					if room != 1<<maxCodeBits || float64(size) > most || float64(size) < least {
						t.Errorf("%d bits, and codes for %d of %d; want %g to %g", size, room, 1<<maxCodeBits, least, most)
					}
				}
				src = append(src, make([]byte, (n/8+64)/8*8)...) // numbers, that the block be worth it
				got, err := d.DecodeAll(e.Append(nil, src, n), nil)
				if err != nil || !bytes.Equal(got, src) {
					t.Fatal(err)
				}
			})
		}
	}
}

// bitsOf gives the least bits that codes of single bytes can take, and a bound of what the
// best ones of whole bits, at most maxCodeBits each, may.
func bitsOf(src []byte) (least, most float64) {
	var counts [256]float64
	for _, b := range src {
		counts[b]++
	}
	n := float64(len(src))
	for _, c := range counts {
		if c > 0 {
			least += c * math.Log2(n/c)
			most += c * max(1, math.Ceil(math.Log2(n/c)))
		}
	}
	return least - 1e-6*n, most + n/16
}

func BenchmarkLiterals(b *testing.B) {
	for i, n := range []int{5000, 40_000, 5000} {
		shape := []string{"normal", "normal", "nearly noise"}[i]
		b.Run(fmt.Sprintf("%s/%d", shape, n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			e := new(Encoder)
			for range n {
				e.literals = append(e.literals, byteShapes[shape](r))
			}
			var out []byte
			for b.Loop() {
				out = e.appendLiterals(out[:0])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/byte")
			b.ReportMetric(float64(len(out))/float64(n), "B/byte")
		})
	}
}
