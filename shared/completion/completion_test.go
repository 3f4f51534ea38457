package completion_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

func keyOf(n int) (k sample.Key) {
	binary.LittleEndian.PutUint64(k[:], uint64(n)*0x9E3779B97F4A7C15)
	return k
}

// model is a set of cells in the plainest form.
type model map[string]bool

func cellOf(family string, n int) string { return fmt.Sprintf("%s/%d", family, n) }

// pair is a set and its model.
type pair struct {
	cells *completion.Cells
	model model
}

const (
	modelSamples  = 150
	modelFamilies = 3
)

// check compares everything that a set tells with the model.
func (p *pair) check(t *testing.T, what string) {
	t.Helper()
	if n := p.cells.Count(); n != int64(len(p.model)) {
		t.Fatalf("%s: %d cells, want %d", what, n, len(p.model))
	}
	perFamily, samples := map[string]int64{}, map[int]bool{}
	for f := range modelFamilies {
		family := fmt.Sprint("f", f)
		for n := range modelSamples {
			want := p.model[cellOf(family, n)]
			if got := p.cells.Has(family, uint32(n)); got != want {
				t.Fatalf("%s: cell %s %d is in the set: %v, want %v", what, family, n, got, want)
			}
			if want {
				perFamily[family]++
				samples[n] = true
			}
		}
		if n := p.cells.CountOf(family); n != perFamily[family] {
			t.Fatalf("%s: %d cells of %s, want %d", what, n, family, perFamily[family])
		}
	}
	if n := p.cells.Samples(); n != int64(len(samples)) {
		t.Fatalf("%s: %d samples, want %d", what, n, len(samples))
	}
	if got, want := p.cells.Families(), slices.Sorted(maps.Keys(perFamily)); !slices.Equal(got, want) {
		t.Fatalf("%s: families %v, want %v", what, got, want)
	}
	all := model{}
	for f, n := range p.cells.All() {
		all[cellOf(f, int(n))] = true
	}
	if !maps.Equal(all, p.model) {
		t.Fatalf("%s: yields %v, want %v", what, all, p.model)
	}
}

// part gives a random part, its samples among those of the model.
func part(rnd *rand.Rand) *dataset.Part {
	p := &dataset.Part{}
	for _, n := range rnd.Perm(modelSamples)[:rnd.IntN(80)+1] {
		p.Keys = append(p.Keys, keyOf(n))
	}
	for f := range modelFamilies {
		rows := dataset.NewBitmap(len(p.Keys))
		for i := range p.Keys {
			if rnd.IntN(3) == 0 {
				rows.Add(i)
			}
		}
		p.Families = append(p.Families, dataset.FamilyPart{Family: fmt.Sprint("f", f), Rows: rows})
	}
	return p
}

