package orchestrator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/service"
)

// BenchmarkMergeGroup merges a group of six families on disk, of eight files of 4,000 rows of
// 60 doubles each: the files are read and checked, the merged ones written and synced, and the
// completion index of all of them is made. An operation is the group. The swaps, which come
// one after the other in any case, are left out, so that the dataset is the same for the next
// one.
func BenchmarkMergeGroup(b *testing.B) {
	const parts, rows, features = 8, 4000, 60
	families := []string{"a", "b", "c", "d", "e", "f"}
	w := newWorld(b, parts*rows, families...)
	l := w.newcomer(nil)
	w.must(l.openAgain(false))
	pen, values := l.newPen(nil), doubles(features)
	for part := range parts {
		all := cells{}
		for _, f := range families {
			for i := range rows {
				all[f] = append(all[f], part*rows+i)
			}
		}
		w.must(pen.writeAs(all, values))
	}
	final, err := l.settleTypes(w.ctx())
	w.must(err)
	groups := planMerges(l.liveFiles(), l.file.Output.FileBytes, parts)
	if len(groups) != 1 || len(groups[0]) != len(families) {
		b.Fatalf("%d groups are planned, want one of all families", len(groups))
	}
	size := int64(0)
	for _, files := range groups[0] {
		for i := range files {
			size += files[i].Bytes
		}
	}
	for _, n := range []int{1, mergesAtOnce} {
		b.Run(fmt.Sprintf("%d at a time", n), func(b *testing.B) {
			l.s.mergesAtOnce = n
			b.SetBytes(size)
			for b.Loop() {
				m := merging{j: l.job, group: groups[0], part: mergedPart + service.NewInstance(), final: final, written: func() {}}
				if _, err := m.stage(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				w.must(l.store.RemoveIndex(w.ctx(), dataset.IndexName(l.rec.Epoch, m.part)))
				w.must(l.store.Unstage(w.ctx(), l.rec.Epoch, l.rec.Token, m.part))
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(parts*rows*features*len(families)), "ns/value")
		})
	}
}

// doubles gives so many features, fractions of four digits.
func doubles(features int) value {
	random, names := rand.New(rand.NewPCG(1, 2)), make([][]byte, features)
	for i := range names {
		names[i] = fmt.Appendf(nil, "feature_%02d", i)
	}
	return func(b *packed.Block, _ string, _ int) {
		for _, name := range names {
			b.Double(name, math.Round(random.Float64()*1e4)/1e4)
		}
	}
}
