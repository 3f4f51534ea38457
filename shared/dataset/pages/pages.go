// Package pages writes Parquet files from columns that are nearly pages already: values in
// Parquet's PLAIN encoding, and bitmaps of the rows that have one.
//
// A file is written row group by row group, each column by column, each column page by page.
// A page goes out as soon as it is full, so that a writer holds one page and what the
// footer will say. Pages are data pages of version 1, PLAIN, compressed with zstd, and need no
// other page to be read: so pages of several files can become one column without being
// decoded.
package pages

import (
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Type is the type of a column's values.
type Type uint8

// The types.
const (
	Double    Type = iota // 8 bytes, little endian
	Int64                 // 8 bytes, little endian
	Bool                  // bits
	Text                  // UTF-8
	Timestamp             // microseconds, UTC, as Int64
)

// Column is a column of a file.
type Column struct {
	Name     string
	Type     Type
	Required bool // no row is null
	NoBounds bool // the footer does not say which value is least and which is greatest
}

// Schema is what a file says of itself.
type Schema struct {
	Columns   []Column
	CreatedBy string
	Meta      [][2]string // keys and values
}

var physical = [...]format.Type{
	Double: format.Double, Int64: format.Int64, Bool: format.Boolean, Text: format.ByteArray, Timestamp: format.Int64,
}

// element describes the column in the footer.
func (c *Column) element() format.SchemaElement {
	e := format.SchemaElement{Name: c.Name, Type: thrift.New(physical[c.Type]), RepetitionType: thrift.New(format.Optional)}
	if c.Required {
		e.RepetitionType = thrift.New(format.Required)
	}
	switch c.Type {
	case Int64:
		e.ConvertedType = thrift.New(deprecated.Int64)
		e.LogicalType.Value = &format.IntType{BitWidth: 64, IsSigned: true}
	case Text:
		e.ConvertedType = thrift.New(deprecated.UTF8)
		e.LogicalType.Value = &format.StringType{}
	case Timestamp:
		e.ConvertedType = thrift.New(deprecated.TimestampMicros)
		e.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.MicroSeconds{}}}
	}
	return e
}

// footer describes the file as a whole.
func (s *Schema) footer(groups []format.RowGroup) *format.FileMetaData {
	f := &format.FileMetaData{Version: 2, CreatedBy: s.CreatedBy, RowGroups: groups}
	f.Schema = append(f.Schema, format.SchemaElement{Name: "schema", NumChildren: thrift.New(int32(len(s.Columns)))})
	for i := range s.Columns {
		f.Schema = append(f.Schema, s.Columns[i].element())
		f.ColumnOrders = append(f.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	for _, m := range s.Meta {
		f.KeyValueMetadata = append(f.KeyValueMetadata, format.KeyValue{Key: m[0], Value: m[1]})
	}
	for i := range groups {
		f.NumRows += groups[i].NumRows
	}
	return f
}
