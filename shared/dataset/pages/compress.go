package pages

import (
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// compressor is shared by all writers, so that its memory is that of as many pages as there
// are processors. The fastest level costs the least for nearly the same size.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true))
	if err != nil { // only for options that cannot be
		panic(err)
	}
	return e
})

// compress appends a zstd frame of the page.
func compress(dst, page []byte) []byte { return compressor().EncodeAll(page, dst) }

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
