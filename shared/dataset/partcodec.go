package dataset

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

// A completion index in bytes:
//
//	"FFFI" version=4
//	run, epoch, name
//	number of keys, 16 bytes a key
//	form of what follows, up to the sum (since version 4): as it is, or as a frame of zstd
//	number of families, and for each:
//	  family, file name, rows, bytes, checksum, upload id, rows from DynamoDB
//	  number of columns, and for each: flags (kind, exact, renamed), feature [name]
//	  number of statistics, that of the columns or 0, and for each (since version 3):
//	    flags (kinds, varied, same), absent, null, not finite [8 bytes, big endian]
//	  form of the bitmap [one bit a key, padded to bytes]
//	XXH3 (64 bits, big endian) of all before
//
// Numbers are unsigned varints; strings have their length before them.
const (
	indexMagic   = "FFFI"
	indexVersion = 4
	indexSumLen  = 8

	indexUnzipped     = 3 // the version before
	indexWithoutStats = 2 // the version before that
)

// Forms of the families.
const (
	familiesRaw    = 0
	familiesZipped = 1
)

// maxZipped bounds the families that travel in a frame, so that whoever reads them knows what
// they may take.
const maxZipped = 64 << 20

// The names of columns and their statistics are the same in many families: what is left of
// them is a sixth.
var (
	zipper = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<19), zstd.WithLowerEncoderMem(true)))
	})
	unzipper = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxZipped), zstd.WithDecoderConcurrency(1)))
	})
)

// must is for options that are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Flags of a column; the low four bits are its kind.
const (
	kindMask      = 0x0f
	columnExact   = 0x10
	columnRenamed = 0x20
)

// Flags of a column's statistics; the low six bits are the kinds.
const (
	statsKinds  = 0x3f
	statsVaried = 0x40
	statsSame   = 0x80
)

// Forms of a bitmap.
const (
	bitmapNone = 0
	bitmapAll  = 1
	bitmapRaw  = 2
)

// EncodePart gives the bytes of a completion index: about 16 bytes a sample, one bit a cell,
// and some 10 KB for the columns of 50 families of 60 features.
func EncodePart(p *Part) []byte {
	b := make([]byte, 0, 1024+len(p.Keys)*16)
	b = append(b, indexMagic...)
	b = append(b, indexVersion)
	b = appendString(b, p.Run)
	b = binary.AppendUvarint(b, p.Epoch)
	b = appendString(b, p.Name)
	b = binary.AppendUvarint(b, uint64(len(p.Keys)))
	for i := range p.Keys {
		b = append(b, p.Keys[i][:]...)
	}
	families := binary.AppendUvarint(nil, uint64(len(p.Families)))
	for i := range p.Families {
		families = appendFamilyPart(families, &p.Families[i], len(p.Keys))
	}
	if len(families) <= maxZipped {
		b = zipper().EncodeAll(families, append(b, familiesZipped))
	} else {
		b = append(append(b, familiesRaw), families...)
	}
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
}

func appendFamilyPart(b []byte, f *FamilyPart, keys int) []byte {
	b = appendString(b, f.Family)
	b = appendString(b, f.File.Name)
	b = binary.AppendUvarint(b, uint64(f.File.Rows))
	b = binary.AppendUvarint(b, uint64(f.File.Bytes))
	b = appendString(b, f.File.Checksum)
	b = appendString(b, f.File.UploadID)
	b = binary.AppendUvarint(b, uint64(f.FromDynamoDB))
	b = binary.AppendUvarint(b, uint64(len(f.File.Columns)))
	for i := range f.File.Columns {
		b = appendColumn(b, &f.File.Columns[i])
	}
	b = binary.AppendUvarint(b, uint64(len(f.Stats)))
	for i := range f.Stats {
		b = appendStats(b, &f.Stats[i])
	}
	return appendBitmap(b, f.Rows, keys)
}

func appendColumn(b []byte, c *Column) []byte {
	flags := byte(c.Kind) & kindMask
	if c.ExactAsDouble {
		flags |= columnExact
	}
	if c.Name != c.Feature {
		flags |= columnRenamed
	}
	b = appendString(append(b, flags), c.Feature)
	if c.Name != c.Feature {
		b = appendString(b, c.Name)
	}
	return b
}

func appendStats(b []byte, s *ColumnStats) []byte {
	flags := byte(s.Kinds) & statsKinds
	if s.Varied {
		flags |= statsVaried
	}
	if s.Same != 0 {
		flags |= statsSame
	}
	b = append(b, flags)
	for _, n := range []int64{s.Absent, s.Null, s.NotFinite} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	if s.Same != 0 {
		b = binary.BigEndian.AppendUint64(b, s.Same)
	}
	return b
}

func appendBitmap(b []byte, rows Bitmap, keys int) []byte {
	switch {
	case rows.full(keys):
		return append(b, bitmapAll)
	case rows.Count() == 0:
		return append(b, bitmapNone)
	}
	b = append(b, bitmapRaw)
	for i := range (keys + 7) / 8 {
		var octet byte
		if i/8 < len(rows) {
			octet = byte(rows[i/8] >> (i % 8 * 8))
		}
		b = append(b, octet)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
