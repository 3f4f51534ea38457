package recordsfile

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Content is the bytes of a records file, wherever they are. They must be the same however
// often they are read: what was checked is what is used.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Stream() io.ReadCloser // from the beginning
}

// blockKeeper is a Content that keeps what it read for ReadAt, best as many blocks as there
// are places that are read by turns.
type blockKeeper interface{ KeepBlocks(n int) }

// File is a records file that can be read more than once.
type File struct {
	name    string
	format  string // .jsonl, .csv, .parquet
	zipped  bool
	content Content
}

// OpenLocal opens a file of this machine; see OpenContent.
func OpenLocal(path string) (*File, error) {
	if err := CheckName(path); err != nil { // before a pipe is opened, which waits
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("records file: %w", err)
	}
	local := &localContent{File: file}
	info, err := file.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("records file: %w", err)
	case info.IsDir():
		err = fmt.Errorf("%s is a directory; name a file in it", path)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no regular file, and records are read more than once; give them on standard input (-)", path)
	default:
		local.size = info.Size()
		var f *File
		if f, err = OpenContent(path, local); err == nil {
			return f, nil
		}
	}
	return nil, errors.Join(err, file.Close())
}

// OpenContent takes bytes for a records file. What they are is told by the name's extension:
// .jsonl, .ndjson and .json (one record a line), .csv, .parquet; the text formats also with
// .gz behind. The name is also what errors call the file, which closes the content.
func OpenContent(name string, c Content) (*File, error) {
	format, zipped, err := formatOf(name)
	if err != nil {
		return nil, err
	}
	if c.Size() == 0 {
		return nil, fmt.Errorf("%s is empty; a records file holds a record at least", name)
	}
	return &File{name: name, format: format, zipped: zipped, content: c}, nil
}

// CheckName refuses names that do not say what a file is.
func CheckName(name string) error {
	_, _, err := formatOf(name)
	return err
}

func formatOf(path string) (format string, zipped bool, err error) {
	name := strings.ToLower(filepath.Base(path))
	name, zipped = strings.CutSuffix(name, ".gz")
	switch format = filepath.Ext(name); format {
	case ".jsonl", ".ndjson", ".json":
		return ".jsonl", zipped, nil
	case ".csv":
		return format, zipped, nil
	case ".parquet":
		if !zipped {
			return format, false, nil
		}
	}
	return "", false, fmt.Errorf("%s: the name does not say what it is; use .jsonl, .ndjson, .json, .csv (each also with .gz) or .parquet", path)
}

// Close closes the file; readers of it are to be closed before.
func (f *File) Close() error { return f.content.Close() }

// Read reads the file from its beginning. Columns that are missing, and a file without any
// record, are errors.
func (f *File) Read(o Options) (*Reader, error) { return f.read(o, io.Discard) }

// read is Read that copies the bytes which it takes from a text file, zipped as they are.
func (f *File) read(o Options, to io.Writer) (*Reader, error) {
	if f.format == ".parquet" {
		rows, err := newParquet(f.name, f.content, f.content.Size(), o)
		if err != nil {
			return nil, err
		}
		if k, ok := f.content.(blockKeeper); ok {
			k.KeepBlocks(min(len(rows.cursors())+1, maxKept))
		}
		return &Reader{name: f.name, rows: rows}, nil
	}
	stream := f.content.Stream()
	from := io.TeeReader(stream, to)
	plain := from
	if f.zipped {
		unzipped, err := gzip.NewReader(from)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: it cannot be unzipped (%w); write it again, or without .gz", f.name, err), stream.Close())
		}
		plain = unzipped
	}
	r, err := newReader(f.name, plain, f.format, o)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	r.rest = from
	r.closers = append(r.closers, stream)
	return r, nil
}

// maxKept bounds the blocks that a Content is asked to keep.
const maxKept = 64

// localContent is a file of this machine. Its size is that at the beginning.
type localContent struct {
	*os.File
	size int64
}

func (l *localContent) Size() int64 { return l.size }

func (l *localContent) Stream() io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(l.File, 0, l.size))
}
