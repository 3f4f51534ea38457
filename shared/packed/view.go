package packed

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
	"unsafe"
)

// Message is a decoded message. User ids and texts are views into the decoded bytes.
type Message struct {
	Source  Source
	Samples []Sample
	Blocks  []BlockView

	present []uint64 // memory of all columns' bitmaps
	ranks   []uint32 // and of their ranks
	names   interner
}

// Footprint is what a decoded message takes.
type Footprint struct {
	Bytes         int64 // of memory, the decoded bytes included
	Samples, Rows int
}

// FootprintOf tells what an encoded message takes once it is decoded; of one that cannot
// be, its size.
func FootprintOf(data []byte) Footprint {
	m := scratch.Get().(*Message)
	defer scratch.Put(m)
	m.names = interner{}
	if Decode(data, m) != nil {
		return Footprint{Bytes: int64(len(data))}
	}
	defer m.drop()
	return m.footprint(len(data))
}

func (m *Message) footprint(size int) Footprint {
	f := Footprint{Samples: len(m.Samples)}
	f.Bytes = int64(size) + sizes.sample*int64(len(m.Samples)) + 8*int64(len(m.present)) + 4*int64(len(m.ranks)) +
		int64(m.names.bytes) + internedBytes*int64(len(m.names.known))
	for i := range m.Blocks {
		b := &m.Blocks[i]
		f.Rows += len(b.SampleOf)
		f.Bytes += sizes.block + 4*int64(len(b.SampleOf)) + sizes.column*int64(len(b.Columns))
	}
	return f
}

// sizes are those of what a message is decoded into.
var sizes = struct{ sample, block, column int64 }{
	int64(unsafe.Sizeof(Sample{})), int64(unsafe.Sizeof(BlockView{})), int64(unsafe.Sizeof(Column{})),
}

// internedBytes is what a name takes in the table of names, beside its own bytes.
const internedBytes = 48

var scratch = sync.Pool{New: func() any { return new(Message) }}

// drop lets go of the decoded bytes, and keeps the memory that was made for them.
func (m *Message) drop() {
	clear(m.Samples)
	for i := range m.Blocks {
		columns := m.Blocks[i].Columns
		for c := range columns {
			columns[c] = Column{Name: columns[c].Name}
		}
	}
}

// Sample is a user at a point in time (epoch milliseconds).
type Sample struct {
	UserID  []byte
	EpochMS int64
}

// BlockView is a block of a decoded message: rows of one family. Row i belongs to
// Samples[SampleOf[i]].
type BlockView struct {
	Family   string
	SampleOf []uint32
	Columns  []Column
}

// Rows counts the block's rows, which are cells.
func (b *BlockView) Rows() int { return len(b.SampleOf) }

// Column is one feature of a block. Its accessors take a row of the block; each is for
// columns of its own kind and gives the zero value for a null.
type Column struct {
	Name string
	Kind Kind

	count   int
	present []uint64 // bitmap over rows, nil if no row is null or all are
	ranks   []uint32 // values before each 64 rows
	values  []byte
	text    []byte
}

// Count gives the number of values, which are the rows that are not null.
func (c *Column) Count() int { return c.count }

// HasNulls reports whether any row is null.
func (c *Column) HasNulls() bool { return c.present != nil || c.Kind == Null }

// IsNull reports whether the row is null.
func (c *Column) IsNull(row int) bool {
	if c.present == nil {
		return c.Kind == Null
	}
	return c.present[row>>6]>>(row&63)&1 == 0
}

// Double gives a value of a Double column.
func (c *Column) Double(row int) float64 {
	if c.present != nil {
		return c.sparseDouble(row)
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(c.values[row*numberBytes:]))
}

// sparseDouble stays out of line, so that Double is small enough to be inlined: the two
// together are not, and a call for each value doubles the time of reading.
//
//go:noinline
func (c *Column) sparseDouble(row int) float64 {
	if row = c.index(row); row < 0 {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(c.values[row*numberBytes:]))
}

// Int64 gives a value of an Int64 column.
func (c *Column) Int64(row int) int64 {
	if c.present != nil {
		return c.sparseInt64(row)
	}
	return int64(binary.LittleEndian.Uint64(c.values[row*numberBytes:]))
}

