package zstdwords

import (
	"math/bits"
	"slices"
)

// Bounds of a table's number of states, as a logarithm. zstd allows 9, 8 and 9.
const (
	minTableLog = 6 // more states than there are symbols
	maxTableLog = 8
	maxSymbols  = 64
)

// Modes of a table.
const (
	modeOne = 1 // there is one symbol
	modeFSE = 2
)

// table is a finite state entropy coder of one kind of symbol.
type table struct {
	counts [maxSymbols]uint32
	norm   [maxSymbols]uint32 // share of the states of each symbol
	log    uint8              // 0 = there is one symbol, which takes no bits
	states [1 << maxTableLog]uint16
	steps  [maxSymbols]step
	spread [1 << maxTableLog]uint8
}

// step says how a symbol changes the state.
type step struct {
	bits  uint32 // what is added to the state to give the number of bits written, times 2^16
	place int32  // where the symbol's states begin
}

// appendTo builds the table from the counts of n symbols, and appends its description.
func (t *table) appendTo(dst []byte, n int) (mode byte, _ []byte) {
	top := 0
	for s, c := range t.counts {
		if c == uint32(n) {
			t.log, t.steps[s], t.states[0] = 0, step{}, 0
			return modeOne, append(dst, byte(s))
		}
		if c > 0 {
			top = s
		}
	}
	t.log = uint8(min(max(bits.Len(uint(n))-3, minTableLog), maxTableLog))
	t.normalise(n)
	t.build()
	return modeFSE, t.appendNorm(dst, top)
}

// normalise gives each symbol that occurs its share of the states, at least one.
func (t *table) normalise(n int) {
	size := 1 << t.log
	left, most := size, 0
	for s, c := range t.counts {
		t.norm[s] = 0
		if c > 0 {
			t.norm[s] = max(1, uint32((uint64(c)<<t.log+uint64(n)/2)/uint64(n)))
			left -= int(t.norm[s])
			if c > t.counts[most] {
				most = s
			}
		}
	}
	for left < 0 && int(t.norm[most]) <= -left { // many rare symbols: the largest shares give what is missing
		large := most
		for s := range t.norm {
			if t.norm[s] > t.norm[large] {
				large = s
			}
		}
		t.norm[large]--
		left++
	}
	t.norm[most] = uint32(int(t.norm[most]) + left)
}

// build lays the symbols out over the states.
func (t *table) build() {
	size := 1 << t.log
	mask, stride := size-1, size>>1+size>>3+3
	var starts [maxSymbols]int32
	place, total := 0, int32(0)
	for s, n := range t.norm {
		starts[s] = total
		for range n {
			t.spread[place] = uint8(s)
			place = (place + stride) & mask
		}
		switch {
		case n == 0:
		case n == 1:
			t.steps[s] = step{bits: uint32(t.log)<<16 - uint32(size), place: total - 1}
		default:
			most := uint32(t.log) - uint32(bits.Len32(n-1)-1)
			t.steps[s] = step{bits: most<<16 - n<<most, place: total - int32(n)}
		}
		total += int32(n)
	}
	for i, s := range t.spread[:size] {
		t.states[starts[s]] = uint16(size + i)
		starts[s]++
	}
}

// first gives the state that stands for the last symbol.
func (t *table) first(symbol uint8) uint32 {
	s := &t.steps[symbol%maxSymbols]
	n := (s.bits + 1<<15) >> 16
	return uint32(t.states[int32((n<<16-s.bits)>>n)+s.place])
}

// next gives the bits that lead from the state that stands for a symbol to the one given, and
// the state that stands for both.
func (t *table) next(state uint32, symbol uint8) (bits uint64, width uint, _ uint32) {
	s := &t.steps[symbol%maxSymbols]
	n := (state + s.bits) >> 16
	return uint64(state) & (1<<(n&31) - 1), uint(n), uint32(t.states[(int32(state>>(n&31))+s.place)&(1<<maxTableLog-1)])
}

// appendNorm appends the shares, the table's description.
func (t *table) appendNorm(dst []byte, top int) []byte {
	w := bitWriter{dst: slices.Grow(dst, 3*maxSymbols)}
	w.add(uint64(t.log)-5, 4)
	left, threshold, width := uint32(1)<<t.log+1, uint32(1)<<t.log, t.log+1
	for s := 0; s <= top && left > 1; {
		n := t.norm[s]
		s++
		short := 2*threshold - 1 - left // so many values take a bit less
		left -= n
		v := n + 1
		if v >= threshold {
			v += short
		}
		bits := width
		if v < short {
			bits--
		}
		w.add(uint64(v), bits)
		w.flush()
		for left < threshold {
			width, threshold = width-1, threshold/2
		}
		if n == 0 {
			s = t.skipZeros(&w, s)
		}
	}
	w.flush()
	if w.n > 0 {
		w.dst = append(w.dst, byte(w.bits))
	}
	return w.dst
}

// skipZeros writes how many symbols behind one without states have none either.
func (t *table) skipZeros(w *bitWriter, s int) int {
	zeros := 0
	for t.norm[s+zeros] == 0 {
		zeros++
	}
	s += zeros
	for ; zeros >= 3; zeros -= 3 {
		w.add(3, 2)
		w.flush()
	}
	w.add(uint64(zeros), 2)
	w.flush()
	return s
}
