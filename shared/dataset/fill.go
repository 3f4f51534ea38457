package dataset

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// filler writes rows of blocks' columns into columns of a file.
type filler struct {
	to      packed.Kind // physical
	feature string

	values []byte // numbers that are gathered
	text   []byte
	mask   []uint64
}

// times writes the column of points in time.
func (f *filler) times(out *pages.Chunk, p *pick) error {
	f.values = f.values[:0]
	for _, row := range p.rows {
		ms := p.msg.Samples[p.block.SampleOf[row]].EpochMS
		if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
			return fmt.Errorf("pitc_timestamp of %d ms is out of the range of microseconds", ms)
		}
		f.values = binary.LittleEndian.AppendUint64(f.values, uint64(ms*1000))
	}
	out.Numbers(f.values)
	out.Rows(len(p.rows))
	return nil
}

// fill writes a pick's rows of a block's column.
func (f *filler) fill(out *pages.Chunk, c *packed.Column, p *pick) error {
	switch {
	case c.Count() == 0:
		out.Nulls(len(p.rows))
		return nil
	case p.whole && physical(c.Kind) == f.to:
		f.copy(out, c, len(p.rows))
		return nil
	}
	return f.gather(out, c, p.rows)
}

// copy writes all rows of a column that has the file's type.
func (f *filler) copy(out *pages.Chunk, c *packed.Column, rows int) {
	switch f.to {
	case packed.String:
		c.Texts(out.Text)
	case packed.Bool:
		out.Bits(c.Values(), c.Count())
	default:
		out.Numbers(c.Values())
	}
	if present := c.Present(); present != nil {
		out.Mask(present, rows, rows-c.Count())
	} else {
		out.Rows(rows)
	}
}

// gather writes rows one by one, in the type of the file.
func (f *filler) gather(out *pages.Chunk, c *packed.Column, rows []uint32) error {
	f.values = f.values[:0]
	f.mask = append(f.mask[:0], make([]uint64, (len(rows)+63)/64)...)
	null := 0
	for i, row := range rows {
		if c.IsNull(int(row)) {
			null++
			continue
		}
		f.mask[i/64] |= 1 << (i % 64)
		if !f.value(out, c, int(row)) {
			return fmt.Errorf("feature %q: the value %q is no %s", f.feature, c.Text(nil, int(row)), f.to)
		}
	}
	out.Numbers(f.values)
	out.Mask(f.mask, len(rows), null)
	return nil
}

// value writes a value that is not null, or gathers it if it is a number. It tells whether the
// value can be one of the file's type.
func (f *filler) value(out *pages.Chunk, c *packed.Column, row int) (ok bool) {
	switch f.to {
	case packed.String:
		f.text = c.Text(f.text[:0], row)
		out.Text(f.text)
		return true
	case packed.Bool:
		v, ok := asBool(c, row)
		out.Bit(v)
		return ok
	case packed.Int64:
		v, ok := asInt64(c, row)
		f.values = binary.LittleEndian.AppendUint64(f.values, uint64(v))
		return ok
	default:
		v, ok := asDouble(c, row)
		f.values = binary.LittleEndian.AppendUint64(f.values, math.Float64bits(v))
		return ok
	}
}
