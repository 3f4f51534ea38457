package jsonscan

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// shortNumber reads the usual numbers eight bytes at a time: up to seven digits, or with
// those behind a point maxDigits. It is false, which says nothing, for every other, and near
// the end of data, where eight bytes cannot be read. Loops over digits, whose number nobody can
// guess, cost more than the digits do.
func shortNumber(data []byte, i int) (n Number, end int, ok bool) {
	negative := uint64(0)
	if i < len(data) && data[i] == '-' {
		negative = 1
		i++
	}
	if i+8 >= len(data) {
		return Number{}, 0, false
	}
	w := binary.LittleEndian.Uint64(data[i:])
	others := othersIn(w)
	whole := uint(bits.TrailingZeros64(others)) / 8
	if whole == 0 || whole == 8 || byte(w) == '0' && whole > 1 {
		return Number{}, 0, false
	}
	switch c := byte(w >> (8 * whole)); {
	case c|0x20 == 'e':
		return Number{}, 0, false
	case c != '.':
		mantissa := firstDigits(w, whole)
		return Number{Int: int64(mantissa ^ -negative + negative), IsInt: true}, i + int(whole), true
	}
	all := uint(bits.TrailingZeros64(others&(others-1))) / 8 // bytes of w that are its own
	before := uint64(1)<<(8*whole) - 1
	mantissa, scale := firstDigits(w&before|w>>8&^before, all-1), all-1-whole // without the point
	i += int(all)
	for digits := all; digits == 8 && data[i]-'0' <= 9; {
		if i+8 >= len(data) {
			return Number{}, 0, false
		}
		w = binary.LittleEndian.Uint64(data[i:])
		digits = digitsIn(w)
		i += int(digits)
		if scale += digits; whole+scale > maxDigits {
			return Number{}, 0, false
		}
		mantissa = mantissa*intPowers[digits] + firstDigits(w, digits)
	}
	if scale == 0 || data[i]|0x20 == 'e' {
		return Number{}, 0, false
	}
	if mantissa > 1<<53 {
		f, ok := exactFloat(mantissa, -int(scale), negative != 0)
		return Number{Float: f}, i, ok
	}
	f := float64(mantissa) / floatPowers[scale] // both are exact: see exactFloat
	return Number{Float: math.Float64frombits(math.Float64bits(f) | negative<<63)}, i, true
}

const zeros = 0x3030303030303030

// othersIn sets the highest bit of the bytes of w that are no digits; its first byte is its
// lowest. A byte is a digit if it is at most 9 without its '0', and so does not reach the
// highest bit when 0x76 is added. Only a byte above 0x7f carries into those behind it, of
// which nothing is said then.
func othersIn(w uint64) uint64 {
	const highest = 0x8080808080808080
	w ^= zeros
	return (w + 0x7676767676767676 | w) & highest
}

// digitsIn counts the digits with which w begins.
func digitsIn(w uint64) uint { return uint(bits.TrailingZeros64(othersIn(w))) / 8 }

// firstDigits reads the first n digits of w, as many as eight.
func firstDigits(w uint64, n uint) uint64 {
	return joinDigits((w ^ zeros) << (64 - 8*n)) // zeros stand before them now
}

// eightDigits reads the eight digits of w.
func eightDigits(w uint64) uint64 { return joinDigits(w ^ zeros) }

// joinDigits reads eight bytes from 0 to 9, the first in the lowest: it joins neighbours to
// pairs, pairs to fours, and fours to eight.
func joinDigits(w uint64) uint64 {
	const (
		pairs = 0x000000ff000000ff
		upper = 100 + 1000000<<32
		lower = 1 + 10000<<32
	)
	w = w*10 + w>>8
	return (w&pairs*upper + w>>16&pairs*lower) >> 32
}
