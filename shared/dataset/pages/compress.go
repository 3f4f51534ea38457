package pages

import (
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"github.com/fastfeaturefetch/fff/shared/zstdwords"
)

// general is shared by all writers, so that its memory is that of as many pages as there
// are processors. The fastest level costs the least for nearly the same size.
var general = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(2*pageBytes))
	if err != nil { // only for options that cannot be
		panic(err)
	}
	return e
})

// numbers are compressors of 8-byte values.
var numbers = sync.Pool{New: func() any { return new(zstdwords.Encoder) }}

// minNumbers is how many bytes of values make a compressor of numbers worth its tables.
const minNumbers = 2 << 10

// compress appends a zstd frame of a page whose values begin at a place.
func compress(dst, page []byte, values int, t Type) []byte {
	if physical[t] != format.Int64 && physical[t] != format.Double || len(page)-values < minNumbers {
		return general().EncodeAll(page, dst)
	}
	e := numbers.Get().(*zstdwords.Encoder)
	defer numbers.Put(e)
	return e.Append(dst, page, values)
}

// Parts of a page header in Thrift's compact protocol.
const (
	fieldInt32  = 0x15 // the next field, an i32
	fieldStruct = 0x1c // the next field, a struct
	endStruct   = 0
	plainCode   = 0 // of an encoding: PLAIN
	rleCode     = 3 // and RLE
)

// appendPageHeader appends the header of a data page of version 1.
func appendPageHeader(dst []byte, uncompressed int, page []byte, rows int) []byte {
	dst = appendInt32(dst, 0) // a data page
	dst = appendInt32(dst, int32(uncompressed))
	dst = appendInt32(dst, int32(len(page)))
	dst = appendInt32(dst, int32(crc32.ChecksumIEEE(page)))
	dst = append(dst, fieldStruct)
	dst = appendInt32(dst, int32(rows))
	dst = appendInt32(dst, plainCode)
	dst = appendInt32(dst, rleCode) // definition levels
	dst = appendInt32(dst, rleCode) // repetition levels
	return append(dst, endStruct, endStruct)
}

func appendInt32(dst []byte, v int32) []byte {
	return binary.AppendVarint(append(dst, fieldInt32), int64(v))
}