func TestCellsAgainstAModel(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		samples := completion.NewSamples()
		number := map[sample.Key]int{}
		numberOf := func(k sample.Key) int { // in the order of the model, as seen first
			if _, ok := number[k]; !ok {
				number[k] = len(number)
			}
			return number[k]
		}
		a := &pair{completion.NewCells(), model{}}
		b := &pair{completion.NewCells(), model{}}
		for step := range 40 {
			p := a
			if rnd.IntN(2) == 0 {
				p = b
			}
			family, n := fmt.Sprint("f", rnd.IntN(modelFamilies)), rnd.IntN(modelSamples)
			what := fmt.Sprintf("seed %d, step %d", seed, step)
			switch rnd.IntN(5) {
			case 0:
				if fresh := p.cells.Add(family, uint32(n)); fresh == p.model[cellOf(family, n)] {
					t.Fatalf("%s: adding a cell says it was new: %v", what, fresh)
				}
				p.model[cellOf(family, n)] = true
			case 1:
				p.cells.Remove(family, uint32(n))
				delete(p.model, cellOf(family, n))
			case 2:
				k := keyOf(n)
				if got, want := samples.Add(k), numberOf(k); int(got) != want {
					t.Fatalf("%s: the sample has number %d, want %d", what, got, want)
				}
			default:
				q := part(rnd)
				overlap := func(f *dataset.FamilyPart) {
					both := p.cells.Overlap(samples, q, f)
					for i, k := range q.Keys {
						known, seen := number[k]
						want := seen && f.Rows.Has(i) && p.model[cellOf(f.Family, known)]
						if both.Has(i) != want {
							t.Fatalf("%s: key %d of %s overlaps: %v, want %v", what, i, f.Family, both.Has(i), want)
						}
					}
				}
				for i := range q.Families {
					f := &q.Families[i]
					overlap(f)
					if rnd.IntN(4) == 0 { // a sample of the part is seen elsewhere meanwhile
						k := q.Keys[rnd.IntN(len(q.Keys))]
						n := int(samples.Add(k))
						if n != numberOf(k) {
							t.Fatalf("%s: the sample has number %d", what, n)
						}
						p.cells.Add(f.Family, uint32(n))
						p.model[cellOf(f.Family, n)] = true
						overlap(f)
					}
					if rnd.IntN(3) == 0 {
						p.cells.RemovePart(samples, q, f)
						for i, k := range q.Keys {
							if n, ok := number[k]; ok && f.Rows.Has(i) {
								delete(p.model, cellOf(f.Family, n))
							}
						}
						continue
					}
					p.cells.AddPart(samples, q, f)
					for i, k := range q.Keys {
						if f.Rows.Has(i) {
							p.model[cellOf(f.Family, numberOf(k))] = true
						}
					}
				}
			}
			p.check(t, what)
		}
		without := &pair{a.cells.Without(b.cells, completion.NewCells()), model{}}
		and := &pair{a.cells.And(b.cells), model{}}
		for cell := range a.model {
			if b.model[cell] {
				and.model[cell] = true
			} else {
				without.model[cell] = true
			}
		}
		without.check(t, "a without b")
		and.check(t, "a and b")
		without.cells.Add("f0", 0)
		a.check(t, "a afterwards")
		for k, want := range number {
			if n, ok := samples.Find(k); !ok || int(n) != want || samples.Key(n) != k || samples.Keys()[n] != k {
				t.Fatalf("seed %d: sample %s has number %d (%v), want %d", seed, k, n, ok, want)
			}
		}
		if samples.Len() != len(number) {
			t.Fatalf("seed %d: %d samples, want %d", seed, samples.Len(), len(number))
		}
	}
}

// The sizes of a large job.
const (
	jobSamples  = 1_000_000
	jobFamilies = 50
)

func full() *completion.Cells {
	c := completion.NewCells()
	for f := range jobFamilies {
		family := fmt.Sprint("family_", f)
		for n := range uint32(jobSamples) {
			c.Add(family, n)
		}
	}
	return c
}

func BenchmarkWithout50MCells(b *testing.B) {
	requested, committed, failed := full(), full(), completion.NewCells()
	committed.Remove("family_7", 123456)
	failed.Add("family_8", 7)
	for b.Loop() {
		if n := requested.Without(committed, failed).Count(); n != 1 {
			b.Fatalf("%d cells are missing, want 1", n)
		}
	}
}

// BenchmarkAddPart is a part of 20,000 samples and 50 families, checked and added.
func BenchmarkAddPart(b *testing.B) {
	const keys = 20_000
	p := &dataset.Part{}
	for n := range keys {
		p.Keys = append(p.Keys, keyOf(n))
	}
	for f := range jobFamilies {
		rows := dataset.NewBitmap(keys)
		for i := range keys {
			rows.Add(i)
		}
		p.Families = append(p.Families, dataset.FamilyPart{Family: fmt.Sprint("family_", f), Rows: rows})
	}
	for b.Loop() {
		samples, cells := completion.NewSamples(), completion.NewCells()
		for range 2 {
			for i := range p.Families {
				f := &p.Families[i]
				cells.Overlap(samples, p, f)
				cells.AddPart(samples, p, f)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*keys*jobFamilies), "ns/cell")
}
