package plan

import (
	"bytes"
	"strconv"
)

// What DynamoDB takes as a number.
const (
	maxNumberDigits   = 38   // significant digits
	maxNumberExponent = 125  // of the first significant digit
	minNumberExponent = -130 // of the first significant digit
)

// AppendNumber appends the plain decimal form of a number: no exponent, no zeros
// before or after it that do not count. dst may end where text begins. Texts of equal numbers give equal forms, so
// that "007" and "7.0" are seen to be the key 7, which is how DynamoDB sees them. It
// reports false, and appends nothing, for what is no number to DynamoDB.
func AppendNumber[T ~string | ~[]byte](dst []byte, text T) ([]byte, bool) {
	if n, ok := plainInteger(text); ok {
		return append(dst, text[len(text)-n:]...), true
	}
	return appendDecimal(dst, []byte(text))
}

// plainInteger is the common case: a short row of digits that is its own plain form.
func plainInteger[T ~string | ~[]byte](text T) (digits int, ok bool) {
	if len(text) == 0 || len(text) > maxNumberDigits || (text[0] == '0' && len(text) > 1) {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	return len(text), true
}

func appendDecimal(dst, text []byte) ([]byte, bool) {
	negative := len(text) > 0 && text[0] == '-'
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	mantissa, exponent, ok := cutExponent(text)
	if !ok {
		return dst, false
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	if len(whole)+len(fraction) == 0 || !allDigits(whole) || !allDigits(fraction) {
		return dst, false
	}
	digits := append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	point := len(whole) + exponent // digits before the decimal point
	trimmed := bytes.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	trimmed = bytes.TrimRight(trimmed, "0")
	if len(trimmed) == 0 {
		return append(dst, '0'), true
	}
	if len(trimmed) > maxNumberDigits || point-1 > maxNumberExponent || point-1 < minNumberExponent {
		return dst, false
	}
	if negative {
		dst = append(dst, '-')
	}
	return appendPlain(dst, trimmed, point), true
}

// cutExponent splits "12.5e3" into "12.5" and 3. The exponent's bound keeps sums of it
// within an int; no number that DynamoDB takes comes near it.
func cutExponent(text []byte) (mantissa []byte, exponent int, ok bool) {
	at := bytes.IndexAny(text, "eE")
	if at < 0 {
		return text, 0, true
	}
	e, err := strconv.ParseInt(string(text[at+1:]), 10, 32)
	return text[:at], int(e), err == nil
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendPlain writes digits with the decimal point after the first point of them.
func appendPlain(dst, digits []byte, point int) []byte {
	if point <= 0 {
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	if point >= len(digits) {
		dst = append(dst, digits...)
		for range point - len(digits) {
			dst = append(dst, '0')
		}
		return dst
	}
	dst = append(dst, digits[:point]...)
	dst = append(dst, '.')
	return append(dst, digits[point:]...)
}
