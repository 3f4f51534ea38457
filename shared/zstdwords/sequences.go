package zstdwords

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The three symbols of a sequence, in the order in which their tables stand in a block.
const (
	ofLiterals = iota
	ofOffset
	ofMatch
)

// A length has a code and, behind it, its low bits. Small ones are their own code. The codes
// behind them stand for two lengths each, then for four, and so on, with more codes of a size
// than powers of two would have; these are the codes of lengths below 64 and 128.
var (
	literalCodes = codesFrom(16, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 5})
	matchCodes   = codesFrom(32, []uint8{1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5})
)

// Where a code is a power of two from these on, it is the power's logarithm and so much.
const (
	literalLogs = 19
	matchLogs   = 36
)

// code is a symbol and the bits behind it.
type code struct {
	symbol uint8
	bits   uint8
	extra  uint32
}

// codesFrom gives the codes of lengths from 0 on, of which so many are their own code. Those
// behind have the bits given.
func codesFrom(plain int, widths []uint8) (codes [128]code) {
	n := 0
	for ; n < plain; n++ {
		codes[n] = code{symbol: uint8(n)}
	}
	for i, w := range widths {
		for extra := range uint32(1) << w {
			codes[n] = code{symbol: uint8(plain + i), bits: w, extra: extra}
			n++
		}
	}
	return codes
}

func literalsCode(n uint32) code {
	if n < 64 {
		return literalCodes[n]
	}
	return logCode(n, literalLogs)
}

func matchCode(n uint32) code {
	n -= minMatch
	if n < 128 {
		return matchCodes[n]
	}
	return logCode(n, matchLogs)
}

// logCode is the code of a number that consists of its logarithm and the bits below.
func logCode(v, plus uint32) code {
	n := bits.Len32(v) - 1
	return code{symbol: uint8(uint32(n) + plus), bits: uint8(n), extra: v &^ (1 << n)}
}

// coded is a sequence as it is written.
type coded struct {
	extra   uint64
	bits    uint8 // of extra, at most 49
	symbols [3]uint8
}

// code makes codes of the sequences, and counts them.
func (e *Encoder) code() {
	literals, offsets, matches := &e.tables[ofLiterals].counts, &e.tables[ofOffset].counts, &e.tables[ofMatch].counts
	*literals, *offsets, *matches = [maxSymbols]uint32{}, [maxSymbols]uint32{}, [maxSymbols]uint32{}
	e.codes = slices.Grow(e.codes[:0], len(e.sequences))[:len(e.sequences)]
	for i := range e.codes {
		s, c := &e.sequences[i], &e.codes[i]
		l, o, m := literalsCode(s.literals), logCode(s.offset, 0), matchCode(s.match)
		literals[l.symbol%maxSymbols]++
		offsets[o.symbol%maxSymbols]++
		matches[m.symbol%maxSymbols]++
		// One field after the other: what is copied as a whole waits for its parts to be stored.
		c.extra = uint64(l.extra) | (uint64(m.extra)|uint64(o.extra)<<(m.bits&63))<<(l.bits&63)
		c.bits = l.bits + m.bits + o.bits
		c.symbols[ofLiterals], c.symbols[ofOffset], c.symbols[ofMatch] = l.symbol, o.symbol, m.symbol
	}
}

// appendSequences appends the sequences section of a block.
func (e *Encoder) appendSequences(dst []byte) []byte {
	n := len(e.sequences)
	dst = appendSequenceCount(dst, n)
	if n == 0 {
		return dst
	}
	e.code()
	at := len(dst)
	dst = append(dst, 0)
	for i, place := range [3]int{ofLiterals: 6, ofOffset: 4, ofMatch: 2} {
		var mode byte
		mode, dst = e.tables[i].appendTo(dst, n)
		dst[at] |= mode << place
	}
	return e.encode(dst)
}

func appendSequenceCount(dst []byte, n int) []byte {
	switch {
	case n < 128:
		return append(dst, byte(n))
	case n < 0x7f00:
		return append(dst, byte(n>>8+128), byte(n))
	default:
		return append(dst, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
}

// sequenceBytes is more than a sequence takes.
const sequenceBytes = 16

// encode writes the codes from the last to the first: a decoder begins at the end. The bits
// that are not written yet are variables of its own, for they change with each symbol.
func (e *Encoder) encode(dst []byte) []byte {
	literals, offsets, matches := &e.tables[ofLiterals], &e.tables[ofOffset], &e.tables[ofMatch]
	at := len(dst)
	dst = slices.Grow(dst, (len(e.codes)+1)*sequenceBytes)
	dst = dst[:cap(dst)]
	last := &e.codes[len(e.codes)-1]
	l, o, m := literals.first(last.symbols[ofLiterals]), offsets.first(last.symbols[ofOffset]), matches.first(last.symbols[ofMatch])
	pending, n := last.extra, uint(last.bits)
	for i := len(e.codes) - 2; i >= 0; i-- {
		binary.LittleEndian.PutUint64(dst[at:], pending)
		at += int(n >> 3)
		pending >>= n &^ 7 & 63
		n &= 7
		c := &e.codes[i]
		oBits, oWidth, oNext := offsets.next(o, c.symbols[ofOffset])
		mBits, mWidth, mNext := matches.next(m, c.symbols[ofMatch])
		lBits, lWidth, lNext := literals.next(l, c.symbols[ofLiterals])
		o, m, l = oNext, mNext, lNext
		pending |= (oBits | (mBits|lBits<<(mWidth&63))<<(oWidth&63)) << (n & 63)
		n += oWidth + mWidth + lWidth
		if n+uint(c.bits) >= 64 {
			binary.LittleEndian.PutUint64(dst[at:], pending)
			at += int(n >> 3)
			pending >>= n &^ 7 & 63
			n &= 7
		}
		pending |= c.extra << (n & 63)
		n += uint(c.bits)
	}
	w := bitWriter{dst: dst[:at], bits: pending, n: n}
	w.flush()
	w.add(uint64(m)&(1<<matches.log-1), matches.log)
	w.add(uint64(o)&(1<<offsets.log-1), offsets.log)
	w.add(uint64(l)&(1<<literals.log-1), literals.log)
	w.flush()
	w.add(1, 1) // by which a decoder finds the end
	return append(w.dst, byte(w.bits))
}

// bitWriter appends bits, the first one lowest. Behind a flush it has room for 57, and dst must
// have room for 8 bytes.
type bitWriter struct {
	dst  []byte
	bits uint64
	n    uint
}

// add appends the n low bits of v, whose others are zero.
func (w *bitWriter) add(v uint64, n uint8) {
	w.bits |= v << (w.n & 63)
	w.n += uint(n)
}

// flush writes whole bytes out.
func (w *bitWriter) flush() {
	n := len(w.dst)
	binary.LittleEndian.PutUint64(w.dst[n:n+8], w.bits)
	w.dst = w.dst[:n+int(w.n>>3)]
	w.bits >>= w.n &^ 7 & 63
	w.n &= 7
}
