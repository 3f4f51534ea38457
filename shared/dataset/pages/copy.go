package pages

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

// Copyable tells whether the pages of a column chunk of another file can be those of a column
// as they are: each can be read without any other page, and the chunk's statistics say which
// value is least and which is greatest, where the column's do. The column's type and whether
// it is required are taken to be the same.
func Copyable(m *format.ColumnMetaData, c *Column) bool {
	if m.Codec != format.Zstd || m.DictionaryPageOffset != 0 || m.Type != physical[c.Type] || len(m.EncodingStats) != 1 {
		return false
	}
	if s := m.EncodingStats[0]; s.PageType != format.DataPage || s.Encoding != format.Plain {
		return false
	}
	return c.NoBounds || m.NumValues == m.Statistics.NullCount || bounded(&m.Statistics, c.Type)
}

// bounded tells whether statistics have bounds of a type.
func bounded(s *format.Statistics, t Type) bool {
	switch t {
	case Double:
		return len(s.MinValue) == 8 && len(s.MaxValue) == 8 && real(s.MinValue) <= real(s.MaxValue)
	case Int64, Timestamp:
		return len(s.MinValue) == 8 && len(s.MaxValue) == 8
	case Bool:
		return len(s.MinValue) == 1 && len(s.MaxValue) == 1
	default:
		return s.MinValue != nil && s.MaxValue != nil
	}
}

func real(v []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(v)) }

// Copy appends the pages of a Copyable chunk, which are read from r, with the rows they have.
// An error of reading shows at EndColumn.
func (c *Chunk) Copy(m *format.ColumnMetaData, r io.Reader) {
	c.flush()
	c.w.copy(r, m.TotalCompressedSize)
	c.pages += m.EncodingStats[0].Count
	c.rows += m.NumValues
	c.nulls += m.Statistics.NullCount
	c.uncompressed += m.TotalUncompressedSize
	if !c.column.NoBounds && m.NumValues > m.Statistics.NullCount {
		c.bounds.merge(&m.Statistics, c.column.Type)
	}
}

// merge takes in the bounds of other values.
func (b *bounds) merge(s *format.Statistics, t Type) {
	switch t {
	case Double:
		b.doubles(s.MinValue)
		b.doubles(s.MaxValue)
	case Int64, Timestamp:
		b.int64s(s.MinValue)
		b.int64s(s.MaxValue)
	default:
		b.text(s.MinValue)
		b.text(s.MaxValue)
	}
}
