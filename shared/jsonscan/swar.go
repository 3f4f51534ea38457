package jsonscan

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// shortNumber reads the usual number with which d begins, eight bytes at a time: up to seven
// digits, or with those behind a point maxDigits. An exponent that may follow is not read. It is
// false, which says nothing, for every other, and near the end of the text. Loops over digits,
// whose number nobody can guess, cost more than the digits do.
//
// Places within a word are counted in bits, since they are what words are shifted by.
func shortNumber(d []byte) (n Number, length int, ok bool) {
	const window = 24
	if len(d) <= window {
		return Number{}, 0, false
	}
	text, negative := (*[window]byte)(d), uint64(0)
	if text[0] == '-' {
		text, negative = (*[window]byte)(d[1:]), 1
	}
	w := binary.LittleEndian.Uint64(text[:])
	others := othersIn(w)
	if others == 0 {
		return Number{}, 0, false
	}
	whole := firstOf(others)
	if whole == 0 || byte(w) == '0' && whole > 8 {
		return Number{}, 0, false
	}
	if byte(w>>whole) != '.' {
		mantissa := firstDigits(w, whole)
		return Number{Int: int64(mantissa ^ -negative + negative), IsInt: true}, int(whole/8 + uint(negative)), true
	}
	before := uint64(1)<<whole - 1
	digits := w&before | w>>8&^before // without the point
	end, mantissa := uint(64), uint64(0)
	if others &= others - 1; others != 0 {
		end = firstOf(others)
		if end == whole+8 {
			return Number{}, 0, false
		}
		mantissa = firstDigits(digits, end-8)
	} else {
		mantissa = firstDigits(digits, 56)
		if text[8]-'0' <= 9 {
			if mantissa, end, ok = moreDigits(text, mantissa); !ok {
				return Number{}, 0, false
			}
		} else if whole == 56 {
			return Number{}, 0, false
		}
	}
	length, scale := int(end/8+uint(negative)), (end-whole-8)/8
	if mantissa > 1<<53 {
		f, ok := exactFloat(mantissa, -int(scale), negative != 0)
		return Number{Float: f}, length, ok
	}
	f := float64(mantissa) / floatPowers[scale] // both are exact: see exactFloat
	return Number{Float: math.Float64frombits(math.Float64bits(f) | negative<<63)}, length, true
}

// moreDigits reads on behind seven digits and a point, and gives where they end. It is false
// beyond maxDigits.
func moreDigits(text *[24]byte, mantissa uint64) (_ uint64, end uint, ok bool) {
	w := binary.LittleEndian.Uint64(text[8:])
	others := othersIn(w)
	if others != 0 {
		n := firstOf(others)
		return mantissa*intPowers[n/8&7] + firstDigits(w, n), 64 + n, true
	}
	mantissa = mantissa*1e8 + eightDigits(w)
	w = binary.LittleEndian.Uint64(text[16:])
	others = othersIn(w)
	n := firstOf(others)
	if others == 0 || n > 8*(maxDigits-15) {
		return 0, 0, false
	}
	if n == 0 {
		return mantissa, 128, true
	}
	return mantissa*intPowers[n/8&7] + firstDigits(w, n), 128 + n, true
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

// firstOf gives the place of the first byte that othersIn has marked; there must be one.
func firstOf(others uint64) uint { return uint(bits.TrailingZeros64(others)) & 56 }

// firstDigits reads the digits of w before a place, of which there must be some.
func firstDigits(w uint64, before uint) uint64 {
	return joinDigits((w ^ zeros) << ((64 - before) & 63)) // zeros stand before them now
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
