// Package completion holds sets of cells: which are asked for, which are committed, which
// have failed. A sample costs its number (see sample.Numbers), a cell one bit in each set.
package completion

import (
	"iter"
	"math/bits"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// Samples numbers samples in the order in which they are first seen.
type Samples struct {
	sample.Numbers

	// The numbers of the keys of the part looked at last: a part is looked at once for each
	// of its families, and finding a sample is what that costs.
	part    *dataset.Part
	numbers []uint32
	seen    int // samples that had a number by then
}

// unknown stands for the number of a sample that was not seen.
const unknown = ^uint32(0)

// NewSamples gives an empty numbering.
func NewSamples() *Samples { return &Samples{} }

// of gives the numbers of a part's keys, unknown for those not seen.
func (s *Samples) of(p *dataset.Part) []uint32 {
	if s.part == p && s.seen == s.Len() {
		return s.numbers
	}
	s.part, s.numbers, s.seen = p, slices.Grow(s.numbers[:0], len(p.Keys)), s.Len()
	for _, k := range p.Keys {
		n, ok := s.Find(k)
		if !ok {
			n = unknown
		}
		s.numbers = append(s.numbers, n)
	}
	return s.numbers
}

// Cells is a set of cells over numbered samples.
type Cells struct {
	families map[string]*dataset.Bitmap

	// The sets of the families that were added to last: most samples ask for the same.
	last []string
	sets []*dataset.Bitmap
}

// NewCells gives an empty set.
func NewCells() *Cells { return &Cells{families: map[string]*dataset.Bitmap{}} }

// family gives the samples of a family, to be added to.
func (c *Cells) family(id string) *dataset.Bitmap {
	b := c.families[id]
	if b == nil {
		b = new(dataset.Bitmap)
		c.families[id] = b
	}
	return b
}

// reach makes room for a number in a set.
func reach(b *dataset.Bitmap, n uint32) {
	if need := int(n)/64 + 1; need > len(*b) {
		*b = append(*b, make(dataset.Bitmap, need-len(*b))...)
	}
}

// Add puts a cell into the set and tells whether it was not in it.
func (c *Cells) Add(family string, n uint32) bool {
	b := c.family(family)
	if b.Has(int(n)) {
		return false
	}
	reach(b, n)
	b.Add(int(n))
	return true
}

// AddSample puts a sample's cells of some families into the set.
func (c *Cells) AddSample(families []string, n uint32) {
	if !slices.Equal(families, c.last) {
		c.last, c.sets = families, c.sets[:0]
		for _, f := range families {
			c.sets = append(c.sets, c.family(f))
		}
	}
	for _, b := range c.sets {
		reach(b, n)
		b.Add(int(n))
	}
}

// Remove takes a cell out of the set.
func (c *Cells) Remove(family string, n uint32) {
	if b := c.Bitmap(family); b.Has(int(n)) {
		b[n/64] &^= 1 << (n % 64)
	}
}

// Has tells whether a cell is in the set.
func (c *Cells) Has(family string, n uint32) bool { return c.Bitmap(family).Has(int(n)) }

// Count counts the cells.
func (c *Cells) Count() int64 {
	var n int64
	for _, b := range c.families {
		n += int64(b.Count())
	}
	return n
}

// Samples counts the samples that have a cell in the set.
func (c *Cells) Samples() int64 {
	var any dataset.Bitmap
	for _, b := range c.families {
		if len(*b) > len(any) {
			any = append(any, make(dataset.Bitmap, len(*b)-len(any))...)
		}
		for i, w := range *b {
			any[i] |= w
		}
	}
	return int64(any.Count())
}

// CountOf counts the cells of a family.
func (c *Cells) CountOf(family string) int64 { return int64(c.Bitmap(family).Count()) }

// Families gives the families that have cells, sorted.
func (c *Cells) Families() []string {
	var all []string
	for f, b := range c.families {
		if b.Count() > 0 {
			all = append(all, f)
		}
	}
	slices.Sort(all)
	return all
}

// Bitmap gives the numbers of a family's samples. It is not to be changed.
func (c *Cells) Bitmap(family string) dataset.Bitmap {
	if b := c.families[family]; b != nil {
		return *b
	}
	return nil
}

// Without gives the cells that are in none of the other sets.
func (c *Cells) Without(others ...*Cells) *Cells {
	rest := NewCells()
	for f, b := range c.families {
		var left dataset.Bitmap // nil while there is none: most often nothing is left
		for i, w := range *b {
			for _, o := range others {
				if of := o.Bitmap(f); i < len(of) {
					w &^= of[i]
				}
			}
			if w == 0 {
				continue
			}
			if left == nil {
				left = make(dataset.Bitmap, len(*b))
			}
			left[i] = w
		}
		if left != nil {
			rest.families[f] = &left
		}
	}
	return rest
}

// And gives the cells that are in both sets.
func (c *Cells) And(other *Cells) *Cells {
	both := NewCells()
	for f, b := range c.families {
		o := other.Bitmap(f)
		shared := make(dataset.Bitmap, min(len(*b), len(o)))
		for i := range shared {
			shared[i] = (*b)[i] & o[i]
		}
		both.families[f] = &shared
	}
	return both
}

// All yields every cell as family and sample number, family by family.
func (c *Cells) All() iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for _, f := range c.Families() {
			for i, w := range c.Bitmap(f) {
				for ; w != 0; w &= w - 1 {
					if !yield(f, uint32(i*64+bits.TrailingZeros64(w))) {
						return
					}
				}
			}
		}
	}
}

// Overlap gives, of the cells of a part's family, those that are in the set, as a bitmap
// over the part's keys; nil if there are none.
func (c *Cells) Overlap(s *Samples, p *dataset.Part, f *dataset.FamilyPart) dataset.Bitmap {
	have := c.Bitmap(f.Family)
	if have == nil {
		return nil
	}
	var both dataset.Bitmap
	for i, n := range s.of(p) {
		if n != unknown && have.Has(int(n)) && f.Rows.Has(i) {
			if both == nil {
				both = dataset.NewBitmap(len(p.Keys))
			}
			both.Add(i)
		}
	}
	return both
}

// AddPart puts the cells of a part's family into the set.
func (c *Cells) AddPart(s *Samples, p *dataset.Part, f *dataset.FamilyPart) {
	numbers, b := s.of(p), c.family(f.Family)
	for i, n := range numbers {
		if !f.Rows.Has(i) {
			continue
		}
		if n == unknown {
			n = s.Add(p.Keys[i])
			numbers[i] = n
		}
		reach(b, n)
		b.Add(int(n))
	}
	s.seen = s.Len() // a key stands in a part once
}

// RemovePart takes the cells of a part's family out of the set.
func (c *Cells) RemovePart(s *Samples, p *dataset.Part, f *dataset.FamilyPart) {
	for i, n := range s.of(p) {
		if n != unknown && f.Rows.Has(i) {
			c.Remove(f.Family, n)
		}
	}
}
