package jsonscan

import (
	"encoding/binary"
	"strconv"
)

// Number is the value of a number. A literal without '.', 'e' and 'E' within int64 is an
// integer ("-0" is 0); every other is a float64, bit for bit what strconv.ParseFloat
// gives.
type Number struct {
	Int   int64   // if IsInt
	Float float64 // if not IsInt
	IsInt bool
}

// ParseNumber reads a literal that stands on its own, written as in JSON. It is false
// for anything else and for what float64 cannot hold.
func ParseNumber(lit []byte) (Number, bool) {
	n, end, ok := parseNumber(lit, 0)
	return n, ok && end == len(lit)
}

// Number reads a number.
func (s *Scanner) Number() (Number, error) {
	c := s.peek()
	if kindOf[c] != KindNumber {
		if s.AllowNaN && (c == 'N' || c == 'I') {
			return s.notFinite()
		}
		return Number{}, s.mismatch(KindNumber)
	}
	n, end, ok := parseNumber(s.data, s.pos)
	if !ok {
		if s.AllowNaN && c == '-' && end == s.pos+1 && end < len(s.data) && s.data[end] == 'I' {
			return s.notFinite()
		}
		return Number{}, s.failNumber(end)
	}
	s.pos = end
	return n, nil
}

// notFinite reads one of Python's words for what JSON has no number for.
func (s *Scanner) notFinite() (Number, error) {
	word := s.notFiniteWord()
	if err := s.word(word); err != nil {
		return Number{}, err
	}
	f, _ := strconv.ParseFloat(word, 64)
	return Number{Float: f}, nil
}

func (s *Scanner) notFiniteWord() string {
	switch s.data[s.pos] {
	case 'N':
		return "NaN"
	case '-':
		return "-Infinity"
	}
	return "Infinity"
}

func (s *Scanner) failNumber(end int) error {
	if _, ok := numberEnd(s.data, s.pos); ok {
		return s.fail("the number is too large for a float64")
	}
	s.pos = end
	return s.fail("malformed number")
}

// skipNumber steps over a number.
func (s *Scanner) skipNumber(c byte) bool {
	if kindOf[c] == KindNumber {
		end, ok := numberEnd(s.data, s.pos)
		if ok {
			s.pos = end
			return true
		}
		if c == '-' && s.AllowNaN && end < len(s.data) && s.data[end] == 'I' {
			return s.word("-Infinity") == nil
		}
		s.pos = end
		return s.refuse("malformed number")
	}
	if s.AllowNaN && (c == 'N' || c == 'I') {
		return s.word(s.notFiniteWord()) == nil
	}
	if s.pos == len(s.data) {
		return s.refuse("want a value, but the text ends")
	}
	return s.refuse("want a value")
}

