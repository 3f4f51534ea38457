package dataset

import (
	"cmp"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Keys of a file's metadata.
const (
	metaRun     = "fff.run"
	metaFamily  = "fff.family"
	metaRenamed = "fff.renamed" // JSON object: column name → feature name, where they differ
)

// codec compresses pages. The fastest level costs the least CPU for nearly the same size.
var codec = &zstd.Codec{Level: zstd.SpeedFastest}

// pageBuffers hold the pages of a row group's columns until the row group is complete. The
// usual chunks of 32 KB are more than most columns of a part need, and there may be
// thousands of columns.
var pageBuffers = parquet.NewChunkBufferPool(4 << 10)

// orderedGroup is the root of a schema that keeps its columns in the order given;
// parquet.Group sorts them by name.
type orderedGroup []parquet.Field

func (g orderedGroup) ID() int                     { return 0 }
func (g orderedGroup) String() string              { return parquet.NewSchema("", g).String() }
func (g orderedGroup) Type() parquet.Type          { return parquet.Group{}.Type() }
func (g orderedGroup) Optional() bool              { return false }
func (g orderedGroup) Repeated() bool              { return false }
func (g orderedGroup) Required() bool              { return true }
func (g orderedGroup) Leaf() bool                  { return false }
func (g orderedGroup) Fields() []parquet.Field     { return g }
func (g orderedGroup) Encoding() encoding.Encoding { return nil }
func (g orderedGroup) Compression() compress.Codec { return nil }
func (g orderedGroup) GoType() reflect.Type        { return reflect.TypeFor[map[string]any]() }

// namedField is one column. Rows are never made of Go values here, only columns of
// parquet values, so a field has no Go value.
type namedField struct {
	parquet.Node
	name string
}

func (f *namedField) Name() string                      { return f.name }
func (f *namedField) Value(reflect.Value) reflect.Value { return reflect.Value{} }

// fileSchema gives the schema of a family's files. Encodings are the plain ones, which
// every reader of the last ten years takes.
func fileSchema(cols []FinalColumn) *parquet.Schema {
	text := parquet.Encoded(parquet.String(), &parquet.Plain)
	g := make(orderedGroup, 0, keyColumns+len(cols))
	add := func(name string, node parquet.Node) { g = append(g, &namedField{Node: node, name: name}) }
	add(ColumnUserID, parquet.Required(text))
	add(ColumnPITCTimestamp, parquet.Required(parquet.Timestamp(parquet.Microsecond)))
	add(ColumnSource, parquet.Required(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)))
	for _, c := range cols {
		var node parquet.Node
		switch physical(c.Kind) {
		case packed.Int64:
			node = parquet.Leaf(parquet.Int64Type)
		case packed.Bool:
			node = parquet.Leaf(parquet.BooleanType)
		case packed.String:
			node = text
		default:
			node = parquet.Leaf(parquet.DoubleType)
		}
		add(c.Name, parquet.Optional(node))
	}
	return parquet.NewSchema("schema", g)
}

// newParquetWriter opens a writer for a file of a family.
func newParquetWriter(w io.Writer, cols []FinalColumn, meta map[string]string) *parquet.GenericWriter[any] {
	v := Versions()
	options := []parquet.WriterOption{
		fileSchema(cols),
		parquet.Compression(codec),
		parquet.DataPageVersion(1), // the one that all readers take
		parquet.ColumnPageBuffers(pageBuffers),
		parquet.CreatedBy("fff", v["fff"], cmp.Or(v["revision"], "unknown")),
	}
	for _, c := range cols {
		if physical(c.Kind) == packed.String {
			// The least and the largest text would stand in the file several times more, and a
			// text may be half a megabyte.
			options = append(options, parquet.SkipPageBounds(c.Name), parquet.SkipPageStatistics(c.Name))
		}
	}
	for k, v := range meta {
		options = append(options, parquet.KeyValueMetadata(k, v))
	}
	return parquet.NewGenericWriter[any](w, options...)
}
