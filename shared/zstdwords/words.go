// Package zstdwords compresses sequences of 8-byte numbers into zstd frames, which every
// decoder of zstd reads.
//
// A general compressor looks for repetitions at every byte. Those of a column of numbers
// stand at whole numbers: the number was there before, or agrees with one before in its low
// bytes, as decimal fractions do, or in its high bytes, as counts do. To look for just these
// takes a fraction of the time and finds more of them.
package zstdwords

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	wordBytes  = 8
	blockBytes = 128 << 10 // most that a block of zstd holds
	minMatch   = 3
	maxHashLog = 13
	hopeless   = 4 << 10 // bytes without a match behind which none is looked for
)

// Encoder compresses one input after the other. Its zero value is ready. It takes about
// 0.6 MiB, and must not be used by two goroutines at the same time.
type Encoder struct {
	whole, low [1 << maxHashLog]uint32 // end of the number's place, by hash of all its bytes and of the low four
	shift      uint

	literals  []byte
	sequences []sequence
	codes     []coded
	repeated  [3]uint32 // the offsets that have codes of their own
	tables    [3]table
	huffman   huffman
}

// sequence is some literals and a match behind them.
type sequence struct {
	literals, match uint32
	offset          uint32 // as coded: a repeated one, or the distance + 3
}

// Append appends a frame of src to dst. From byte first on src must be 8-byte numbers.
func (e *Encoder) Append(dst, src []byte, first int) []byte {
	dst = appendFrameHeader(dst, len(src))
	e.begin((len(src) - first) / wordBytes)
	from := 0
	if lead := first + leadWords*wordBytes; lead < blockBytes {
		if width := narrow(src[first:]); width > 0 {
			dst, from = e.appendBlock(dst, src, 0, lead, first, true), lead
			if e.repeated[0] == wordBytes {
				return e.appendNarrow(dst, src, lead, width)
			}
		}
	}
	for {
		end := min(from+blockBytes, len(src))
		if word := max(from, first); end < len(src) && end > word {
			end -= (end - word) % wordBytes
		}
		dst = e.appendBlock(dst, src, from, end, first, false)
		if end == len(src) {
			return dst
		}
		from = end
	}
}

// appendFrameHeader appends the header of a frame in one segment, without checksum.
func appendFrameHeader(dst []byte, size int) []byte {
	const single, size4 = 1 << 5, 2 << 6
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, single|size4)
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// begin forgets the input before.
func (e *Encoder) begin(words int) {
	log := min(max(bits.Len(uint(words)), 8), maxHashLog)
	clear(e.whole[:1<<log])
	clear(e.low[:1<<log])
	e.shift = uint(64 - log)
	e.repeated = [3]uint32{1, 4, 8}
}

// Types of a block.
const (
	blockRaw        = 0
	blockCompressed = 2
)

// appendBlock appends the block of src from one place to another. It is compressed where that
// makes it smaller, or must be.
func (e *Encoder) appendBlock(dst, src []byte, from, end, first int, must bool) []byte {
	repeated, at := e.repeated, len(dst)
	dst = append(dst, 0, 0, 0)
	kind := blockRaw
	e.parse(src, from, end, first)
	if must || len(e.literals) < (end-from)-(end-from)/16 {
		kind = blockCompressed
		dst = e.appendSequences(e.appendLiterals(dst))
	}
	if kind == blockRaw || !must && len(dst)-at-3 >= end-from {
		kind, e.repeated = blockRaw, repeated // which a raw block does not change
		dst = append(dst[:at+3], src[from:end]...)
	}
	putBlockHeader(dst[at:], kind, end == len(src))
	return dst
}

// putBlockHeader writes the header of a block that ends with dst.
func putBlockHeader(dst []byte, kind int, last bool) {
	header := uint32(len(dst)-3)<<3 | uint32(kind)<<1
	if last {
		header |= 1
	}
	dst[0], dst[1], dst[2] = byte(header), byte(header>>8), byte(header>>16)
}

