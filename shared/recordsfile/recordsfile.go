// Package recordsfile reads the files that hold the samples of a run: JSONL, CSV and
// Parquet, row by row, in memory that does not depend on the file's size.
package recordsfile

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Bounds of what is read.
const (
	maxRowBytes = 1 << 20 // a line of JSONL, a row of CSV
	maxRawBytes = 4 << 10 // what BadRecord keeps of a row
)

// Stdin is the path of standard input, which is JSONL.
const Stdin = "-"

// Options say how a file is read.
type Options struct {
	Columns  runfile.Records // names of columns and the time zone, from the run file
	Families []string        // ids of the run's families
}

// names gives the columns' names, with the public ones where none is set.
func (o *Options) names() (record.Names, error) {
	n := record.Names{
		UserID: "user_id", PITCTimestamp: "pitc_timestamp", FeatureFamilies: "feature_families",
		Attributes: o.Columns.Attributes,
	}
	for _, c := range []struct {
		dst  *string
		name string
	}{{&n.UserID, o.Columns.UserID}, {&n.PITCTimestamp, o.Columns.PITCTimestamp}, {&n.FeatureFamilies, o.Columns.FeatureFamilies}} {
		if c.name != "" {
			*c.dst = c.name
		}
	}
	if o.Columns.Timezone == "" {
		return n, nil
	}
	location, err := time.LoadLocation(o.Columns.Timezone)
	if err != nil {
		return n, fmt.Errorf("records.timezone: %q is no time zone; use UTC or a name such as Africa/Nairobi", o.Columns.Timezone)
	}
	n.Location = location
	return n, nil
}

// Row is a record and its place.
type Row struct {
	Record record.Record
	Line   int64 // 1-based line of JSONL and CSV, 1-based row of Parquet
}

// BadRecord is a row that is no record. Reading goes on after it.
type BadRecord struct {
	File   string
	Line   int64  // 1-based line of JSONL and CSV, 1-based row of Parquet
	Unit   string // what Line counts: "line" or "row"
	Field  string // column or field; "" = the row itself
	Reason string // what is wrong and what to do
	Raw    string // the row as it was given, cut to 4 KB
}

// Error gives file, line, field and reason.
func (b *BadRecord) Error() string {
	s := fmt.Sprintf("%s: %s %d: ", b.File, b.Unit, b.Line)
	if b.Field != "" {
		s += b.Field + ": "
	}
	return s + b.Reason
}

// clipRaw keeps of a row what a person needs to find it again.
func clipRaw(raw []byte) string {
	if len(raw) > maxRawBytes {
		raw = raw[:maxRawBytes]
	}
	return strings.ToValidUTF8(string(raw), "\ufffd")
}

// source gives the rows of one format. A *BadRecord is an error of one row, io.EOF
// the end.
type source interface {
	next() (Row, error)
	close() error
}

// Reader reads a records file once, from its beginning to its end.
type Reader struct {
	name    string
	rows    source
	closers []io.Closer
}

// Open opens a file by its extension: .jsonl, .ndjson and .json (one record a line),
// .csv, .parquet; the text formats also with .gz behind. Stdin ("-") is JSONL.
// Columns that are missing, and a file without any record, are errors.
func Open(path string, o Options) (*Reader, error) {
	if path == Stdin {
		return newReader("standard input", os.Stdin, ".jsonl", o)
	}
	format, zipped := formatOf(path)
	if format == "" {
		return nil, fmt.Errorf("%s: the name does not say what it is; use .jsonl, .ndjson, .json, .csv (each also with .gz) or .parquet", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("records file: %w", err)
	}
	r, err := openFile(file, path, format, zipped, o)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.closers = append(r.closers, file)
	return r, nil
}

// OpenJSONL reads JSONL from a stream that somebody else opened and closes; name is what
// errors call it.
func OpenJSONL(name string, from io.Reader, o Options) (*Reader, error) {
	return newReader(name, from, ".jsonl", o)
}

func formatOf(path string) (format string, zipped bool) {
	name := strings.ToLower(filepath.Base(path))
	name, zipped = strings.CutSuffix(name, ".gz")
	switch format = filepath.Ext(name); format {
	case ".jsonl", ".ndjson", ".json":
		return ".jsonl", zipped
	case ".csv":
		return format, zipped
	case ".parquet":
		if !zipped {
			return format, false
		}
	}
	return "", false
}

func openFile(file *os.File, path, format string, zipped bool, o Options) (*Reader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("records file: %w", err)
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name a file in it", path)
	case info.Mode().IsRegular() && info.Size() == 0:
		return nil, fmt.Errorf("%s is empty; a records file holds a record at least", path)
	case format == ".parquet":
		rows, err := newParquet(path, file, info.Size(), o)
		if err != nil {
			return nil, err
		}
		return &Reader{name: path, rows: rows}, nil
	case !zipped:
		return newReader(path, file, format, o)
	}
	plain, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: it cannot be unzipped (%w); write it again, or without .gz", path, err)
	}
	return newReader(path, plain, format, o)
}

// newReader reads a text format.
func newReader(name string, from io.Reader, format string, o Options) (*Reader, error) {
	names, err := o.names()
	if err != nil {
		return nil, err
	}
	r := &Reader{name: name}
	if format == ".csv" {
		r.rows, err = newCSV(name, from, names, o.Families)
	} else {
		r.rows = newJSONL(name, from, names, o.Families)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// All gives the rows in the file's order. A *BadRecord is given as the error of its
// row, and reading goes on; any other error ends it. It can be used once.
func (r *Reader) All() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for n := 0; ; n++ {
			row, err := r.rows.next()
			if err == io.EOF {
				if n == 0 {
					yield(Row{}, fmt.Errorf("%s holds no records; it needs one at least", r.name))
				}
				return
			}
			_, bad := errors.AsType[*BadRecord](err)
			if !yield(row, err) || err != nil && !bad {
				return
			}
		}
	}
}

// Close closes the file. Standard input stays open.
func (r *Reader) Close() error {
	err := r.rows.close()
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Hash gives the hexadecimal SHA-256 of a file's bytes.
func Hash(path string) (string, error) {
	if path == Stdin {
		return "", errors.New("standard input has no hash, because it can be read only once; give a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("records file: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("records file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
