package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// keys are the columns that every file begins with.
var keys = []arrow.Field{
	{Name: "user_id", Type: arrow.BinaryTypes.String},
	{Name: "pitc_timestamp", Type: arrow.FixedWidthTypes.Timestamp_us},
	{Name: "source", Type: arrow.BinaryTypes.String},
}

// Cell names a cell.
type Cell struct {
	Family  string
	UserID  string
	EpochMS int64
}

// File is a Parquet file of a dataset, whole in memory.
type File struct {
	Family  string // id, unescaped
	Name    string
	Schema  *arrow.Schema
	Batches []arrow.RecordBatch
	Rows    int64
}

// Visible gives the paths of the files under features/, from the dataset's directory on. A
// dataset that is not there yet has none.
func Visible(dir string) ([]string, error) {
	var all []string
	err := fs.WalkDir(os.DirFS(dir), "features", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// ReadDataset reads every file under features/, one after the other.
func ReadDataset(ctx context.Context, dir string) iter.Seq2[*File, error] {
	return func(yield func(*File, error) bool) {
		paths, err := Visible(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, path := range paths {
			f, err := readFile(ctx, dir, path)
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// readFile reads one file and checks what holds for all of them: where it is, what its
// first columns are, that every feature may be null.
func readFile(ctx context.Context, dir, path string) (*File, error) {
	f := &File{Name: filepath.Base(path)}
	parent := filepath.Base(filepath.Dir(path))
	var err error
	if f.Family, err = unescape(parent); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(parent, "family=") || filepath.Dir(filepath.Dir(path)) != "features" ||
		!strings.HasPrefix(f.Name, "part-") || !strings.HasSuffix(f.Name, ".parquet") {
		return nil, errors.New("want features/family=<family>/part-*.parquet")
	}
	r, err := file.OpenParquetFile(filepath.Join(dir, path), false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	arrowReader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	if f.Schema, err = arrowReader.Schema(); err != nil {
		return nil, err
	}
	if err := checkSchema(f.Schema); err != nil {
		return nil, err
	}
	records, err := arrowReader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	for records.Next() {
		b := records.RecordBatch()
		b.Retain()
		f.Batches = append(f.Batches, b)
		f.Rows += b.NumRows()
	}
	if err := records.Err(); err != nil {
		return nil, err
	}
	if f.Rows != r.NumRows() {
		return nil, fmt.Errorf("%d rows; its footer says %d", f.Rows, r.NumRows())
	}
	return f, nil
}

// unescape gives the family that a directory is named for. The escapes of a path are a
// subset of a URL's.
func unescape(dir string) (string, error) {
	return url.PathUnescape(strings.TrimPrefix(dir, "family="))
}

func checkSchema(s *arrow.Schema) error {
	for i, want := range keys {
		if i >= s.NumFields() || s.Field(i).Name != want.Name || !arrow.TypeEqual(s.Field(i).Type, want.Type) {
			return fmt.Errorf("its columns must begin with user_id, pitc_timestamp (microseconds, UTC) and source; they are %s", s)
		}
	}
	for _, c := range s.Fields()[len(keys):] {
		if !c.Nullable {
			return fmt.Errorf("column %s may not be null", c.Name)
		}
		switch c.Type.ID() {
		case arrow.FLOAT64, arrow.INT64, arrow.BOOL, arrow.STRING:
		default:
			return fmt.Errorf("column %s is a %s", c.Name, c.Type)
		}
	}
	return nil
}

// Batch is some rows of a file with their keys.
type batch struct {
	arrow.RecordBatch
	users, sources *array.String
	times          *array.Timestamp
}

// batches goes through the rows of a file.
func (f *File) batches() iter.Seq[batch] {
	return func(yield func(batch) bool) {
		for _, b := range f.Batches {
			// readFile has checked the types.
			if !yield(batch{b, b.Column(0).(*array.String), b.Column(2).(*array.String), b.Column(1).(*array.Timestamp)}) {
				return
			}
		}
	}
}

// cell gives the cell that a row is.
func (b *batch) cell(family string, row int) (Cell, error) {
	if b.users.IsNull(row) || b.times.IsNull(row) || b.sources.IsNull(row) {
		return Cell{}, fmt.Errorf("row %d: a key column is null", row)
	}
	us := int64(b.times.Value(row))
	if us%1000 != 0 {
		return Cell{}, fmt.Errorf("row %d: the time %d µs is no whole millisecond", row, us)
	}
	return Cell{Family: family, UserID: b.users.Value(row), EpochMS: us / 1000}, nil
}

// Rows reads a dataset as text: each cell with its source and its values by column, as they
// compare with those of another dataset. A cell that is there twice is an error.
func Rows(ctx context.Context, dir string) (map[Cell]string, error) {
	all := map[Cell]string{}
	for f, err := range ReadDataset(ctx, dir) {
		if err != nil {
			return nil, err
		}
		for b := range f.batches() {
			for row := range int(b.NumRows()) {
				c, err := b.cell(f.Family, row)
				if err != nil {
					return nil, fmt.Errorf("%s of %s: %w", f.Name, f.Family, err)
				}
				if _, twice := all[c]; twice {
					return nil, fmt.Errorf("%+v is there twice", c)
				}
				all[c] = b.text(row)
			}
		}
	}
	return all, nil
}

// text writes the source and the values of a row.
func (b *batch) text(row int) string {
	var s strings.Builder
	s.WriteString(b.sources.Value(row))
	for i := len(keys); i < int(b.NumCols()); i++ {
		c := b.Column(i)
		value := "null"
		if !c.IsNull(row) {
			value = fmt.Sprintf("%q", c.ValueStr(row))
		}
		fmt.Fprintf(&s, " %s:%s=%s", b.ColumnName(i), c.DataType(), value)
	}
	return s.String()
}
