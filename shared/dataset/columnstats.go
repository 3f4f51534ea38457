package dataset

import (
	"bytes"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// ColumnStats tells what stands in a column of one file, as far as it says whether the data
// is in order. It is counted while the file is written, and travels in the completion index.
type ColumnStats struct {
	Absent    int64   // rows that came without the feature: its name was in no row of their block
	Null      int64   // rows that are null, those of Absent included
	NotFinite int64   // values that are NaN or infinite
	Kinds     KindSet // of the values as they came, before the column was widened
	Varied    bool    // there are two values that differ
	Same      uint64  // hash of the value, unless Varied or all rows are null; never 0 then
}

// KindSet is a set of kinds of values.
type KindSet uint8

// Has tells whether a kind is in the set.
func (s KindSet) Has(k packed.Kind) bool { return s>>k&1 != 0 }

func (s *KindSet) add(k packed.Kind) { *s |= 1 << k }

// columnCounter counts the statistics of a column, block after block.
type columnCounter struct {
	ColumnStats
	text []byte // of the value that is hashed
}

// absent takes in rows of a block that does not have the feature.
func (s *columnCounter) absent(rows int) {
	s.Absent += int64(rows)
	s.Null += int64(rows)
}

// add takes in rows of a block's column. It costs little: mostly all rows of a block are
// taken, whose nulls are counted already, and a column whose values differ is known for one
// after its first rows.
func (s *columnCounter) add(c *packed.Column, p *pick) {
	first := 0
	if p.whole {
		s.Null += int64(len(p.rows) - c.Count())
		s.NotFinite += int64(c.NotFinite())
	} else {
		s.addSome(c, p.rows)
	}
	if !p.whole || c.HasNulls() {
		first = slices.IndexFunc(p.rows, func(row uint32) bool { return !c.IsNull(int(row)) })
		if first < 0 {
			return
		}
	}
	s.Kinds.add(c.Kind)
	if !s.Varied {
		s.vary(c, p.rows[first:])
	}
}

// addSome counts nulls, and NaN and infinities, of some rows of a block.
func (s *columnCounter) addSome(c *packed.Column, rows []uint32) {
	for _, row := range rows {
		switch {
		case c.IsNull(int(row)):
			s.Null++
		case c.Kind == packed.Double:
			if v := c.Double(int(row)); math.IsNaN(v) || math.IsInf(v, 0) {
				s.NotFinite++
			}
		}
	}
}

// vary looks for a value that differs from those before. The first row has one.
func (s *columnCounter) vary(c *packed.Column, rows []uint32) {
	first := int(rows[0])
	for _, row := range rows {
		if !c.IsNull(int(row)) && !sameValue(c, first, int(row)) {
			s.Varied, s.Same = true, 0
			return
		}
	}
	s.text = c.Text(s.text[:0], first)
	switch same := xxh3.Hash(s.text) | 1; s.Same {
	case 0, same:
		s.Same = same
	default:
		s.Varied, s.Same = true, 0
	}
}

// sameValue compares two values of a column, neither of them null.
func sameValue(c *packed.Column, a, b int) bool {
	switch c.Kind {
	case packed.Double:
		return math.Float64bits(c.Double(a)) == math.Float64bits(c.Double(b))
	case packed.Int64:
		return c.Int64(a) == c.Int64(b)
	case packed.Bool:
		return c.Bool(a) == c.Bool(b)
	default:
		return bytes.Equal(c.Bytes(a), c.Bytes(b))
	}
}
