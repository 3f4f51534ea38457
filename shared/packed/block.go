package packed

import (
	"encoding/binary"
	"math"
	"slices"
)

// Block gathers rows of one family.
//
// A row is begun, filled and closed: Begin, values in any order, End. A feature that is
// not named is null. Of a feature that is named twice in a row the last value counts,
// though the first may have promoted the column.
type Block struct {
	owner    *Builder
	layout   *layout
	columns  []column // those that are not used are empty, and keep their names
	columnOf []uint32 // by the layout's feature numbers: the feature's column + 1, or 0
	order    []uint32 // used columns in the order in which the rows named them
	sampleOf []uint32 // by row
	first    uint32   // column with which the row before began
	size     int      // upper bound of the encoded bytes, closed rows only
	samples  int      // upper bound of the bytes of its rows' samples
	kept     int      // bytes held while the block is spare

	// The open row.
	open      bool
	repeated  bool   // it named a feature twice
	last      uint32 // column that was named last, or noColumn
	guess     uint32 // column that is probably named next
	rowValues int    // bytes of its values
	rowNames  int    // bytes of its names
	orderWas  int    // what Begin found, for Discard
	sizeWas   int
	promoted  []promotion
	scratch   []byte
}

const noColumn = math.MaxUint32

// promotion is a column as it was before the open row changed its kind, without a value
// of that row.
type promotion struct {
	column uint32
	was    column
}

// Rows counts the closed rows.
func (k *Block) Rows() int { return len(k.sampleOf) }

// RowBytes gives the size of the open row, or of the one closed last: its values and
// names, as if it stood alone. It does not depend on the block's other rows. After
// Discard it is 0.
func (k *Block) RowBytes() int { return k.rowValues + k.rowNames }

// Repeated reports whether the open row, or the one closed last, has named a feature
// twice, be it as a null.
func (k *Block) Repeated() bool { return k.repeated }

// Begin opens a row. A row that is still open is discarded.
func (k *Block) Begin() {
	if k.open {
		k.Discard()
	}
	k.open, k.repeated, k.last, k.guess, k.rowValues, k.rowNames = true, false, noColumn, k.first, 0, 0
	k.orderWas, k.sizeWas = len(k.order), k.size
}

// End closes the row for a sample, which is a number that Builder.Sample gave.
func (k *Block) End(sample uint32) {
	if !k.open {
		panic("packed: End without Begin")
	}
	k.open = false
	if len(k.promoted) > 0 {
		k.promoted = k.promoted[:0]
	}
	k.closeRow(sample, k.rowValues, k.sizeWas)
}

// Discard drops the open row as if it had never been begun.
func (k *Block) Discard() {
	if !k.open {
		return
	}
	k.open = false
	row := k.Rows()
	for i := len(k.promoted) - 1; i >= 0; i-- {
		c := &k.columns[k.promoted[i].column]
		converted := c.kind == Double // in place, as no other promotion is
		*c = k.promoted[i].was
		if converted {
			c.backToInt64()
		}
		c.clear(row) // the bitmap is shared, too
	}
	k.promoted = k.promoted[:0]
	for _, f := range k.order[k.orderWas:] {
		k.columns[f].reset()
	}
	k.order, k.size = k.order[:k.orderWas], k.sizeWas
	for _, f := range k.order {
		c := &k.columns[f]
		if c.has(row) {
			c.takeBack(row)
		}
		c.named = min(c.named, row)
	}
	k.rowValues, k.rowNames = 0, 0
}

// Repeat adds the row that was closed last once more, for another sample.
func (k *Block) Repeat(sample uint32) {
	if k.open || k.Rows() == 0 {
		panic("packed: Repeat without a closed row before it")
	}
	row, values, was := k.Rows(), 0, k.size
	for _, f := range k.order {
		values += k.columns[f].repeat(row)
	}
	k.closeRow(sample, values, was)
}

// closeRow counts a row whose values are in place. was is the block's size that the
// builder knows of.
func (k *Block) closeRow(sample uint32, values, was int) {
	k.sampleOf = append(k.sampleOf, sample)
	k.size += values + rowOverhead + (len(k.order)+7)/8 // a bit a column for its bitmap
	k.samples += len(k.owner.samples.user(int(sample))) + sampleOverhead
	k.owner.size += k.size - was
	k.owner.rows++
	k.owner.largest = max(k.owner.largest, k.weight())
}

// Null sets a feature of the open row to null, which makes the feature known.
func (k *Block) Null(name []byte) {
	k.column(name)
}

