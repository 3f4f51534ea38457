package dataset

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
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
	run, _ := in.Lookup(metaRun)
	family, _ := in.Lookup(metaFamily)
	rw := &rewriter{ctx: ctx, out: pages.NewWriter(w, fileSchema(want, run, family))}
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

// chunkValues is how many values are read from a column at a time.
const chunkValues = 512

type rewriter struct {
	ctx  context.Context
	out  *pages.Writer
	from []int
	text []byte
}

func (r *rewriter) group(group parquet.RowGroup, want []FinalColumn) (err error) {
	defer recoverCorrupt(&err)
	chunks := group.ColumnChunks()
	for i, at := range r.from {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		out := r.out.Column()
		switch {
		case at < 0:
			out.Nulls(int(group.NumRows()))
		case i < keyColumns:
			err = r.column(out, chunks[at], nil)
		default:
			err = r.column(out, chunks[at], &want[i-keyColumns])
		}
		if err != nil {
			return err
		}
		if err := r.out.EndColumn(); err != nil {
			return err
		}
	}
	return nil
}

// column copies a column's values, converted if its type is another.
func (r *rewriter) column(out *pages.Chunk, from parquet.ColumnChunk, want *FinalColumn) error {
	convert := want != nil && kindOfParquet(from.Type().Kind()) != physical(want.Kind)
	var values [chunkValues]parquet.Value
	cursor := newColumnCursor(from)
	defer cursor.close()
	for {
		n, err := cursor.read(values[:])
		if n == 0 {
			return err
		}
		for _, v := range values[:n] {
			if convert {
				if v, err = r.convert(v, want); err != nil {
					return err
				}
			}
			put(out, v)
		}
	}
}

// put writes a row's value.
func put(out *pages.Chunk, v parquet.Value) {
	var number [8]byte
	switch {
	case v.IsNull():
		out.Nulls(1)
		return
	case v.Kind() == parquet.Double:
		binary.LittleEndian.PutUint64(number[:], math.Float64bits(v.Double()))
		out.Numbers(number[:])
	case v.Kind() == parquet.Int64:
		binary.LittleEndian.PutUint64(number[:], uint64(v.Int64()))
		out.Numbers(number[:])
	case v.Kind() == parquet.Boolean:
		out.Bit(v.Boolean())
	default:
		out.Text(v.ByteArray())
	}
	out.Rows(1)
}

// convert converts a value as Settle says: to text, or an integer to a double. A text is valid
// until the next call.
func (r *rewriter) convert(v parquet.Value, want *FinalColumn) (parquet.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	to := physical(want.Kind)
	switch {
	case to == packed.Double && v.Kind() == parquet.Int64 && exactAsDouble(v.Int64()):
		return parquet.DoubleValue(float64(v.Int64())), nil
	case to != packed.String:
		return v, fmt.Errorf("feature %q: the value %v cannot become %s", want.Feature, v, to)
	}
	switch v.Kind() {
	case parquet.Double:
		r.text = packed.AppendDouble(r.text[:0], v.Double())
	case parquet.Int64:
		r.text = packed.AppendInt64(r.text[:0], v.Int64())
	case parquet.Boolean:
		r.text = packed.AppendBool(r.text[:0], v.Boolean())
	default:
		return v, fmt.Errorf("feature %q: unknown type %v in the file", want.Feature, v.Kind())
	}
	return parquet.ByteArrayValue(r.text), nil
}
