package pages

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

// bufferBytes is what is gathered of small pages before they are written.
const bufferBytes = 32 << 10

// Writer writes a file.
type Writer struct {
	out    *bufio.Writer
	schema *Schema
	offset int64
	chunk  Chunk
	next   int // column of the row group that is written next
	group  format.RowGroup
	groups []format.RowGroup
	err    error // the first one, of out
}

// NewWriter makes a writer. Nothing is written before the first page.
func NewWriter(out io.Writer, s *Schema) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, bufferBytes), schema: s}
	w.chunk.w = w
	return w
}

// Column begins the row group's next column, and the next row group behind its last column.
// The column before must be at its end. It must not be used after the next call.
func (w *Writer) Column() *Chunk {
	if w.next == 0 {
		w.group = format.RowGroup{Columns: make([]format.ColumnChunk, len(w.schema.Columns)), Ordinal: int16(len(w.groups))}
	}
	w.chunk.begin(&w.schema.Columns[w.next])
	return &w.chunk
}

// EndColumn ends the column that was begun last. An error may be that of a page before. All
// columns of a row group must have as many rows as the first.
func (w *Writer) EndColumn() error {
	c := &w.chunk
	c.flush()
	if w.err != nil {
		return w.err
	}
	switch {
	case w.next == 0:
		w.group.NumRows, w.group.FileOffset = c.rows, c.offset
	case c.rows != w.group.NumRows:
		return fmt.Errorf("column %q has %d rows of %d", c.column.Name, c.rows, w.group.NumRows)
	}
	meta := c.metadata()
	w.group.Columns[w.next] = format.ColumnChunk{MetaData: meta}
	w.group.TotalByteSize += meta.TotalUncompressedSize
	w.group.TotalCompressedSize += meta.TotalCompressedSize
	w.next++
	if w.next == len(w.schema.Columns) {
		w.groups, w.next = append(w.groups, w.group), 0
	}
	return nil
}

// Close writes the footer. It does not close what the file was written to.
func (w *Writer) Close() error {
	if w.err == nil && w.next != 0 {
		return errors.New("a row group has no end")
	}
	w.start()
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), w.schema.footer(w.groups))
	if err != nil {
		return err
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	w.write(append(footer, magic...))
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// start writes what a file begins with.
func (w *Writer) start() {
	if w.offset == 0 {
		w.write([]byte(magic))
	}
}

// copy writes n bytes that are read.
func (w *Writer) copy(from io.Reader, n int64) {
	if w.err != nil {
		return
	}
	var copied int64
	copied, w.err = io.CopyN(w.out, from, n)
	w.offset += copied
	if errors.Is(w.err, io.EOF) {
		w.err = io.ErrUnexpectedEOF
	}
}

func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(p)
	w.offset += int64(n)
	w.err = err
}
