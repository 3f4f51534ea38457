package recordsfile

import (
	"bytes"
	"fmt"
	"io"

	"github.com/fastfeaturefetch/fff/shared/record"
)

// csvRow reads one row of CSV after the other.
type csvRow struct {
	lines  *lines
	line   int64    // where the row begins, 1-based
	raw    []byte   // as it was given
	fields [][]byte // valid until the next read
	blank  bool     // an empty line

	text []byte // quoted values, unescaped
}

// read reads a row. A *record.FieldError is about this row only; after any other
// error nothing more can be read.
func (c *csvRow) read() error {
	c.fields, c.text, c.raw = c.fields[:0], c.text[:0], c.raw[:0]
	c.line = c.lines.line + 1
	if err := c.more(); err != nil {
		return err
	}
	for at := 0; ; {
		end, err := c.field(at)
		if err != nil {
			return err
		}
		if end == len(c.raw) {
			break
		}
		at = end + 1 // over the comma
	}
	c.blank = len(c.raw) == 0
	return nil
}

// more adds a line to the row, without its line break.
func (c *csvRow) more() error {
	text, whole, err := c.lines.next()
	if err != nil {
		return err
	}
	if !whole || len(c.raw)+len(text) > maxRowBytes {
		return fmt.Errorf("a row is longer than %d bytes; is a quote left open?", maxRowBytes)
	}
	c.raw = append(c.raw, trimLineBreak(text)...)
	return nil
}

func trimLineBreak(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

// field reads the value at a place and gives the place of what ends it.
func (c *csvRow) field(at int) (end int, err error) {
	if at < len(c.raw) && c.raw[at] == '"' {
		return c.quoted(at + 1)
	}
	value := c.raw[at:]
	if i := bytes.IndexByte(value, ','); i >= 0 {
		value = value[:i]
	}
	if bytes.IndexByte(value, '"') >= 0 {
		return 0, &record.FieldError{Msg: fmt.Sprintf("value %d holds a quote; put the whole value in quotes, and write the quote twice", len(c.fields)+1)}
	}
	c.fields = append(c.fields, value)
	return at + len(value), nil
}

func (c *csvRow) quoted(at int) (end int, err error) {
	start, opened := len(c.text), c.lines.line
	for {
		i := bytes.IndexByte(c.raw[at:], '"')
		if i < 0 { // the value goes on in the next line
			c.text = append(append(c.text, c.raw[at:]...), '\n')
			at = len(c.raw) + 1
			c.raw = append(c.raw, '\n')
			if err := c.more(); err == io.EOF {
				return 0, fmt.Errorf("a quote that opens in line %d is never closed; close it, or write it twice if it belongs to the value", opened)
			} else if err != nil {
				return 0, err
			}
			continue
		}
		c.text = append(c.text, c.raw[at:at+i]...)
		at += i + 1
		if at == len(c.raw) || c.raw[at] == ',' {
			c.fields = append(c.fields, c.text[start:len(c.text):len(c.text)])
			return at, nil
		}
		if c.raw[at] != '"' {
			return 0, &record.FieldError{Msg: fmt.Sprintf("value %d goes on behind its closing quote; write a quote that belongs to the value twice", len(c.fields)+1)}
		}
		c.text = append(c.text, '"')
		at++
	}
}
