package answer_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/answer"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const benchItems, benchFeatures = 100, 60

// benchAnswer is an answer of 100 items with 60 doubles each.
func benchAnswer(layout runfile.Layout, families int, short bool) string {
	r := rand.New(rand.NewPCG(1, 2))
	var items []string
	for i := range benchItems {
		var values []string
		for f := range benchFeatures {
			number := strconv.FormatFloat(r.Float64()*1000, 'g', 14, 64)
			if short { // fine, coarse, and counts
				switch f % 3 {
				case 0:
					number = fmt.Sprintf("0.%06d", r.IntN(1e6)|1)
				case 1:
					number = fmt.Sprintf("0.%04d", r.IntN(1e4)|1)
				default:
					number = fmt.Sprintf("1%04d", r.IntN(1e4))
				}
			}
			if layout == runfile.LayoutJSON {
				values = append(values, fmt.Sprintf(`\"feature_%02d\":%s`, f, number))
			} else {
				values = append(values, fmt.Sprintf(`"feature_%02d":{"N":"%s"}`, f, number))
			}
		}
		features := strings.Join(values, ",")
		switch layout {
		case runfile.LayoutMap:
			features = `"features":{"M":{` + features + `}}`
		case runfile.LayoutJSON:
			features = `"features":{"S":"{` + features + `}"}`
		}
		items = append(items, "{"+key(fmt.Sprint("u", i/families), fmt.Sprint("f", i%families))+","+features+"}")
	}
	return responses(items...)
}

func BenchmarkScan(b *testing.B) {
	for _, bench := range []struct {
		name     string
		layout   runfile.Layout
		families int
		short    bool
	}{
		{"attributes", runfile.LayoutAttributes, 1, false},
		{"short attributes", runfile.LayoutAttributes, 1, true},
		{"attributes of 4 families", runfile.LayoutAttributes, 4, false},
		{"map", runfile.LayoutMap, 1, false},
		{"json", runfile.LayoutJSON, 1, false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var users []string
			for i := range benchItems / bench.families {
				users = append(users, fmt.Sprint("u", i))
			}
			l := newLookUp(b, runFile(b, bench.families, bench.layout), users...)
			body := []byte(benchAnswer(bench.layout, bench.families, bench.short))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var result answer.Result
			emit := func(fn func(*packed.Builder) error) error { return fn(l.builder) }
			for b.Loop() {
				l.builder.Reset()
				for i := range l.plan.Cells {
					l.plan.Cells[i].State = 0
				}
				if err := l.scanner.Scan(body, l.plan, 0, l.plan.Calls[0].Keys, now, emit, &result); err != nil {
					b.Fatal(err)
				}
			}
			if l.builder.Rows() != benchItems {
				b.Fatalf("%d rows", l.builder.Rows())
			}
			perCell := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / benchItems
			b.ReportMetric(perCell/benchFeatures, "ns/value")
			b.ReportMetric(perCell/1000, "µs/family")
		})
	}
}
