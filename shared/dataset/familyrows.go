package dataset

import (
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// FamilyRows gathers rows of one family from decoded messages, as views: messages must
// stay decoded and unchanged for as long as it is used. Rows are written in the order
// in which they were added.
type FamilyRows struct {
	Run string // goes into the file's metadata

	picks []pick
	rows  int
	every []uint32 // 0, 1, 2, …: the rows of picks that take all of a block
}

// pick is some rows of one block.
type pick struct {
	msg   *packed.Message
	block *packed.BlockView
	rows  []uint32
	whole bool // all rows of the block, in their order
}

// Add takes rows of a block of msg, all of them if rows is nil. It keeps rows.
func (f *FamilyRows) Add(msg *packed.Message, block *packed.BlockView, rows []uint32) {
	if rows == nil {
		for n := len(f.every); n < len(block.SampleOf); n++ {
			f.every = append(f.every, uint32(n))
		}
		rows = f.every[:len(block.SampleOf)]
	}
	if len(rows) == 0 {
		return
	}
	f.picks = append(f.picks, pick{msg, block, rows, isWhole(rows, block.Rows())})
	f.rows += len(rows)
}

// isWhole tells whether rows are all of so many, in order.
func isWhole(rows []uint32, of int) bool {
	if len(rows) != of {
		return false
	}
	for i, row := range rows {
		if row != uint32(i) {
			return false
		}
	}
	return true
}

// Len gives the number of rows.
func (f *FamilyRows) Len() int { return f.rows }

// FromDynamoDB counts the rows whose source is DynamoDB.
func (f *FamilyRows) FromDynamoDB() int64 {
	n := 0
	for i := range f.picks {
		if f.picks[i].msg.Source == packed.DynamoDB {
			n += len(f.picks[i].rows)
		}
	}
	return int64(n)
}

// Reset drops the rows and keeps the memory.
func (f *FamilyRows) Reset() {
	clear(f.picks)
	f.picks, f.rows = f.picks[:0], 0
}

// Bounds of a row group, so that readers need little memory.
const (
	maxGroupRows  = 100_000
	maxGroupBytes = 16 << 20 // of values, before compression
)

// groups splits the picks into row groups of at most about the bounds above; a pick is
// not split.
func (f *FamilyRows) groups(columns int) [][]pick {
	var groups [][]pick
	start, rows, bytes := 0, 0, 0
	for i := range f.picks {
		n, size := len(f.picks[i].rows), f.picks[i].bytes(columns)
		if i > start && (rows+n > maxGroupRows || bytes+size > maxGroupBytes) {
			groups = append(groups, f.picks[start:i])
			start, rows, bytes = i, 0, 0
		}
		rows, bytes = rows+n, bytes+size
	}
	return append(groups, f.picks[start:])
}

// What writing takes of memory. A page goes out as soon as it is full, so rows do not add to
// it: there are the page before and after its compression, with the last pick that went into
// it, the compressor's tables, and what the footer and the plan say of each column.
const (
	pagesBytes   = 2 << 20
	pickFactor   = 4 // a pick's values are gathered, and stand in the page, with its levels, and compressed
	columnBytes  = 1 << 10
	footerFactor = 2 // a column of a row group stands in the footer and in its bytes
)

// EncodingBytes estimates the memory that writing the rows takes, to a file of at least so
// many columns.
func (f *FamilyRows) EncodingBytes(columns int) int64 {
	largest := 0
	for i := range f.picks {
		columns = max(columns, len(f.picks[i].block.Columns))
		largest = max(largest, f.picks[i].bytes(1))
	}
	groups := len(f.groups(columns))
	return int64(pagesBytes + pickFactor*largest + columnBytes*columns*(1+footerFactor*groups))
}

// bytes estimates what the pick's values take in a file of so many columns.
func (p *pick) bytes(columns int) int {
	n := len(p.rows) * (32 + 8*columns)
	for i := range p.block.Columns {
		c := &p.block.Columns[i]
		if c.Kind != packed.String && c.Kind != packed.JSON {
			continue
		}
		for _, row := range p.rows {
			n += len(c.Bytes(int(row)))
		}
	}
	return n
}
