package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Rewrite writes a family's file once more with other columns: those wanted that it does
// not have are null, and types are converted. Rows keep their order. It works on a chunk
// of values at a time; of the output it holds one compressed row group.
func Rewrite(ctx context.Context, src io.ReaderAt, size int64, want []FinalColumn, w io.Writer) error {
	if err := rewrite(ctx, src, size, want, w); err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	return nil
}

func rewrite(ctx context.Context, src io.ReaderAt, size int64, want []FinalColumn, w io.Writer) error {
	in, err := openParquet(src, size)
	if err != nil {
		return err
	}
	meta := map[string]string{}
	for _, key := range []string{metaRun, metaFamily} {
		if v, ok := in.Lookup(key); ok {
			meta[key] = v
		}
	}
	if r := renamed(want); r != "" {
		meta[metaRenamed] = r
	}
	rw := &rewriter{ctx: ctx, out: newParquetWriter(w, want, meta)}
	if rw.from, err = sourcesOf(in, want); err != nil {
		return err
	}
	for _, group := range in.RowGroups() {
		if err := rw.group(group, want); err != nil {
			return err
		}
	}
	return rw.out.Close()
}

// sourcesOf gives for each column of the output the place of its source in the file, -1
// if the file does not have it.
func sourcesOf(in *parquet.File, want []FinalColumn) ([]int, error) {
	features, err := featuresOf(in)
	if err != nil {
		return nil, err
	}
	place := make(map[string]int, len(features))
	for i, f := range features {
		place[f] = keyColumns + i
	}
	from := []int{0, 1, 2}
	for _, c := range want {
		at, ok := place[c.Feature]
		if !ok {
			at = -1
		}
		delete(place, c.Feature)
		from = append(from, at)
	}
	for f := range place {
		return nil, fmt.Errorf("feature %q of the file is not among the columns wanted", f)
	}
	return from, nil
}

// featuresOf gives the feature of each column behind the key columns.
func featuresOf(in *parquet.File) ([]string, error) {
	names := map[string]string{}
	if text, ok := in.Lookup(metaRenamed); ok {
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", metaRenamed, err)
		}
	}
	var features []string
	for _, field := range in.Schema().Fields()[keyColumns:] {
		f, ok := names[field.Name()]
		if !ok {
			f = field.Name()
		}
		features = append(features, f)
	}
	return features, nil
}

// openParquet opens a file of a family and checks its key columns. A file that makes the
// reader panic is an error.
func openParquet(src io.ReaderAt, size int64) (f *parquet.File, err error) {
	defer recoverCorrupt(&err)
	f, err = parquet.OpenFile(src, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	fields := f.Schema().Fields()
	for i, want := range []struct {
		name string
		kind parquet.Kind
	}{{ColumnUserID, parquet.ByteArray}, {ColumnPITCTimestamp, parquet.Int64}, {ColumnSource, parquet.ByteArray}} {
		if i >= len(fields) || fields[i].Name() != want.name || !fields[i].Leaf() || !fields[i].Required() || fields[i].Type().Kind() != want.kind {
			return nil, fmt.Errorf("column %d is not %s: this is no file of a family", i+1, want.name)
		}
	}
	for _, field := range fields[keyColumns:] {
		if !field.Leaf() || !field.Optional() {
			return nil, fmt.Errorf("column %q is no nullable feature: this is no file of a family", field.Name())
		}
	}
	return f, nil
}

// recoverCorrupt turns a panic of the Parquet reader over a damaged file into an error.
func recoverCorrupt(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is damaged: %v", p)
	}
}

type rewriter struct {
	ctx  context.Context
	out  *parquet.GenericWriter[any]
	from []int
	text []byte
}

func (r *rewriter) group(group parquet.RowGroup, want []FinalColumn) (err error) {
	defer recoverCorrupt(&err)
	chunks, columns := group.ColumnChunks(), r.out.ColumnWriters()
	for i, at := range r.from {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		switch {
		case at < 0:
			err = writeNulls(columns[i], group.NumRows())
		case i < keyColumns:
			err = r.column(chunks[at], columns[i], nil)
		default:
			err = r.column(chunks[at], columns[i], &want[i-keyColumns])
		}
		if err != nil {
			return err
		}
	}
	return r.out.Flush()
}

func writeNulls(to *parquet.ColumnWriter, rows int64) error {
	var nulls [chunkValues]parquet.Value
	for rows > 0 {
		n := min(rows, chunkValues)
		if _, err := to.WriteRowValues(nulls[:n]); err != nil {
			return err
		}
		rows -= n
	}
	return nil
}

// column copies a column's values, converted if its type is another.
func (r *rewriter) column(from parquet.ColumnChunk, to *parquet.ColumnWriter, want *FinalColumn) error {
	convert := want != nil && kindOfParquet(from.Type().Kind()) != physical(want.Kind)
	var values [chunkValues]parquet.Value
	cursor := newColumnCursor(from)
	defer cursor.close()
	for {
		n, err := cursor.read(values[:])
		if n == 0 {
			return err
		}
		if convert {
			r.text = r.text[:0]
			for i := range values[:n] {
				if values[i], err = r.convert(values[i], want); err != nil {
					return err
				}
			}
		}
		if _, err := to.WriteRowValues(values[:n]); err != nil {
			return err
		}
	}
}

// convert converts a value as Settle says: to text, or an integer to a double.
func (r *rewriter) convert(v parquet.Value, want *FinalColumn) (parquet.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	to := physical(want.Kind)
	switch {
	case to == packed.Double && v.Kind() == parquet.Int64 && exactAsDouble(v.Int64()):
		return parquet.DoubleValue(float64(v.Int64())).Level(0, 1, 0), nil
	case to != packed.String:
		return v, fmt.Errorf("feature %q: the value %v cannot become %s", want.Feature, v, to)
	}
	start := len(r.text)
	switch v.Kind() {
	case parquet.Double:
		r.text = packed.AppendDouble(r.text, v.Double())
	case parquet.Int64:
		r.text = packed.AppendInt64(r.text, v.Int64())
	case parquet.Boolean:
		r.text = packed.AppendBool(r.text, v.Boolean())
	default:
		return v, fmt.Errorf("feature %q: unknown type %v in the file", want.Feature, v.Kind())
	}
	return parquet.ByteArrayValue(r.text[start:]).Level(0, 1, 0), nil
}

// kindOfParquet gives the kind that a file stores as a Parquet type, Null if none.
func kindOfParquet(k parquet.Kind) packed.Kind {
	switch k {
	case parquet.Double:
		return packed.Double
	case parquet.Int64:
		return packed.Int64
	case parquet.Boolean:
		return packed.Bool
	case parquet.ByteArray:
		return packed.String
	default:
		return packed.Null
	}
}

// columnCursor reads a column chunk's values in turn.
type columnCursor struct {
	pages  parquet.Pages
	values parquet.ValueReader
}

func newColumnCursor(c parquet.ColumnChunk) *columnCursor { return &columnCursor{pages: c.Pages()} }

// read reads some values, which stay valid for as long as they are held. At the end it
// gives 0 and nil.
func (c *columnCursor) read(dst []parquet.Value) (int, error) {
	for {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			c.values = page.Values()
		}
		n, err := c.values.ReadValues(dst)
		if errors.Is(err, io.EOF) {
			c.values, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *columnCursor) close() { _ = c.pages.Close() }
