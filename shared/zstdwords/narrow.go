package zstdwords

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Numbers of which few low bytes differ, as counts do, are narrow: each becomes these bytes
// as literals, and the others a match with the number before. All sequences of a block are
// the same then, so that they take no bits and nothing is searched.
const (
	minNarrow = 256  // numbers, of which the first are looked at to see whether it is worth it
	maxNarrow = 5    // bytes that differ
	maxSample = 4096 // numbers that are compared, where there are many bytes to lose
	leadWords = 2    // stand in a block before, which makes the distance of 8 the one that repeats
)

// narrow gives how many low bytes differ between numbers that are better written so, else 0.
func narrow(words []byte) int {
	if len(words) < minNarrow*wordBytes {
		return 0
	}
	if width, _ := differing(words[:minNarrow*wordBytes]); width == 0 || width > maxNarrow {
		return 0
	}
	width, same := differing(words)
	n := len(words) / wordBytes
	switch {
	case width > maxNarrow || same > n*7/8: // a run of the same is a match as a whole
		return 0
	case width > 2 && !mostlyUnlike(words, min(n, maxSample), 7), width == 2 && !mostlyUnlike(words, minNarrow, 6):
		return 0
	}
	return width
}

// differing gives how many low bytes differ between numbers, and how many numbers are the same
// as the one before.
func differing(words []byte) (width, same int) {
	before, differ := binary.LittleEndian.Uint64(words), uint64(0)
	for ; len(words) >= wordBytes; words = words[wordBytes:] {
		v := binary.LittleEndian.Uint64(words)
		d := v ^ before
		before = v
		differ |= d
		same += int(1 ^ (d|-d)>>63)
	}
	return (bits.Len64(differ) + 7) / 8, same
}

// mostlyUnlike tells whether so many eighths of the first n numbers are different ones: what
// has been there is better found as a whole.
func mostlyUnlike(words []byte, n, eighths int) bool {
	const prime = 0x9e3779b97f4a7c15
	var seen [1 << 16 / 64]uint64
	unlike := 0
	for i := range n {
		h := binary.LittleEndian.Uint64(words[i*wordBytes:]) * prime >> 48
		unlike += int(1 &^ (seen[h/64] >> (h % 64)))
		seen[h/64] |= 1 << (h % 64)
	}
	return unlike >= n/8*eighths
}

// appendNarrow appends blocks of the numbers from a place on, behind a block that makes the
// distance of 8 the one that repeats.
func (e *Encoder) appendNarrow(dst, src []byte, from, width int) []byte {
	for from < len(src) {
		end := min(from+blockBytes, len(src))
		at := len(dst)
		dst = append(dst, 0, 0, 0)
		e.gather(src[from:end], width)
		dst = e.appendLiterals(dst)
		dst = appendSequenceCount(dst, (end-from)/wordBytes)
		dst = append(dst, modeOne<<6|modeOne<<4|modeOne<<2,
			literalsCode(uint32(width)).symbol, logCode(1, 0).symbol, matchCode(uint32(wordBytes-width)).symbol,
			1) // there are no bits, and this is their end
		putBlockHeader(dst[at:], blockCompressed, end == len(src))
		from = end
	}
	return dst
}

// gather makes literals of the low bytes of numbers.
func (e *Encoder) gather(words []byte, width int) {
	e.literals = slices.Grow(e.literals[:0], len(words)/wordBytes*width+wordBytes)
	literals, n := e.literals[:cap(e.literals)], 0
	for ; len(words) >= wordBytes; words = words[wordBytes:] {
		binary.LittleEndian.PutUint64(literals[n:], binary.LittleEndian.Uint64(words))
		n += width
	}
	e.literals = literals[:n]
}
