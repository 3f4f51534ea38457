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

// A length has a code and, behind it, its low bits. Small ones are their own code; of the others
// these are the first length of each code.
var (
	literalBases = []uint32{16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}
	matchBases   = []uint32{35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539}
)

const (
	plainLiterals = 16 // lengths of literals below are their own code
	plainMatches  = 35 // lengths of matches below are their own code, less minMatch
)

// code is a symbol and the bits behind it.
type code struct {
	symbol uint8
	bits   uint8
	extra  uint32
}

func literalsCode(n uint32) code {
	if n < plainLiterals {
		return code{symbol: uint8(n)}
	}
	return baseCode(literalBases, plainLiterals, n, 1<<16)
}

func matchCode(n uint32) code {
	if n < plainMatches {
		return code{symbol: uint8(n - minMatch)}
	}
	return baseCode(matchBases, plainMatches-minMatch, n, 1<<16)
}

// baseCode finds the code of a length among the bases, of which the first has the symbol
// given; the last one stands for so many lengths.
func baseCode(bases []uint32, symbol int, n, last uint32) code {
	i := len(bases) - 1
	for bases[i] > n {
		i--
	}
	width := last
	if i+1 < len(bases) {
		width = bases[i+1] - bases[i]
	}
	return code{symbol: uint8(symbol + i), bits: uint8(bits.Len32(width) - 1), extra: n - bases[i]}
}

func offsetCode(v uint32) code {
	n := bits.Len32(v) - 1
	return code{symbol: uint8(n), bits: uint8(n), extra: v &^ (1 << n)}
}

// coded is a sequence as it is written.
type coded struct {
	extra   uint64
	bits    uint8 // of extra, at most 49
	symbols [3]uint8
}

// push makes codes of the last sequence, if there is one, and counts them.
func (e *Encoder) push() {
	s := &e.last
	if s.match == 0 {
		return
	}
	l, o, m := literalsCode(s.literals), offsetCode(s.offset), matchCode(s.match)
	e.tables[ofLiterals].counts[l.symbol%maxSymbols]++
	e.tables[ofOffset].counts[o.symbol%maxSymbols]++
	e.tables[ofMatch].counts[m.symbol%maxSymbols]++
	e.sequences = append(e.sequences, coded{
		extra:   uint64(l.extra) | (uint64(m.extra)|uint64(o.extra)<<(m.bits&63))<<(l.bits&63),
		bits:    l.bits + m.bits + o.bits,
		symbols: [3]uint8{ofLiterals: l.symbol, ofOffset: o.symbol, ofMatch: m.symbol},
	})
}

// appendSequences appends the sequences section of a block.
func (e *Encoder) appendSequences(dst []byte) []byte {
	n := len(e.sequences)
	switch {
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7f00:
		dst = append(dst, byte(n>>8+128), byte(n))
	default:
		dst = append(dst, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if n == 0 {
		return dst
	}
	at := len(dst)
	dst = append(dst, 0)
	for i, place := range [3]int{ofLiterals: 6, ofOffset: 4, ofMatch: 2} {
		var mode byte
		mode, dst = e.tables[i].appendTo(dst, n)
		dst[at] |= mode << place
	}
	return e.encode(dst)
}

// sequenceBytes is more than a sequence takes.
const sequenceBytes = 16

// encode writes the sequences from the last to the first: a decoder begins at the end.
func (e *Encoder) encode(dst []byte) []byte {
	w := bitWriter{dst: slices.Grow(dst, (len(e.sequences)+1)*sequenceBytes)}
	literals, offsets, matches := &e.tables[ofLiterals], &e.tables[ofOffset], &e.tables[ofMatch]
	last := &e.sequences[len(e.sequences)-1]
	l, o, m := literals.first(last.symbols[ofLiterals]), offsets.first(last.symbols[ofOffset]), matches.first(last.symbols[ofMatch])
	w.add(last.extra, last.bits)
	w.flush()
	for i := len(e.sequences) - 2; i >= 0; i-- {
		c := &e.sequences[i]
		o = offsets.next(&w, o, c.symbols[ofOffset])
		m = matches.next(&w, m, c.symbols[ofMatch])
		l = literals.next(&w, l, c.symbols[ofLiterals])
		if w.n+uint(c.bits) >= 64 {
			w.flush()
		}
		w.add(c.extra, c.bits)
		w.flush()
	}
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
