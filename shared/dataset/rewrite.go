package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Source is a Parquet file of a family that is read.
type Source struct {
	Data io.ReaderAt
	Size int64
}

// Rewrite writes a family's file once more with other columns: those wanted that it does
// not have are null, and types are converted. Rows keep their order, and row groups. It works
// on a chunk of values at a time. The file must be one that was checked by its checksum: of a
// damaged one pages may be copied as they are, or it may announce values that do not fit
// memory.
func Rewrite(ctx context.Context, src Source, want []FinalColumn, w io.Writer) error {
	r := rewriter{ctx: ctx, want: want, w: w}
	err := func() error {
		groups, err := r.open(src)
		if err != nil {
			return err
		}
		for i := range groups {
			if err := r.group(groups[i : i+1]); err != nil {
				return err
			}
		}
		return r.out.Close()
	}()
	if err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	return nil
}

// MergedGroupRows bounds a row group of a merged file. Readers share the row groups of a file
// among their threads, and look at the statistics of each: DuckDB makes them of so many rows.
const MergedGroupRows = 122_880

// Merge writes the files of a family as one, whose columns are as Rewrite makes them. The row
// groups of a list of sources become one, as far as it has no more than MergedGroupRows; rows
// keep their order. Where a column needs no conversion its pages are copied as they are, and
// their checksums are not looked at. What is said of Rewrite's file is true of all sources.
func Merge(ctx context.Context, lists iter.Seq2[[]Source, error], want []FinalColumn, w io.Writer) error {
	r := rewriter{ctx: ctx, want: want, w: w}
	err := func() error {
		for list, err := range lists {
			if err != nil {
				return err
			}
			var all []rowGroup
			for _, src := range list {
				groups, err := r.open(src)
				if err != nil {
					return err
				}
				all = append(all, groups...)
			}
			for len(all) > 0 {
				n := fitting(all)
				if err := r.group(all[:n]); err != nil {
					return err
				}
				all = all[n:]
			}
		}
		if r.out == nil {
			return errors.New("there are no files")
		}
		return r.out.Close()
	}()
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

// fitting tells how many of some row groups become one: one at least.
func fitting(groups []rowGroup) (n int) {
	for rows := int64(0); n < len(groups); n++ {
		if rows += groups[n].rows.NumRows(); n > 0 && rows > MergedGroupRows {
			break
		}
	}
	return n
}

// chunkValues is how many values are read from a column at a time.
const chunkValues = 512

type rewriter struct {
	ctx    context.Context
	want   []FinalColumn
	w      io.Writer
	schema *pages.Schema // nil until the first file is open
	out    *pages.Writer
	text   []byte
}

// rowGroup is a row group of a file that is read.
type rowGroup struct {
	src  io.ReaderAt
	rows parquet.RowGroup
	meta []format.ColumnChunk
	own  bool  // written by this program, of this version or another
	from []int // for each column of the output its place in the file, -1 if the file does not have it
}

// open opens a file. The first one says of which run and family the output is.
func (r *rewriter) open(src Source) ([]rowGroup, error) {
	in, err := openParquet(src.Data, src.Size)
	if err != nil {
		return nil, err
	}
	if r.out == nil {
		run, _ := in.Lookup(metaRun)
		family, _ := in.Lookup(metaFamily)
		r.schema = fileSchema(r.want, run, family)
		r.out = pages.NewWriter(r.w, r.schema)
	}
	from, err := sourcesOf(in, r.want)
	if err != nil {
		return nil, err
	}
	meta, groups := in.Metadata().RowGroups, make([]rowGroup, len(in.RowGroups()))
	for i, g := range in.RowGroups() {
		groups[i] = rowGroup{src: src.Data, rows: g, meta: meta[i].Columns, own: strings.HasPrefix(in.Metadata().CreatedBy, createdByUs), from: from}
	}
	return groups, nil
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

// group writes a row group of several.
func (r *rewriter) group(groups []rowGroup) (err error) {
	defer recoverCorrupt(&err)
	for column := range r.schema.Columns {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		out := r.out.Column()
		for i := range groups {
			if err := r.column(out, &groups[i], column); err != nil {
				return err
			}
		}
		if err := r.out.EndColumn(); err != nil {
			return err
		}
	}
	return nil
}

// column writes a row group's values of a column: its pages, or where the column's type or
// the form of the pages is another, its values.
func (r *rewriter) column(out *pages.Chunk, g *rowGroup, column int) error {
	at := g.from[column]
	if at < 0 {
		out.Nulls(int(g.rows.NumRows()))
		return nil
	}
	// What others leave out of their statistics cannot be told from a zero.
	if m := &g.meta[at].MetaData; g.own && pages.Copyable(m, &r.schema.Columns[column]) {
		out.Copy(m, io.NewSectionReader(g.src, m.DataPageOffset, m.TotalCompressedSize))
		return nil
	}
	chunk := g.rows.ColumnChunks()[at]
	if column < keyColumns {
		return r.values(out, chunk, nil)
	}
	return r.values(out, chunk, &r.want[column-keyColumns])
}

// values copies a column's values, converted if its type is another.
func (r *rewriter) values(out *pages.Chunk, from parquet.ColumnChunk, want *FinalColumn) error {
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
