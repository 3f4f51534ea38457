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
	first    uint32   // feature with which the row before began
	size     int      // upper bound of the encoded bytes, closed rows only
	kept     int      // bytes held while the block is spare

	// The open row.
	open      bool
	repeated  bool   // it named a feature twice
	last      uint32 // the row's last feature, or noFeature
	guess     uint32 // what probably comes next
	rowValues int    // bytes of its values
	rowNames  int    // bytes of its names
	orderWas  int    // what Begin found, for Discard
	sizeWas   int
	promoted  []promotion
	scratch   []byte
}

const noFeature = math.MaxUint32

// promotion is a column as it was before the open row changed its kind, without a value
// of that row.
type promotion struct {
	feature uint32
	was     column
}

// Rows counts the closed rows.
func (k *Block) Rows() int { return len(k.sampleOf) }

// RowBytes gives the size of the open row, or of the one closed last: its values and
// names, as if it stood alone. It does not depend on the block's other rows.
func (k *Block) RowBytes() int { return k.rowValues + k.rowNames }

// Repeated reports whether the open row, or the one closed last, has named a feature
// twice, be it as a null.
func (k *Block) Repeated() bool { return k.repeated }

// Begin opens a row. A row that is still open is discarded.
func (k *Block) Begin() {
	if k.open {
		k.Discard()
	}
	k.open, k.repeated, k.last, k.guess, k.rowValues, k.rowNames = true, false, noFeature, k.first, 0, 0
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
		c := &k.columns[k.promoted[i].feature]
		*c = k.promoted[i].was
		c.clear(row) // its bitmap is shared with what it became
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
	k.owner.size += k.size - was
	k.owner.rows++
}

// Guess gives the name of the feature that probably comes next, for a scanner to compare
// with. It is empty if there is none, or none that stands in JSON as it is: printable
// ASCII without quotes and backslashes. A name that is a Guess is found faster.
func (k *Block) Guess() []byte {
	if int(k.guess) >= len(k.columns) {
		return nil
	}
	c := &k.columns[k.guess]
	return c.name[:c.plain]
}

// Null sets a feature of the open row to null, which makes the feature known.
func (k *Block) Null(name []byte) {
	k.column(name)
}

// Double sets a feature of the open row to a double.
func (k *Block) Double(name []byte, v float64) {
	if k.number(name, Double, math.Float64bits(v)) {
		return
	}
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
	if k.number(name, Int64, uint64(v)) {
		return
	}
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

// number adds eight bytes as the open row's value, if the guess of the column is right
// and the column is of the kind.
func (k *Block) number(name []byte, kind Kind, bits uint64) bool {
	if int(k.guess) >= len(k.columns) {
		return false
	}
	c, row := &k.columns[k.guess], len(k.sampleOf)
	if c.kind != kind || string(c.name) != string(name) || c.named > row {
		return false
	}
	k.last, k.guess = k.guess, c.follows
	k.rowNames += len(name) + columnOverhead
	c.named = row + 1
	if c.count == row && !c.sparse {
		c.count++
	} else {
		c.placeAt(row)
	}
	c.values = binary.LittleEndian.AppendUint64(c.values, bits)
	k.rowValues += numberBytes
	return true
}

// column gives the column of a feature, in which the open row has no value. It guesses
// that the feature follows the one before as it did last time, so that the layout's map
// is asked only where the order changes.
func (k *Block) column(name []byte) *column {
	f := k.guess
	if int(f) >= len(k.columns) || string(k.columns[f].name) != string(name) {
		f = k.find(f, name)
	}
	c := &k.columns[f]
	k.last, k.guess = f, c.follows
	k.rowNames += len(name) + columnOverhead
	if !c.used {
		c.used = true
		k.order = append(k.order, f)
		k.size += len(name) + columnOverhead + k.Rows()/8 + 1
	}
	row := len(k.sampleOf)
	if c.named > row {
		k.repeated = true
		if c.has(row) {
			k.rowValues -= c.takeBack(row)
		}
	}
	c.named = row + 1
	return c
}

// find gives the number of a feature when the guess is wrong. A feature that the row
// leaves out is stepped over; any other order is learnt.
func (k *Block) find(guess uint32, name []byte) uint32 {
	if int(guess) < len(k.columns) {
		if next := k.columns[guess].follows; int(next) < len(k.columns) && string(k.columns[next].name) == string(name) {
			return next
		}
	}
	f := k.layout.feature(name)
	for i := len(k.columns); i <= int(f); i++ {
		name := k.layout.names[i]
		k.columns = append(k.columns, column{name: name, plain: plainBytes(name), follows: uint32(i) + 1})
	}
	if k.last == noFeature {
		k.first = f
	} else {
		k.columns[k.last].follows = f
	}
	return f
}

// plainBytes gives the length of a name that stands in JSON as it is, 0 for any other.
func plainBytes(name []byte) uint32 {
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return 0
		}
	}
	return uint32(len(name))
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
	k.open, k.size, k.rowValues, k.rowNames = false, 0, 0, 0
	k.kept = endBytes * cap(k.sampleOf)
	for i := range k.columns {
		k.kept += k.columns[i].kept()
	}
}
