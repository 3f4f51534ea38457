package packed

import (
	"encoding/binary"
	"math"
)

// Block gathers rows of one family.
//
// A row is begun, filled and closed: Begin, values in any order, End. A feature that is
// not named is null. Of a feature that is named twice in a row the last value counts,
// though the first may have promoted the column.
type Block struct {
	owner    *Builder
	layout   *layout
	columns  []column // by the layout's feature numbers; those not used are empty
	order    []uint32 // features in the order in which this block saw them
	sampleOf []uint32 // by row
	size     int      // upper bound of the encoded bytes, closed rows only
	kept     int      // bytes held while the block is spare

	// The open row.
	open      bool
	at        uint32 // number + 1 of the row's last feature, 0 before the first
	rowValues int    // bytes of its values
	rowNames  int    // bytes of its names
	orderWas  int    // what Begin found, for Discard
	sizeWas   int
	promoted  []promotion
	scratch   []byte
}

// promotion is a column as it was before the open row changed its kind.
type promotion struct {
	feature uint32
	was     column
}

// Rows counts the closed rows.
func (k *Block) Rows() int { return len(k.sampleOf) }

// RowBytes gives the size of the open row, or of the one closed last: its values and
// names, as if it stood alone. It does not depend on the block's other rows.
func (k *Block) RowBytes() int { return k.rowValues + k.rowNames }

// Begin opens a row. A row that is still open is discarded.
func (k *Block) Begin() {
	if k.open {
		k.Discard()
	}
	k.open, k.at, k.rowValues, k.rowNames = true, 0, 0, 0
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
	for i := len(k.promoted) - 1; i >= 0; i-- {
		k.columns[k.promoted[i].feature] = k.promoted[i].was
	}
	k.promoted = k.promoted[:0]
	for _, f := range k.order[k.orderWas:] {
		k.columns[f].reset()
	}
	k.order, k.size = k.order[:k.orderWas], k.sizeWas
	for _, f := range k.order {
		k.columns[f].forget(k.Rows())
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
	k.owner.size += k.size - was
	k.owner.rows++
}

// Null sets a feature of the open row to null, which makes the feature known.
func (k *Block) Null(name []byte) {
	k.column(name)
}

// Double sets a feature of the open row to a double.
func (k *Block) Double(name []byte, v float64) {
	c := k.column(name)
	if c.kind != Double {
		switch {
		case c.kind == Null:
			c.kind = Double
		case c.kind == Int64 && c.allExact():
			k.toDouble(c)
		default:
			k.scratch = AppendDouble(k.scratch[:0], v)
			k.text(c, k.scratch)
			return
		}
	}
	k.number(c, math.Float64bits(v))
}

// Int64 sets a feature of the open row to an integer.
func (k *Block) Int64(name []byte, v int64) {
	c := k.column(name)
	if c.kind != Int64 {
		switch {
		case c.kind == Null:
			c.kind = Int64
		case c.kind == Double && exactAsDouble(v):
			k.number(c, math.Float64bits(float64(v)))
			return
		default:
			k.scratch = AppendInt64(k.scratch[:0], v)
			k.text(c, k.scratch)
			return
		}
	}
	k.number(c, uint64(v))
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
	k.place(c)
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
	k.place(c)
	k.rowValues += c.addText(v)
}

// column gives the column of a feature, in which the open row has no value.
func (k *Block) column(name []byte) *column {
	l := k.layout
	f := l.next[k.at]
	if int(f) >= len(l.names) || l.names[f] != string(name) {
		f = l.find(k.at, name)
	}
	k.at = f + 1
	k.rowNames += len(name) + columnOverhead
	if int(f) >= len(k.columns) || !k.columns[f].used {
		k.use(f)
	}
	c := &k.columns[f]
	if row := len(k.sampleOf); c.next > row { // named twice in this row
		k.rowValues -= c.takeBack(row)
	}
	return c
}

// use makes a feature part of this block.
func (k *Block) use(feature uint32) {
	for len(k.columns) <= int(feature) {
		k.columns = append(k.columns, column{})
	}
	k.columns[feature].used = true
	k.order = append(k.order, feature)
	k.size += len(k.layout.names[feature]) + columnOverhead + k.Rows()/8 + 1
}

// number adds eight bytes to a column as the open row's value.
func (k *Block) number(c *column, bits uint64) {
	k.place(c)
	c.values = binary.LittleEndian.AppendUint64(c.values, bits)
	k.rowValues += numberBytes
}

// text adds text to a column as the open row's value and makes it a String column.
func (k *Block) text(c *column, v []byte) {
	if c.kind != String {
		k.toText(c)
	}
	k.place(c)
	k.rowValues += c.addText(v)
}

// place notes that the open row has a value in the column, which the caller appends.
func (k *Block) place(c *column) {
	row := len(k.sampleOf)
	if c.next == row && !c.sparse {
		c.next++
		c.count++
		return
	}
	c.placeAt(row)
}

// toDouble promotes an Int64 column whose integers are all exact.
func (k *Block) toDouble(c *column) {
	k.promoted = append(k.promoted, promotion{k.at - 1, *c})
	c.toDouble()
}

// toText promotes a column of any kind to String.
func (k *Block) toText(c *column) {
	k.promoted = append(k.promoted, promotion{k.at - 1, *c})
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
	k.open, k.size, k.rowValues, k.rowNames = false, 0, 0, 0
	k.kept = endBytes * cap(k.sampleOf)
	for i := range k.columns {
		k.kept += k.columns[i].kept()
	}
}