// sparseInt64 is to Int64 what sparseDouble is to Double.
//
//go:noinline
func (c *Column) sparseInt64(row int) int64 {
	if row = c.index(row); row < 0 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(c.values[row*numberBytes:]))
}

// Bool gives a value of a Bool column.
func (c *Column) Bool(row int) bool {
	if c.present != nil {
		if row = c.index(row); row < 0 {
			return false
		}
	}
	return c.values[row>>3]>>(row&7)&1 != 0
}

// Bytes gives a value of a String or JSON column as a view into the message.
func (c *Column) Bytes(row int) []byte {
	if c.present != nil {
		if row = c.index(row); row < 0 {
			return nil
		}
	}
	start := uint32(0)
	if row > 0 {
		start = binary.LittleEndian.Uint32(c.values[(row-1)*endBytes:])
	}
	end := binary.LittleEndian.Uint32(c.values[row*endBytes:])
	return c.text[start:end:end]
}

// NotFinite counts the NaN and infinities of a Double column: the exponents of which all
// bits are set. It is 0 for columns of other kinds.
func (c *Column) NotFinite() (n int) {
	if c.Kind != Double {
		return 0
	}
	v := c.values
	for ; len(v) >= 4*numberBytes; v = v[4*numberBytes:] {
		n += notFinite(v) + notFinite(v[numberBytes:]) + notFinite(v[2*numberBytes:]) + notFinite(v[3*numberBytes:])
	}
	for ; len(v) >= numberBytes; v = v[numberBytes:] {
		n += notFinite(v)
	}
	return n
}

// notFinite gives 1 for a NaN or an infinity, else 0, without a branch: one more makes an
// exponent of ones overflow.
func notFinite(v []byte) int {
	const exponent, one = 0x7ff << 52, 1 << 52
	return int((binary.LittleEndian.Uint64(v)&exponent + one) >> 63)
}

// index gives the place of a row's value among the column's values, -1 for a null.
func (c *Column) index(row int) int {
	word, bit := c.present[row>>6], uint64(1)<<(row&63)
	if word&bit == 0 {
		return -1
	}
	return int(c.ranks[row>>6]) + bits.OnesCount64(word&(bit-1))
}

// Text appends the row's value of any kind as its canonical text: the same whatever
// the column was promoted to. A null appends nothing.
func (c *Column) Text(dst []byte, row int) []byte {
	if c.IsNull(row) {
		return dst
	}
	switch c.Kind {
	case Double:
		return AppendDouble(dst, c.Double(row))
	case Int64:
		return AppendInt64(dst, c.Int64(row))
	case Bool:
		return AppendBool(dst, c.Bool(row))
	default:
		return append(dst, c.Bytes(row)...)
	}
}

// ExactAsDouble reports whether every value of an Int64 column is a double and reads
// the same as one, so that it may become a Double as in a promotion. It is false for columns
// of other kinds.
func (c *Column) ExactAsDouble() bool {
	if c.Kind != Int64 {
		return false
	}
	if withinExact(c.values) {
		return true
	}
	for i := range c.count {
		if !exactAsDouble(int64(binary.LittleEndian.Uint64(c.values[i*numberBytes:]))) {
			return false
		}
	}
	return true
}

// withinExact tells that all integers are from -maxExact on and below maxExact; most are, and
// to see that takes no branch for each.
func withinExact(v []byte) bool {
	const low = 2*maxExact - 1 // the bits of those, once they are moved to begin at 0
	var bits uint64
	for ; len(v) >= 4*numberBytes; v = v[4*numberBytes:] {
		bits |= (binary.LittleEndian.Uint64(v) + maxExact) | (binary.LittleEndian.Uint64(v[numberBytes:]) + maxExact) |
			(binary.LittleEndian.Uint64(v[2*numberBytes:]) + maxExact) | (binary.LittleEndian.Uint64(v[3*numberBytes:]) + maxExact)
	}
	for ; len(v) >= numberBytes; v = v[numberBytes:] {
		bits |= binary.LittleEndian.Uint64(v) + maxExact
	}
	return bits&^uint64(low) == 0
}
