package packed

import (
	"encoding/binary"
	"math"
)

const (
	numberBytes       = 8   // of a Double or an Int64
	endBytes          = 4   // of a text's end offset
	columnStructBytes = 120 // of a column itself
)

// column gathers one feature's values. Nulls take no place in values. Name and follows
// stay when the block is emptied, since the next message is likely to look the same.
type column struct {
	name    []byte
	plain   uint32 // length of name if Block.Guess may give it, else 0
	follows uint32 // column that was named behind this one last time
	used    bool
	sparse  bool // present says which rows have a value; else the first count rows have
	kind    Kind
	named   int    // row in which the feature was named last + 1
	count   int    // values
	values  []byte // as on the wire: numbers, bits, or end offsets into text
	text    []byte
	present []uint64
}

func (c *column) reset() {
	*c = column{
		name: c.name, plain: c.plain, follows: c.follows,
		present: c.present[:0], values: c.values[:0], text: c.text[:0],
	}
}

// kept gives the bytes that an emptied column holds on to.
func (c *column) kept() int {
	return columnStructBytes + cap(c.values) + cap(c.text) + 8*cap(c.present)
}

// has reports whether a row has a value.
func (c *column) has(row int) bool {
	if !c.sparse {
		return row < c.count
	}
	return row/64 < len(c.present) && c.present[row/64]>>(row%64)&1 != 0
}

// placeAt counts a value of the last row, which the caller appends.
func (c *column) placeAt(row int) {
	if !c.sparse && c.count < row {
		c.sparse = true
		c.present = c.present[:0]
		for i := 0; i < c.count; i += 64 {
			c.present = append(c.present, lowBits(c.count-i))
		}
	}
	if c.sparse {
		for len(c.present) <= row/64 {
			c.present = append(c.present, 0)
		}
		c.present[row/64] |= 1 << (row % 64)
	}
	c.count++
}

// lowBits gives a word whose n lowest bits are set, all of them from 64 on.
func lowBits(n int) uint64 {
	if n >= 64 {
		return math.MaxUint64
	}
	return 1<<n - 1
}

// clear makes a row that is not closed null, where values holds nothing of it.
func (c *column) clear(row int) {
	if c.sparse && row/64 < len(c.present) {
		c.present[row/64] &^= 1 << (row % 64)
	}
}

// takeBack drops the value of the last row, which has one, and gives its bytes.
func (c *column) takeBack(row int) (bytes int) {
	c.count--
	c.clear(row)
	switch c.kind {
	case Double, Int64:
		bytes = numberBytes
		c.values = c.values[:len(c.values)-numberBytes]
	case Bool:
		bytes = 1
		c.dropBit()
	case String, JSON:
		c.values = c.values[:len(c.values)-endBytes]
		end := c.end(c.count - 1)
		bytes = endBytes + len(c.text) - end
		c.text = c.text[:end]
	}
	if c.count == 0 {
		c.kind = Null
	}
	return bytes
}

// repeat gives the row the value of the row before it, if that has one.
func (c *column) repeat(row int) (bytes int) {
	if !c.has(row - 1) {
		return 0
	}
	last := c.count - 1
	c.placeAt(row)
	switch c.kind {
	case Double, Int64:
		c.values = append(c.values, c.values[last*numberBytes:]...)
		return numberBytes
	case Bool:
		// addBit writes at count-1, which placeAt has raised.
		c.addBit(c.bit(last))
		return 1
	default:
		return c.addText(c.text[c.end(last-1):])
	}
}

// addBit writes the value that was counted last.
func (c *column) addBit(v bool) {
	i := c.count - 1
	if i%8 == 0 {
		c.values = append(c.values, 0)
	}
	if v {
		c.values[i/8] |= 1 << (i % 8)
	}
}

// dropBit drops the value behind the last one that is counted.
func (c *column) dropBit() {
	c.values = c.values[:(c.count+7)/8]
	if c.count%8 != 0 {
		c.values[c.count/8] &= 1<<(c.count%8) - 1
	}
}

func (c *column) bit(i int) bool { return c.values[i/8]>>(i%8)&1 != 0 }

func (c *column) addText(v []byte) (bytes int) {
	c.text = append(c.text, v...)
	c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(c.text)))
	return endBytes + len(v)
}

// end gives where value i ends in text, 0 for -1.
func (c *column) end(i int) int {
	if i < 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(c.values[i*endBytes:]))
}

func (c *column) number(i int) uint64 { return binary.LittleEndian.Uint64(c.values[i*numberBytes:]) }

func (c *column) valueBytes() int { return len(c.values) + len(c.text) }

func (c *column) allExact() bool {
	for i := range c.count {
		if !exactAsDouble(int64(c.number(i))) {
			return false
		}
	}
	return true
}

// toDouble converts integers in place.
func (c *column) toDouble() {
	c.kind = Double
	for i := range c.count {
		binary.LittleEndian.PutUint64(c.values[i*numberBytes:], math.Float64bits(float64(int64(c.number(i)))))
	}
}

// backToInt64 undoes toDouble.
func (c *column) backToInt64() {
	c.kind = Int64
	for i := range c.count {
		binary.LittleEndian.PutUint64(c.values[i*numberBytes:], uint64(int64(math.Float64frombits(c.number(i)))))
	}
}

// toText converts values to canonical text. It leaves the old bytes alone, for
// Block.Discard.
func (c *column) toText() {
	if c.kind == JSON {
		c.kind = String
		return
	}
	old := *c
	c.kind, c.text = String, nil
	c.values = make([]byte, 0, max(endBytes*2*c.count, endBytes))
	for i := range c.count {
		switch old.kind {
		case Double:
			c.text = AppendDouble(c.text, math.Float64frombits(old.number(i)))
		case Int64:
			c.text = AppendInt64(c.text, int64(old.number(i)))
		default:
			c.text = AppendBool(c.text, old.bit(i))
		}
		c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(c.text)))
	}
}
