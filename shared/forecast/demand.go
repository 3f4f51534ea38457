// Package forecast says what a run will take before anything is touched: calls by stage,
// read units, bytes, time and money. It is arithmetic on the run file and the records; what
// it assumes beyond them is stated with the result.
package forecast

import (
	"slices"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/paged"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// maxKeysPerCall is DynamoDB's bound of a BatchGetItem call.
const maxKeysPerCall = 100

// BytesPerSample is what a sample takes in a Demand at the most.
const BytesPerSample = sample.BytesPerSample + 4

// Demand is what the records of a run ask for. Samples that are given more than once count
// once, with the union of their families.
type Demand struct {
	file    *runfile.File
	records int64

	shapes  []shape        // sets of families that samples ask for
	byName  map[string]int // index in shapes by the families' ids
	samples sample.Numbers
	shapeOf paged.List[uint32] // by sample
}

// shape is a set of families that some samples ask for.
type shape struct {
	families []string // in order
	tables   []tableKeys
	fast     lookups
	slow     lookups
}

// tableKeys is how many keys of a table a sample looks up.
type tableKeys struct {
	table string
	keys  int
}

// lookups are the families of a lane: those that are asked for only after a miss, and those
// that always are.
type lookups struct{ cached, direct int }

// NewDemand gives an empty demand for a run file.
func NewDemand(f *runfile.File) *Demand {
	return &Demand{file: f, byName: map[string]int{}}
}

// Add counts a record; nil families are all of the run's.
func (d *Demand) Add(userID string, epochMS int64, families []string) {
	d.records++
	if families == nil {
		families = d.file.FamilyIDs()
	}
	n, fresh := d.samples.Put(sample.KeyOf(userID, epochMS))
	if fresh {
		d.shapeOf.Append(uint32(d.shape(families)))
		return
	}
	of := d.shapeOf.At(int(n))
	*of = uint32(d.shape(slices.Concat(d.shapes[*of].families, families)))
}

// shape finds or makes the shape of some families.
func (d *Demand) shape(families []string) int {
	name := strings.Join(families, "\x00")
	if at, ok := d.byName[name]; ok {
		return at
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(families)))
	canonical := strings.Join(sorted, "\x00")
	at, ok := d.byName[canonical]
	if !ok {
		at = len(d.shapes)
		d.shapes = append(d.shapes, newShape(d.file, sorted))
		d.byName[canonical] = at
	}
	if len(d.byName) < maxNames {
		d.byName[name] = at
	}
	return at
}

// maxNames bounds the orders of families that are remembered besides the shapes.
const maxNames = 100_000

func newShape(f *runfile.File, families []string) shape {
	s := shape{families: families}
	for _, id := range families {
		family, ok := f.Family(id)
		if !ok {
			continue
		}
		lane := &s.fast
		if family.Lane == runfile.LaneSlow {
			lane = &s.slow
		}
		if !family.Cached {
			lane.direct++
			continue
		}
		lane.cached++
		table := f.TableOf(family)
		at := slices.IndexFunc(s.tables, func(t tableKeys) bool { return t.table == table })
		if at < 0 {
			at = len(s.tables)
			s.tables = append(s.tables, tableKeys{table: table})
		}
		s.tables[at].keys++
	}
	return s
}

// calls counts the calls to DynamoDB: samples travel in blocks, and keys of a block are
// packed by table.
func (d *Demand) calls() int64 {
	var calls int64
	block := map[string]int{}
	inBlock := 0
	flush := func() {
		for _, keys := range block {
			calls += int64((keys + maxKeysPerCall - 1) / maxKeysPerCall)
		}
		clear(block)
		inBlock = 0
	}
	for i := range d.shapeOf.Len() {
		s := &d.shapes[*d.shapeOf.At(i)]
		if len(s.tables) == 0 {
			continue
		}
		for _, t := range s.tables {
			block[t.table] += t.keys
		}
		if inBlock++; inBlock == work.MaxSamplesPerBlock {
			flush()
		}
	}
	flush()
	return calls
}

// counts gives how many samples have each shape.
func (d *Demand) counts() []int64 {
	counts := make([]int64, len(d.shapes))
	for i := range d.shapeOf.Len() {
		counts[*d.shapeOf.At(i)]++
	}
	return counts
}
