package zstdwords

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/huff0"
)

// Types of a block's literals.
const (
	literalsRaw     = 0
	literalsRLE     = 1
	literalsHuffman = 2
)

// worthLog says what Huffman codes must save to be worth their time: the 16th part.
const worthLog = 4

// appendLiterals appends the literals section of a block.
func (e *Encoder) appendLiterals(dst []byte) []byte {
	n := len(e.literals)
	if n < 64 { // a table would be larger than what it saves
		return append(appendLiteralsHeader(dst, literalsRaw, n), e.literals...)
	}
	e.huffman.Reuse, e.huffman.WantLogLess = huff0.ReusePolicyNone, worthLog
	compress, streams := huff0.Compress4X, uint64(1)
	if n < 256 {
		compress, streams = huff0.Compress1X, 0
	}
	out, _, err := compress(e.literals, &e.huffman)
	switch {
	case errors.Is(err, huff0.ErrUseRLE):
		return append(appendLiteralsHeader(dst, literalsRLE, n), e.literals[0])
	case err != nil: // not worth it
		return append(appendLiteralsHeader(dst, literalsRaw, n), e.literals...)
	}
	// Both sizes have 10 bits each, 14 or 18.
	size, stored := uint64(n), uint64(len(out))
	switch {
	case n < 1<<10:
		h := literalsHuffman | streams<<2 | size<<4 | stored<<14
		dst = append(dst, byte(h), byte(h>>8), byte(h>>16))
	case n < 1<<14:
		h := literalsHuffman | 2<<2 | size<<4 | stored<<18
		dst = binary.LittleEndian.AppendUint32(dst, uint32(h))
	default:
		h := literalsHuffman | 3<<2 | size<<4 | stored<<22
		dst = append(dst, byte(h), byte(h>>8), byte(h>>16), byte(h>>24), byte(h>>32))
	}
	return append(dst, out...)
}

// appendLiteralsHeader appends the header of literals that stand as they are, or are all the
// same byte.
func appendLiteralsHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		return append(dst, byte(kind|1<<2|n<<4), byte(n>>4))
	default:
		return append(dst, byte(kind|3<<2|n<<4), byte(n>>4), byte(n>>12))
	}
}
