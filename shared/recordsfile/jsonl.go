package recordsfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/fastfeaturefetch/fff/shared/record"
)

// lines reads a text line by line. A byte order mark at the beginning is left out.
type lines struct {
	from *bufio.Reader
	line int64 // lines read so far
	buf  []byte
}

func newLines(from io.Reader) *lines { return &lines{from: bufio.NewReaderSize(from, 256<<10)} }

// next gives a line with its line break, valid until the next call. whole is false
// for a line above maxRowBytes, of which it gives the beginning.
func (l *lines) next() (text []byte, whole bool, err error) {
	l.buf = l.buf[:0]
	whole = true
	for {
		part, err := l.from.ReadSlice('\n')
		if l.line == 0 && len(l.buf) == 0 {
			part = bytes.TrimPrefix(part, []byte("\ufeff"))
		}
		if whole = whole && len(l.buf)+len(part) <= maxRowBytes; whole {
			l.buf = append(l.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(l.buf) == 0:
			return nil, true, io.EOF
		case err != nil && err != io.EOF:
			return nil, true, err
		}
		l.line++
		return l.buf, whole, nil
	}
}

// jsonl reads one record a line.
type jsonl struct {
	name   string
	lines  *lines
	parser *record.Parser
}

func newJSONL(name string, from io.Reader, names record.Names, families []string) *jsonl {
	return &jsonl{name: name, lines: newLines(from), parser: record.NewParser(record.NewValidator(families), names)}
}

func (j *jsonl) close() error { return nil }

func (j *jsonl) next() (Row, error) {
	for {
		text, whole, err := j.lines.next()
		if err == io.EOF {
			return Row{}, io.EOF
		}
		if err != nil {
			return Row{}, readError(j.name, j.lines.line+1, err)
		}
		text = bytes.Trim(text, " \t\r\n")
		if len(text) == 0 {
			continue
		}
		if !whole {
			return Row{}, j.bad(text, &record.FieldError{Msg: fmt.Sprintf("the line is longer than %d bytes; write one record a line", maxRowBytes)})
		}
		r, err := j.parser.Parse(text)
		if err != nil {
			return Row{}, j.bad(text, err)
		}
		return Row{Record: r, Line: j.lines.line}, nil
	}
}

func (j *jsonl) bad(text []byte, err error) error {
	return badRecord(j.name, "line", j.lines.line, text, err)
}

// badRecord places what is wrong with a record.
func badRecord(file, unit string, line int64, raw []byte, err error) *BadRecord {
	b := &BadRecord{File: file, Unit: unit, Line: line, Reason: err.Error(), Raw: clipRaw(raw)}
	if f, ok := errors.AsType[*record.FieldError](err); ok {
		b.Field, b.Reason = f.Field, f.Msg
	}
	return b
}

// readError is an error that ends reading.
func readError(file string, line int64, err error) error {
	return fmt.Errorf("%s: line %d: it cannot be read further: %w", file, line, err)
}