// parse finds the block's sequences, and gathers its literals.
func (e *Encoder) parse(src []byte, from, end, first int) {
	const wholePrime, lowPrime = 0x9e3779b97f4a7c15, 0xcf1bbcdcb7a56463
	e.clear(end - from)
	done, p := from, max(from, first) // what sequences cover; the number looked at
	var before uint64
	if p-wordBytes >= first {
		before = binary.LittleEndian.Uint64(src[p-wordBytes:])
	} else if p+wordBytes <= end {
		before = ^binary.LittleEndian.Uint64(src[p:]) // which agrees with it nowhere
	}
	shift := e.shift & 63
	for ; p+wordBytes <= end; p += wordBytes {
		v := binary.LittleEndian.Uint64(src[p:])
		differ := v ^ before
		before = v
		switch { // as these need no search; what is equal shows by masks, which are fast
		case differ == 0:
			done = e.match(src, done, p, wordBytes, wordBytes)
			continue
		case differ < 1<<16:
			high := bits.LeadingZeros64(differ) / 8
			done = e.match(src, done, p+wordBytes-high, high, wordBytes)
			continue
		case differ<<16 == 0:
			done = e.match(src, done, p, bits.TrailingZeros64(differ)/8, wordBytes)
			continue
		}
		whole, lows := v*wholePrime>>shift%(1<<maxHashLog), uint64(uint32(v))*lowPrime>>shift%(1<<maxHashLog)
		at, atLow := e.whole[whole], e.low[lows]
		e.whole[whole], e.low[lows] = uint32(p+wordBytes), uint32(p+wordBytes)
		if at != 0 && binary.LittleEndian.Uint64(src[at-wordBytes:]) == v {
			done = e.match(src, done, p, wordBytes, p+wordBytes-int(at))
			continue
		}
		if atLow != 0 {
			if same := v ^ binary.LittleEndian.Uint64(src[atLow-wordBytes:]); uint32(same) == 0 {
				done = e.match(src, done, p, bits.TrailingZeros64(same)/8, p+wordBytes-int(atLow))
				continue
			}
		}
		switch {
		case differ < 1<<(64-8*minMatch):
			high := bits.LeadingZeros64(differ) / 8
			done = e.match(src, done, p+wordBytes-high, high, wordBytes)
		case differ<<(64-8*minMatch) == 0:
			done = e.match(src, done, p, bits.TrailingZeros64(differ)/8, wordBytes)
		case p-max(done, first) >= hopeless && len(e.sequences) == 0:
			p = end // as noise goes on
		}
	}
	e.literals = append(e.literals, src[done:end]...)
}

// clear empties the block, and makes room for one of so many bytes.
func (e *Encoder) clear(size int) {
	e.sequences = e.sequences[:0]
	e.literals = slices.Grow(e.literals[:0], size+wordBytes)
}

// match adds a match of so many bytes at a place, and the literals between it and what is
// done. It gives what is done then.
func (e *Encoder) match(src []byte, done, at, length, distance int) int {
	r := &e.repeated
	n := len(e.sequences)
	if done == at && n > 0 && r[0] == uint32(distance) {
		e.sequences[n-1].match += uint32(length)
		return at + length
	}
	literals, offset := at-done, uint32(distance)+3
	switch {
	case literals > 0 && r[0] == uint32(distance):
		offset = 1
	case r[1] == uint32(distance):
		offset = 2
		if literals == 0 {
			offset = 1
		}
		r[0], r[1] = r[1], r[0]
	default:
		r[0], r[1], r[2] = uint32(distance), r[0], r[1]
	}
	e.sequences = append(e.sequences, sequence{})
	s := &e.sequences[n] // whose fields are set one by one: a copy of all would wait for them
	s.literals, s.match, s.offset = uint32(literals), uint32(length), offset
	if literals <= wordBytes { // what is done ends before the number, so there are 8 bytes to read
		n := len(e.literals)
		binary.LittleEndian.PutUint64(e.literals[n:n+wordBytes], binary.LittleEndian.Uint64(src[done:]))
		e.literals = e.literals[:n+literals]
	} else {
		e.literals = append(e.literals, src[done:at]...)
	}
	return at + length
}
