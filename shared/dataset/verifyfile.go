package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

// familyCheck is what was found in the files of one family.
type familyCheck struct {
	files                       int
	rows, bytes, doubled, extra int64
	firstDoubled                []CellName
	corrupt                     []CorruptFile
	err                         error
}

// family checks the files of one family.
func (v *verifier) family(ctx context.Context, m *ManifestFamily) familyCheck {
	check := familyCheck{}
	cells := v.cells.place[m.Family]
	for i := range v.manifest.Files {
		f := &v.manifest.Files[i]
		if f.Family != m.Family {
			continue
		}
		check.files++
		fault, err := v.file(ctx, m, f, cells, &check)
		if err != nil {
			check.err = fmt.Errorf("%s: %w", f.Path, err)
			return check
		}
		if fault != nil {
			check.corrupt = append(check.corrupt, CorruptFile{f.Path, fault.Error()})
		}
		v.fileDone()
	}
	if len(check.corrupt) == 0 && check.rows != m.Committed {
		check.corrupt = append(check.corrupt, CorruptFile{ManifestName,
			fmt.Sprintf("family %q: %d cells are committed, but its files have %d rows", m.Family, m.Committed, check.rows)})
	}
	return check
}

// file checks one file. fault is what is wrong with it; err is what kept it from being
// read.
func (v *verifier) file(ctx context.Context, m *ManifestFamily, f *ManifestFile, cells *familyCells, check *familyCheck) (fault, err error) {
	blob, err := v.from.OpenVisible(ctx, f.Family, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the manifest names it, but it is not there"), nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	check.bytes += blob.Size()
	if blob.Size() != f.Bytes {
		return fmt.Errorf("it has %d bytes; the manifest says %d", blob.Size(), f.Bytes), nil
	}
	sum, err := ChecksumOf(ctx, blob)
	if err != nil {
		return nil, err
	}
	if sum != f.Checksum {
		return fmt.Errorf("its checksum is %s; the manifest says %s", sum, f.Checksum), nil
	}
	in, err := openParquet(blob, blob.Size())
	if err != nil {
		return err, nil
	}
	if fault := sameColumns(in, m); fault != nil {
		return fault, nil
	}
	if in.NumRows() != f.Rows {
		return fmt.Errorf("it has %d rows; the manifest says %d", in.NumRows(), f.Rows), nil
	}
	for _, group := range in.RowGroups() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if fault := v.rowGroup(group, f, cells, check); fault != nil {
			return fault, nil
		}
	}
	return nil, nil
}

// sameColumns compares the file's columns with those that the manifest gives for all
// files of the family.
func sameColumns(in *parquet.File, m *ManifestFamily) error {
	if family, ok := in.Lookup(metaFamily); ok && family != m.Family {
		return fmt.Errorf("it was written for family %q", family)
	}
	fields := in.Schema().Fields()[keyColumns:]
	if len(fields) != len(m.Columns) {
		return fmt.Errorf("it has %d features; the manifest says %d", len(fields), len(m.Columns))
	}
	for i, field := range fields {
		is := Column{Kind: kindOfParquet(field.Type().Kind())}
		if want := m.Columns[i]; field.Name() != want.Name || is.Kind == packed.Null || is.Type() != want.Type {
			return fmt.Errorf("feature %d is %q of type %s; the manifest says %q of type %s", i+1, field.Name(), is.Type(), want.Name, want.Type)
		}
	}
	return nil
}

// rowGroup notes the cells of a row group as present.
func (v *verifier) rowGroup(group parquet.RowGroup, f *ManifestFile, cells *familyCells, check *familyCheck) (fault error) {
	defer recoverCorrupt(&fault)
	chunks := group.ColumnChunks()
	users, times := newColumnCursor(chunks[0]), newColumnCursor(chunks[1])
	defer users.close()
	defer times.close()
	var userIDs, micros [chunkValues]parquet.Value
	for rows := int64(0); rows < group.NumRows(); {
		n, err := users.fill(userIDs[:])
		m, err2 := times.fill(micros[:])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if n != m || n == 0 {
			return fmt.Errorf("its columns %s and %s do not have as many values as rows", ColumnUserID, ColumnPITCTimestamp)
		}
		for i := range n {
			us := micros[i].Int64()
			if us%1000 != 0 {
				return fmt.Errorf("a pitc_timestamp of %d µs is finer than milliseconds", us)
			}
			v.row(userIDs[i].ByteArray(), us/1000, f, cells, check)
		}
		rows += int64(n)
		check.rows += int64(n)
	}
	return nil
}

func (v *verifier) row(userID []byte, epochMS int64, f *ManifestFile, cells *familyCells, check *familyCheck) {
	n := v.cells.find(sample.KeyOf(userID, epochMS))
	switch {
	case n < 0:
		check.extra++
		return
	case cells.present.Has(n):
		check.doubled++
		if len(check.firstDoubled) < MaxNamed {
			check.firstDoubled = append(check.firstDoubled, CellName{string(userID), sample.FormatTime(epochMS), f.Family, f.Path})
		}
		return
	case !cells.requested.Has(n):
		check.extra++
	}
	cells.present.Add(n)
}

// fill reads until dst is full or the column ends.
func (c *columnCursor) fill(dst []parquet.Value) (int, error) {
	n := 0
	for n < len(dst) {
		m, err := c.read(dst[n:])
		if m == 0 || err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// streamer is a Blob that is read faster from its beginning to its end than in pieces.
type streamer interface{ Stream() io.ReadCloser }

// ChecksumOf reads all of a blob and gives its checksum as the manifest writes it.
func ChecksumOf(ctx context.Context, b Blob) (string, error) {
	s, ok := b.(streamer)
	if !ok {
		sum, _, err := Checksum(ctx, readerOf(b))
		return sum, err
	}
	stream := s.Stream()
	sum, _, err := Checksum(ctx, stream)
	return sum, errors.Join(err, stream.Close())
}

// readerOf reads a blob from its beginning.
func readerOf(b Blob) io.Reader { return io.NewSectionReader(b, 0, b.Size()) }
