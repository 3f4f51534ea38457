// Package recordsfile reads the files that hold the samples of a run: JSONL, CSV and
// Parquet, row by row, in memory that does not depend on the file's size.
package recordsfile

import (
	"errors"
	"fmt"
	"io"
	"iter"
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

// Stdin is the path that stands for standard input, which is JSONL.
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
	rest    io.Reader // of a text: the bytes that it is read from
	closers []io.Closer
}

// Open opens a local file to read it once; see OpenLocal. Columns that are missing, and a
// file without any record, are errors.
func Open(path string, o Options) (*Reader, error) {
	f, err := OpenLocal(path)
	if err != nil {
		return nil, err
	}
	r, err := f.Read(o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// OpenJSONL reads JSONL from a stream that somebody else opened and closes; name is what
// errors call it.
func OpenJSONL(name string, from io.Reader, o Options) (*Reader, error) {
	return newReader(name, from, ".jsonl", o)
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

// Close ends the reading. What somebody else opened stays open.
func (r *Reader) Close() error {
	err := r.rows.close()
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}
