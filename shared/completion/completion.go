// Package completion holds sets of cells: which are asked for, which are committed, which
// have failed. A cell costs one bit, a sample some forty bytes, however many sets there are.
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
	ordinal map[sample.Key]uint32
	keys    []sample.Key

	// The numbers of the keys of the part looked at last: a part is looked at once for each
	// of its families, and finding a sample is what that costs.
	part    *dataset.Part
	numbers []uint32
}

// unknown stands for the number of a sample that was not seen.
const unknown = ^uint32(0)

// NewSamples gives an empty numbering.
func NewSamples() *Samples { return &Samples{ordinal: map[sample.Key]uint32{}} }

// Add gives the number of a sample, a new one if it was not seen before.
func (s *Samples) Add(k sample.Key) uint32 {
	n, ok := s.ordinal[k]
	if !ok {
		n = s.add(k)
		s.part = nil // it may hold the sample
	}
	return n
}

func (s *Samples) add(k sample.Key) uint32 {
	n := uint32(len(s.keys))
	s.ordinal[k] = n
	s.keys = append(s.keys, k)
	return n
}

// Find gives the number of a sample that was seen.
func (s *Samples) Find(k sample.Key) (uint32, bool) {
	n, ok := s.ordinal[k]
	return n, ok
}

// of gives the numbers of a part's keys, unknown for those not seen.
func (s *Samples) of(p *dataset.Part) []uint32 {
	if s.part == p {
		return s.numbers
	}
	s.part, s.numbers = p, slices.Grow(s.numbers[:0], len(p.Keys))
	for _, k := range p.Keys {
		n, ok := s.ordinal[k]
		if !ok {
			n = unknown
		}
		s.numbers = append(s.numbers, n)
	}
	return s.numbers
}

// Key gives the sample with a number.
func (s *Samples) Key(n uint32) sample.Key { return s.keys[n] }

// Keys gives all samples in the order of their numbers. The slice is not to be changed.
func (s *Samples) Keys() []sample.Key { return s.keys }

// Len counts the samples.
func (s *Samples) Len() int { return len(s.keys) }

// Cells is a set of cells over numbered samples.
type Cells struct{ families map[string]dataset.Bitmap }

// NewCells gives an empty set.
func NewCells() *Cells { return &Cells{families: map[string]dataset.Bitmap{}} }

// Add puts a cell into the set and tells whether it was not in it.
func (c *Cells) Add(family string, n uint32) bool {
	b := c.families[family]
	if need := int(n)/64 + 1; need > len(b) {
		b = append(b, make(dataset.Bitmap, need-len(b))...)
		c.families[family] = b
	}
	if b.Has(int(n)) {
		return false
	}
	b.Add(int(n))
	return true
}

// Remove takes a cell out of the set.
func (c *Cells) Remove(family string, n uint32) {
	if b := c.families[family]; b.Has(int(n)) {
		b[n/64] &^= 1 << (n % 64)
	}
}

// Has tells whether a cell is in the set.
func (c *Cells) Has(family string, n uint32) bool { return c.families[family].Has(int(n)) }

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
		if len(b) > len(any) {
			any = append(any, make(dataset.Bitmap, len(b)-len(any))...)
		}
		for i, w := range b {
			any[i] |= w
		}
	}
	return int64(any.Count())
}

// CountOf counts the cells of a family.
func (c *Cells) CountOf(family string) int64 { return int64(c.families[family].Count()) }

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
func (c *Cells) Bitmap(family string) dataset.Bitmap { return c.families[family] }

// Without gives the cells that are in none of the other sets.
func (c *Cells) Without(others ...*Cells) *Cells {
	rest := NewCells()
	for f, b := range c.families {
		left := slices.Clone(b)
		for _, o := range others {
			for i, w := range o.families[f] {
				if i < len(left) {
					left[i] &^= w
				}
			}
		}
		rest.families[f] = left
	}
	return rest
}

// And gives the cells that are in both sets.
func (c *Cells) And(other *Cells) *Cells {
	both := NewCells()
	for f, b := range c.families {
		o := other.families[f]
		shared := make(dataset.Bitmap, min(len(b), len(o)))
		for i := range shared {
			shared[i] = b[i] & o[i]
		}
		both.families[f] = shared
	}
	return both
}

// All yields every cell as family and sample number, family by family.
func (c *Cells) All() iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for _, f := range c.Families() {
			for i, w := range c.families[f] {
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
	have := c.families[f.Family]
	if have == nil {
		return nil
	}
	var both dataset.Bitmap
	for i, n := range s.of(p) {
		if n != unknown && f.Rows.Has(i) && have.Has(int(n)) {
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
	numbers := s.of(p)
	for i := range numbers {
		if !f.Rows.Has(i) {
			continue
		}
		if numbers[i] == unknown {
			numbers[i] = s.add(p.Keys[i])
		}
		c.Add(f.Family, numbers[i])
	}
}

// RemovePart takes the cells of a part's family out of the set.
func (c *Cells) RemovePart(s *Samples, p *dataset.Part, f *dataset.FamilyPart) {
	for i, n := range s.of(p) {
		if n != unknown && f.Rows.Has(i) {
			c.Remove(f.Family, n)
		}
	}
}
