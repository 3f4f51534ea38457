package dataset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// openParquet opens a file of a family and checks its key columns. A file that makes the
// reader panic is an error.
func openParquet(src io.ReaderAt, size int64) (f *parquet.File, err error) {
	defer recoverCorrupt(&err)
	if err := checkFooter(src, size); err != nil {
		return nil, err
	}
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

// checkFooter checks what the Parquet reader takes on trust: that the footer has the
// length which the file's end announces.
func checkFooter(src io.ReaderAt, size int64) error {
	var tail [8]byte // length of the footer, magic
	if size < int64(len(parquetMagic)+len(tail)) {
		return errors.New("too short for a Parquet file")
	}
	if _, err := src.ReadAt(tail[:], size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(tail[4:]) != parquetMagic {
		return errors.New("it does not end as a Parquet file does; it may be cut short")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:4])); n > size-int64(len(parquetMagic)+len(tail)) {
		return fmt.Errorf("it announces a footer of %d bytes, which is longer than the file", n)
	}
	return nil
}

const parquetMagic = "PAR1"

// recoverCorrupt turns a panic of the Parquet reader over a damaged file into an error.
func recoverCorrupt(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is damaged: %v", p)
	}
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
