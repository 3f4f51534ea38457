// Package packed holds the message that carries cells to the writer: family and
// feature names once, then typed columns with null bitmaps.
//
// A Builder gathers cells row by row and encodes them; Decode gives views into an
// encoded message. Neither allocates per value.
//
// # Columns
//
// All values of a column in a block have one kind. A value of another kind promotes
// the column: Int64 with Double gives Double if every integer is a double and
// reads the same as one, as all do up to 2^53 in magnitude, and String otherwise; every other mixture gives String. Promoted values
// keep their canonical text (AppendDouble, Column.Text), so what a value reads as does
// not depend on the rows that happened to share its block.
//
// # Wire form, version 1
//
// Integers are little endian; "uvarint" is that of encoding/binary; bitmaps are least
// significant bit first, their unused bits zero.
//
//	message  "FPK" version(1 byte) source(1 byte) samples blocks padding checksum
//	samples  uvarint count, then per sample: uvarint length, user id, int64 epoch ms
//	blocks   uvarint count, then per block
//	block    uvarint length, family
//	         uvarint rows (at least 1), then per row: uvarint index of its sample
//	         uvarint columns, then per column
//	column   uvarint length, feature name
//	         1 byte: kind, plus 0x80 if a presence bitmap follows
//	         presence bitmap over the rows (left out when no row is null)
//	         values of the rows that are not null, by kind:
//	           Null          nothing (every row is null, no bitmap)
//	           Double, Int64 8 bytes each
//	           Bool          bitmap over the values
//	           String, JSON  uint32 end offset of each value, then the bytes of all
//	padding  zeros, until the message has 16 bytes for each of its columns
//	checksum uint32 CRC-32C (Castagnoli) of all bytes before it
//
// A null costs one bit, so a sparse feature stays cheap. Only a message of hardly more
// than short names is padded: a decoder makes room for columns before it reads them, and
// must not need many times the message's size for that.
package packed

import "fmt"

// Source says where a message's cells came from.
type Source uint8

// The sources.
const (
	DynamoDB       Source = 1
	FeatureService Source = 2
)

// String gives the source as the dataset's column "source" holds it.
func (s Source) String() string {
	switch s {
	case DynamoDB:
		return "dynamodb"
	case FeatureService:
		return "feature_service"
	}
	return fmt.Sprintf("source(%d)", uint8(s))
}

// Kind is the type of a column's values. The numbers are part of the wire form.
type Kind uint8

// The kinds.
const (
	Null   Kind = iota // no value yet: every row is null
	Double             // float64, NaN and infinities included
	Int64
	Bool
	String // UTF-8
	JSON   // JSON text of an array or object
)

// String gives the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Double:
		return "double"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	case String:
		return "string"
	case JSON:
		return "json"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

const (
	magic       = "FPK"
	version     = 1
	headerBytes = len(magic) + 2 // and version, source
	crcBytes    = 4
	hasPresence = 0x80 // flag beside a column's kind
	columnBytes = 16   // least bytes of a message for each of its columns
)

// maxExact is the largest magnitude up to which every integer is a float64.
const maxExact = 1 << 53

// exactAsDouble tells whether an integer is a float64 and reads the same as one. Beyond
// 2^53 these are mostly doubles that a database wrote out: DynamoDB gives 9.9999e17 back as
// 999990000000000000.
func exactAsDouble(v int64) bool {
	if -maxExact <= v && v <= maxExact {
		return true
	}
	f := float64(v)
	if f >= 1<<63 || int64(f) != v {
		return false
	}
	var a, b [24]byte
	return string(AppendDouble(a[:0], f)) == string(AppendInt64(b[:0], v))
}
