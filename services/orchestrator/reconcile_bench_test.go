package orchestrator

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// BenchmarkReconcile makes the proof of a run, from the reading of the completion indexes and
// of the input in the broker to the comparison, all in one: an operation is a run of 50
// families. FFF_BENCH_SAMPLES=1000000 makes it 50 million cells.
func BenchmarkReconcile(b *testing.B) {
	samples, err := strconv.Atoi(os.Getenv("FFF_BENCH_SAMPLES"))
	if err != nil {
		samples = 100_000
	}
	const batch, part, families = 500, 1000, 50
	var ids []string
	for i := range families {
		ids = append(ids, fmt.Sprintf("family_%02d", i))
	}
	w := newWorld(b, samples, ids...)
	l := w.newcomer(nil)
	w.must(l.openAgain(false))
	for first := 0; first < samples; first += batch {
		data := []byte(`{"records":[`)
		for i := range min(batch, samples-first) {
			if i > 0 {
				data = append(data, ',')
			}
			data = record.AppendJSON(data, &record.Record{UserID: user(first + i), EpochMS: testMS})
		}
		w.b.Publish("fff.ingest."+w.run, append(data, "]}"...))
	}
	w.await(l, "the run takes its input", func() bool {
		if !l.restored {
			return false
		}
		_, err := l.s.closeInput(w.ctx(), l.job, &broker.Request{Data: fmt.Appendf(nil, `{"records":%d}`, samples)})
		w.must(err)
		return l.rec.Input.Sealed
	})
	columns := make([]dataset.Column, 60)
	for i := range columns {
		columns[i].Feature = fmt.Sprintf("feature_%02d", i)
		columns[i].Name = columns[i].Feature
	}
	for first := 0; first < samples; first += part {
		n := min(part, samples-first)
		p := &dataset.Part{Run: w.run, Epoch: l.rec.Epoch, Name: fmt.Sprintf("w%d", first)}
		for i := range n {
			p.Keys = append(p.Keys, sample.KeyOf(user(first+i), testMS))
		}
		rows := dataset.NewBitmap(n)
		for i := range n {
			rows.Add(i)
		}
		for _, id := range ids {
			p.Families = append(p.Families, dataset.FamilyPart{Family: id, Rows: rows, File: dataset.File{
				Name: dataset.PartFile(p.Epoch, p.Name), Rows: int64(n), Bytes: 1, Checksum: dataset.Sum(nil), Columns: columns,
			}})
		}
		w.must(w.disk().PutIndex(w.ctx(), dataset.IndexName(p.Epoch, p.Name), dataset.EncodePart(p)))
		w.must(l.decide(w.ctx(), &commitlog.Staged{Epoch: p.Epoch, Part: p.Name, Files: commitlog.FilesOf(p)}))
	}
	b.ReportAllocs()
	var held int64
	for b.Loop() {
		l.forget()
		before := inUse()
		w.must(l.load(w.ctx()))
		proof, err := l.reconcile(w.ctx())
		w.must(err)
		if proof.requested.Count() != int64(samples*families) || proof.missing.Count() != 0 {
			b.Fatalf("%d cells are requested, %d missing", proof.requested.Count(), proof.missing.Count())
		}
		held = inUse() - before
		runtime.KeepAlive(proof)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(samples*families), "ns/cell")
	b.ReportMetric(float64(held)/float64(samples), "held-B/sample")
}

// inUse is what is left of the heap behind a collection.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