// Double sets a feature of the open row to a double.
func (k *Block) Double(name []byte, v float64) {
	switch c := k.column(name); {
	case c.kind == Double, c.kind == Null:
		c.kind = Double
		k.add8(c, math.Float64bits(v))
	case c.kind == Int64 && c.allExact():
		k.toDouble(c)
		k.add8(c, math.Float64bits(v))
	default:
		k.scratch = AppendDouble(k.scratch[:0], v)
		k.text(c, k.scratch)
	}
}

// Int64 sets a feature of the open row to an integer.
func (k *Block) Int64(name []byte, v int64) {
	switch c := k.column(name); {
	case c.kind == Int64, c.kind == Null:
		c.kind = Int64
		k.add8(c, uint64(v))
	case c.kind == Double && exactAsDouble(v):
		k.add8(c, math.Float64bits(float64(v)))
	default:
		k.scratch = AppendInt64(k.scratch[:0], v)
		k.text(c, k.scratch)
	}
}

// Bool sets a feature of the open row to a bool.
func (k *Block) Bool(name []byte, v bool) {
	c := k.column(name)
	if c.kind != Bool {
		if c.kind != Null {
			k.scratch = AppendBool(k.scratch[:0], v)
			k.text(c, k.scratch)
			return
		}
		c.kind = Bool
	}
	c.placeAt(k.Rows())
	c.addBit(v)
	k.rowValues++
}

// String sets a feature of the open row to a string, which must be UTF-8.
func (k *Block) String(name, v []byte) {
	c := k.column(name)
	if c.kind == Null {
		c.kind = String
	}
	k.text(c, v)
}

// JSON sets a feature of the open row to an array or object, given as JSON text.
func (k *Block) JSON(name, v []byte) {
	c := k.column(name)
	if c.kind == Null {
		c.kind = JSON
	}
	if c.kind != JSON {
		k.text(c, v)
		return
	}
	c.placeAt(k.Rows())
	k.rowValues += c.addText(v)
}

// GuessedDouble is Double for the feature that Guess has just given, which must not be empty. It
// is false, and nothing was set, where that takes Double.
func (k *Block) GuessedDouble(v float64) bool { return k.guessed(Double, math.Float64bits(v)) }

// GuessedInt64 is Int64 for the feature that Guess has just given, as GuessedDouble is Double.
func (k *Block) GuessedInt64(v int64) bool {
	return k.guessed(Int64, uint64(v)) || exactAsDouble(v) && k.guessed(Double, math.Float64bits(float64(v)))
}

// guessed adds eight bytes as the open row's value of the guessed feature, if the column is of
// the kind and the row has not named it yet.
func (k *Block) guessed(kind Kind, bits uint64) bool {
	if int(k.guess) >= len(k.columns) {
		return false
	}
	c := &k.columns[k.guess]
	row := len(k.sampleOf)
	if c.kind != kind || c.named > row {
		return false
	}
	k.last, k.guess = k.guess, c.follows
	k.rowNames += len(c.name) + columnOverhead
	k.rowValues += numberBytes
	c.named = row + 1
	if c.count == row && !c.sparse {
		c.count++
	} else {
		c.placeAt(row)
	}
	n := len(c.values)
	if n+numberBytes > cap(c.values) {
		c.values = slices.Grow(c.values, numberBytes)
	}
	c.values = c.values[:n+numberBytes]
	binary.LittleEndian.PutUint64(c.values[n:], bits)
	return true
}

// add8 adds eight bytes to a column as the open row's value.
func (k *Block) add8(c *column, bits uint64) {
	c.placeAt(k.Rows())
	c.values = binary.LittleEndian.AppendUint64(c.values, bits)
	k.rowValues += numberBytes
}

// text adds text to a column as the open row's value and makes it a String column.
func (k *Block) text(c *column, v []byte) {
	if c.kind != String {
		k.toText(c)
	}
	c.placeAt(k.Rows())
	k.rowValues += c.addText(v)
}

// toDouble promotes an Int64 column whose integers are all exact.
func (k *Block) toDouble(c *column) {
	k.promoted = append(k.promoted, promotion{k.last, *c})
	c.toDouble()
}

// toText promotes a column of any kind to String.
func (k *Block) toText(c *column) {
	k.promoted = append(k.promoted, promotion{k.last, *c})
	before := c.valueBytes()
	c.toText()
	k.size += max(c.valueBytes()-before, 0)
}

// recycle empties the block for another use and counts the bytes that it holds on to.
func (k *Block) recycle() {
	for _, f := range k.order {
		k.columns[f].reset()
	}
	k.order, k.sampleOf, k.promoted = k.order[:0], k.sampleOf[:0], k.promoted[:0]
	k.open, k.size, k.samples, k.rowValues, k.rowNames = false, 0, 0, 0, 0
	k.kept = 4 * (cap(k.sampleOf) + cap(k.columnOf))
	for i := range k.columns {
		k.kept += k.columns[i].kept()
	}
}
