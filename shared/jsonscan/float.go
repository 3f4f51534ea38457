package jsonscan

import (
	"math"
	"math/bits"
)

var floatPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

var intPowers = [...]uint64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// exactFloat gives the float64 nearest to mantissa × 10^exponent, ties to even. It is
// false where it has no exact way; strconv has. What databases and Python write, up to
// 19 digits around the decimal point, takes one of its two ways:
//
//   - mantissa and power are float64 themselves, so one operation rounds once;
//   - both are uint64, so 128-bit integers give the product or quotient and whether
//     anything remains, which is all that rounding asks for.
func exactFloat(mantissa uint64, exponent int, negative bool) (float64, bool) {
	var f float64
	switch {
	case mantissa == 0:
		f = 0
	case mantissa <= 1<<53 && -len(floatPowers) < exponent && exponent <= 0:
		f = float64(mantissa) / floatPowers[-exponent]
	case mantissa <= 1<<53 && 0 < exponent && exponent < len(floatPowers):
		f = float64(mantissa) * floatPowers[exponent]
	case -len(intPowers) < exponent && exponent <= 0:
		f = quotient(mantissa, intPowers[-exponent])
	case 0 < exponent && exponent < len(intPowers):
		f = product(mantissa, intPowers[exponent])
	default:
		return 0, false
	}
	if negative {
		f = -f
	}
	return f, true
}

// quotient rounds m/d. Neither is 0.
func quotient(m, d uint64) float64 {
	mShift, dShift := bits.LeadingZeros64(m), bits.LeadingZeros64(d)
	m, d = m<<mShift, d<<dShift
	// Both have their highest bit set, so hi < d, and q has it set too.
	hi, lo, exponent := m, uint64(0), dShift-mShift-64
	if m >= d {
		hi, lo, exponent = m>>1, m<<63, exponent+1
	}
	q, rest := bits.Div64(hi, lo, d)
	return round(q, rest != 0, exponent)
}

// product rounds m×p. Neither is 0.
func product(m, p uint64) float64 {
	hi, lo := bits.Mul64(m, p)
	if hi == 0 {
		shift := bits.LeadingZeros64(lo)
		return round(lo<<shift, false, -shift)
	}
	shift := bits.LeadingZeros64(hi)
	return round(hi<<shift|lo>>(64-shift), lo<<shift != 0, 64-shift)
}

// round gives the float64 nearest to q × 2^exponent, plus a bit if more is set. The
// highest bit of q is set, and the result must be a normal number.
func round(q uint64, more bool, exponent int) float64 {
	const (
		dropped = 64 - 53
		half    = 1 << (dropped - 1)
		bias    = 1023 + 52
	)
	m, rest := q>>dropped, q&(1<<dropped-1)
	if rest > half || rest == half && (more || m&1 != 0) {
		m++ // up to 2^53, which carries into the exponent below as it must
	}
	// m has bit 52 set, which the format leaves out: it raises the exponent by one.
	return math.Float64frombits(uint64(exponent+dropped+bias-1)<<52 + m)
}