// numberEnd gives the place behind the number at i, or where it is malformed.
func numberEnd(data []byte, i int) (end int, ok bool) {
	if data[i] == '-' {
		i++
	}
	start := i
	if i = digitsEnd(data, i); i == start || data[start] == '0' && i > start+1 {
		return min(i, start+1), false
	}
	if i < len(data) && data[i] == '.' {
		start = i + 1
		if i = digitsEnd(data, start); i == start {
			return i, false
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		start = i
		if i = digitsEnd(data, start); i == start {
			return i, false
		}
	}
	return i, true
}

func digitsEnd(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}

const maxDigits = 19 // any number of so many digits fits uint64

// parseNumber reads the number at i and gives the place behind it, or where it is
// malformed.
func parseNumber(data []byte, i int) (n Number, end int, ok bool) {
	if n, length, ok := shortNumber(data[i:]); ok && data[i+length]|0x20 != 'e' {
		return n, i + length, true
	}
	return anyNumber(data, i)
}

// anyNumber is parseNumber digit by digit.
func anyNumber(data []byte, i int) (n Number, end int, ok bool) {
	first := i
	negative := i < len(data) && data[i] == '-'
	if negative {
		i++
	}
	firstDigit := i
	mantissa := uint64(0)
	for i < len(data) && data[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(data[i]-'0') // wraps around past maxDigits
		i++
	}
	digits := i - firstDigit
	if digits == 0 || data[firstDigit] == '0' && digits > 1 {
		return Number{}, min(i, firstDigit+1), false
	}
	if i == len(data) || data[i] != '.' && data[i]|0x20 != 'e' {
		n, ok = integer(data[first:i], mantissa, digits, negative)
		return n, i, ok
	}
	fractionDigits, exponent := 0, 0
	if data[i] == '.' {
		start := i + 1
		mantissa, i = fraction(data, start, mantissa)
		if fractionDigits = i - start; fractionDigits == 0 {
			return Number{}, i, false
		}
	}
	mantissaEnd := i
	if i < len(data) && data[i]|0x20 == 'e' {
		exponent, i, ok = parseExponent(data, i+1)
		if !ok {
			return Number{}, i, false
		}
	}
	var f float64
	if digits += fractionDigits; digits <= maxDigits {
		f, ok = exactFloat(mantissa, exponent-fractionDigits, negative)
	} else {
		f, ok = longFloat(data[firstDigit:mantissaEnd], exponent, negative)
	}
	if !ok {
		var err error
		f, err = strconv.ParseFloat(string(data[first:i]), 64)
		ok = err == nil
	}
	return Number{Float: f}, i, ok
}

// integer gives the value of an integer literal. With more than maxDigits digits
// mantissa is not to be used: it wrapped around.
func integer(lit []byte, mantissa uint64, digits int, negative bool) (Number, bool) {
	const limit = 1 << 63
	switch {
	case digits > maxDigits || mantissa > limit || mantissa == limit && !negative:
		f, err := strconv.ParseFloat(string(lit), 64)
		return Number{Float: f}, err == nil
	case negative:
		return Number{Int: -int64(mantissa), IsInt: true}, true
	}
	return Number{Int: int64(mantissa), IsInt: true}, true
}

// fraction reads digits at i behind those of mantissa, eight at a time where it can.
func fraction(data []byte, i int, mantissa uint64) (uint64, int) {
	for i+8 <= len(data) {
		w := binary.LittleEndian.Uint64(data[i:])
		if othersIn(w) != 0 {
			break
		}
		mantissa = mantissa*1e8 + eightDigits(w)
		i += 8
	}
	for i < len(data) && data[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(data[i]-'0')
		i++
	}
	return mantissa, i
}

// parseExponent reads the exponent behind its 'e'. Large ones are cut to what is out of
// range anyway.
func parseExponent(data []byte, i int) (exponent, end int, ok bool) {
	negative := false
	if i < len(data) && (data[i] == '+' || data[i] == '-') {
		negative = data[i] == '-'
		i++
	}
	start := i
	for i < len(data) && data[i]-'0' <= 9 {
		if exponent < 100_000 {
			exponent = exponent*10 + int(data[i]-'0')
		}
		i++
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i, i > start
}

// longFloat gives the value of more than maxDigits digits, leading zeros included, times
// a power of ten. What does not fit puts the value between two mantissas; if both round
// to the same float64, so does the value. It is false where that does not decide.
func longFloat(digits []byte, exponent int, negative bool) (float64, bool) {
	mantissa, taken, cut, behindPoint := uint64(0), 0, false, false
	for _, c := range digits {
		if c == '.' {
			behindPoint = true
			continue
		}
		if taken == maxDigits {
			cut = true
			if !behindPoint {
				exponent++
			}
			continue
		}
		mantissa = mantissa*10 + uint64(c-'0')
		if mantissa != 0 {
			taken++
		}
		if behindPoint {
			exponent--
		}
	}
	f, ok := exactFloat(mantissa, exponent, negative)
	if ok && cut {
		var above float64
		above, ok = exactFloat(mantissa+1, exponent, negative)
		ok = ok && f == above
	}
	return f, ok
}
