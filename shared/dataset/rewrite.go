package dataset

import (
	"context"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Rewrite writes a family's file once more with other columns: those wanted that it does
// not have are null, and types are converted. Rows keep their order. It works on a chunk
// of values at a time; of the output it holds one compressed row group. The file must be
// one that was checked, by its checksum or its size: a damaged one is mostly an error,
// but may announce values that do not fit memory.
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
