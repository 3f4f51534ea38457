package packed

import "encoding/binary"

// Values gives the values of a Double or Int64 column, 8 bytes each, little endian; of a Bool
// column a bit each, those behind the last one zero. They are those of the rows that are not
// null, and views into the message.
func (c *Column) Values() []byte { return c.values }

// Present gives a bitmap of the rows that are not null, nil if none is or all are. Bits
// behind the last row are zero.
func (c *Column) Present() []uint64 { return c.present }

// Texts calls yield with the values of a String or JSON column, which are views into the
// message.
func (c *Column) Texts(yield func([]byte)) {
	start := uint32(0)
	for ends := c.values; len(ends) >= endBytes; ends = ends[endBytes:] {
		end := binary.LittleEndian.Uint32(ends)
		yield(c.text[start:end:end])
		start = end
	}
}
