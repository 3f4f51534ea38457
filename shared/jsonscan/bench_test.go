package jsonscan_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

const (
	benchItems    = 100
	benchFeatures = 60
)

// items makes an answer of 100 items of 60 features. With typed, numbers stand in
// strings within an object, as DynamoDB writes them.
func items(typed bool) []byte {
	return itemsOf(typed, func(r *rand.Rand, _ int) string { return fmt.Sprintf("%.6f", r.Float64()*1000) })
}

// shortItems are items of short numbers: shares and counts.
func shortItems(typed bool) []byte {
	return itemsOf(typed, func(r *rand.Rand, i int) string {
		switch i % 3 {
		case 0:
			return fmt.Sprintf("%.6f", r.Float64())
		case 1:
			return fmt.Sprintf("%.4f", r.Float64())
		default:
			return fmt.Sprint(10000 + r.IntN(10000))
		}
	})
}

func itemsOf(typed bool, number func(r *rand.Rand, feature int) string) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	text := []byte(`{"items":[`)
	for i := range benchItems {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '{')
		for j := range benchFeatures {
			if j > 0 {
				text = append(text, ',')
			}
			form := `"feature_%03d":%s`
			if typed {
				form = `"feature_%03d":{"N":"%s"}`
			}
			text = fmt.Appendf(text, form, j, number(r, j))
		}
		text = append(text, '}')
	}
	return append(text, "]}"...)
}

func BenchmarkScan(b *testing.B) {
	for _, typed := range []bool{false, true} {
		b.Run(fmt.Sprintf("typed=%v", typed), func(b *testing.B) {
			data := items(typed)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			sum := 0.0
			for b.Loop() {
				s := jsonscan.New(data)
				s.Object()
				s.Next()
				s.Array()
				for s.Element() {
					s.Object()
					for _, more := s.Next(); more; _, more = s.Next() {
						sum += benchNumber(&s, typed)
					}
				}
				s.Next()
				if err := s.End(); err != nil {
					b.Fatal(err)
				}
			}
			reportValues(b)
		})
	}
}

func benchNumber(s *jsonscan.Scanner, typed bool) float64 {
	if !typed {
		n, _ := s.Number()
		return n.Float
	}
	s.Object()
	s.Next()
	lit, _ := s.String(nil)
	n, _ := jsonscan.ParseNumber(lit)
	s.Next()
	return n.Float
}

// BenchmarkScanGuessing reads as BenchmarkScan does, with the scanner's short cuts.
func BenchmarkScanGuessing(b *testing.B) {
	var names [benchFeatures + 1][]byte
	for i := range benchFeatures {
		names[i] = fmt.Appendf(nil, "feature_%03d", i)
	}
	for _, bench := range []struct {
		name  string
		items func(typed bool) []byte
		typed bool
	}{
		{"typed=false", items, false}, {"typed=true", items, true},
		{"short/typed=false", shortItems, false}, {"short/typed=true", shortItems, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			data := bench.items(bench.typed)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			sum := 0.0
			for b.Loop() {
				s := jsonscan.New(data)
				s.Object()
				s.Next()
				s.Array()
				for s.Element() {
					s.Object()
					i := 0
					for n, ok := s.TaggedMember(names[0], 'N'); ok; n, ok = s.TaggedMember(names[i], 'N') {
						i++
						sum += n.Float
					}
					for _, more := s.NextLike(names[i]); more; _, more = s.NextLike(names[i]) {
						i++
						n, _ := s.Number()
						sum += n.Float
					}
				}
				s.Next()
				if err := s.End(); err != nil {
					b.Fatal(err)
				}
			}
			reportValues(b)
		})
	}
}

func BenchmarkSkip(b *testing.B) {
	data := items(true)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		s := jsonscan.New(data)
		if _, err := s.Skip(); err != nil {
			b.Fatal(err)
		}
	}
	reportValues(b)
}

func reportValues(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchItems*benchFeatures), "ns/value")
}
