package pages

import (
	"encoding/binary"
	mathbits "math/bits"

	"github.com/parquet-go/parquet-go/format"
)

// pageBytes is what values take in a page that is full.
const pageBytes = 256 << 10

// Chunk is a column of a row group while it is written. Values are given first, then the rows
// that they belong to: Numbers, Bits or Text, whichever is for the column's type, then
// Rows, Nulls or Mask; and so on. An error of writing shows at EndColumn.
type Chunk struct {
	w      *Writer
	column *Column
	bounds bounds

	// The page. A page without nulls has no levels, until it gets the first one.
	values []byte
	flags  bits // values of Bool
	levels bits // which rows have a value
	count  int  // rows
	absent int  // of them null
	plain  []byte
	packed []byte

	// The chunk.
	offset       int64
	rows, nulls  int64
	pages        int32
	uncompressed int64 // bytes of pages and their headers, before compression
}

func (c *Chunk) begin(column *Column) {
	c.column = column
	c.bounds.reset()
	c.w.start()
	c.offset = c.w.offset
	c.rows, c.nulls, c.pages, c.uncompressed = 0, 0, 0, 0
	c.clear()
}

// clear empties the page.
func (c *Chunk) clear() {
	c.values = c.values[:0]
	c.flags.reset()
	c.levels.reset()
	c.count, c.absent = 0, 0
}

// Numbers appends values of a Double, Int64 or Timestamp column, 8 bytes each, little endian.
func (c *Chunk) Numbers(values []byte) {
	c.values = append(c.values, values...)
	if c.column.Type == Double {
		c.bounds.doubles(values)
	} else {
		c.bounds.int64s(values)
	}
}

// Text appends a value of a Text column.
func (c *Chunk) Text(v []byte) {
	c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(v)))
	c.values = append(c.values, v...)
	if !c.column.NoBounds {
		c.bounds.text(v)
	}
}

// Repeat appends a value of a Text column n times.
func (c *Chunk) Repeat(v []byte, n int) {
	for range n {
		c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(v)))
		c.values = append(c.values, v...)
	}
	if n > 0 && !c.column.NoBounds {
		c.bounds.text(v)
	}
}

// Bit appends a value of a Bool column.
func (c *Chunk) Bit(v bool) {
	c.flags.repeat(v, 1)
	c.bounds.bools(v, !v)
}

// Bits appends n values of a Bool column, as bits of bytes; those behind them must be zero.
func (c *Chunk) Bits(values []byte, n int) {
	c.flags.addBytes(values, n)
	ones := 0
	for _, b := range values[:(n+7)/8] {
		ones += mathbits.OnesCount8(b)
	}
	c.bounds.bools(ones > 0, ones < n)
}

// Rows says that n rows have a value.
func (c *Chunk) Rows(n int) {
	if c.absent > 0 {
		c.levels.repeat(true, n)
	}
	c.add(n, 0)
}

// Nulls says that n rows are null.
func (c *Chunk) Nulls(n int) {
	c.sparse()
	c.levels.repeat(false, n)
	c.add(n, n)
}

// Mask says which of n rows have a value, and how many of them are null. Bits behind them
// must be zero.
func (c *Chunk) Mask(present []uint64, n, null int) {
	c.sparse()
	c.levels.add(present, n)
	c.add(n, null)
}

// sparse makes levels of the rows so far, before the first null.
func (c *Chunk) sparse() {
	if c.absent == 0 {
		c.levels.reset()
		c.levels.repeat(true, c.count)
	}
}

func (c *Chunk) add(n, null int) {
	c.count += n
	c.absent += null
	if len(c.values) >= pageBytes || c.count >= pageBytes {
		c.flush()
	}
}

// flush writes the page, if it has any rows.
func (c *Chunk) flush() {
	if c.count == 0 {
		return
	}
	c.plain = c.appendLevels(c.plain[:0])
	body, levels := c.values, len(c.plain)
	switch {
	case c.column.Type == Bool:
		c.plain = c.flags.appendTo(c.plain)
		body = c.plain
	case len(c.plain) > 0:
		c.plain = append(c.plain, c.values...)
		body = c.plain
	}
	c.packed = compress(c.packed[:0], body, levels, c.column.Type)
	header := appendPageHeader(nil, len(body), c.packed, c.count)
	c.w.write(header)
	c.w.write(c.packed)
	c.pages++
	c.rows += int64(c.count)
	c.nulls += int64(c.absent)
	c.uncompressed += int64(len(header) + len(body))
	c.clear()
}

// appendLevels appends the definition levels with their length: a run of equal ones, or the
// bitmap of the rows. Rows of a required column have none.
func (c *Chunk) appendLevels(dst []byte) []byte {
	if c.column.Required {
		return dst
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch c.absent {
	case 0:
		dst = append(binary.AppendUvarint(dst, uint64(c.count)<<1), 1)
	case c.count:
		dst = append(binary.AppendUvarint(dst, uint64(c.count)<<1), 0)
	default:
		dst = binary.AppendUvarint(dst, uint64((c.count+7)/8)<<1|1)
		dst = c.levels.appendTo(dst)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// metadata describes the chunk in the footer.
func (c *Chunk) metadata() format.ColumnMetaData {
	m := format.ColumnMetaData{
		Type: physical[c.column.Type], Encoding: []format.Encoding{format.Plain}, PathInSchema: []string{c.column.Name},
		Codec: format.Zstd, NumValues: c.rows, DataPageOffset: c.offset,
		TotalUncompressedSize: c.uncompressed, TotalCompressedSize: c.w.offset - c.offset,
		Statistics:    format.Statistics{NullCount: c.nulls},
		EncodingStats: []format.PageEncodingStats{{PageType: format.DataPage, Encoding: format.Plain, Count: c.pages}},
	}
	if !c.column.Required {
		m.Encoding = append(m.Encoding, format.RLE)
	}
	if !c.column.NoBounds {
		c.bounds.put(&m.Statistics, c.column.Type)
	}
	return m
}
