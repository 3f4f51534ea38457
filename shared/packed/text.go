package packed

import (
	"math"
	"strconv"
)

// AppendDouble appends the canonical text of a double: the shortest digits that read
// back as the same value, without an exponent while 1e-6 <= |v| < 1e21 (5.0 gives "5",
// as in JavaScript), and "NaN", "Infinity", "-Infinity".
func AppendDouble(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(v); a == 0 || 1e-6 <= a && a < 1e21 {
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // strconv pads: 1e-07
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// AppendInt64 appends the canonical text of an integer: its decimal digits.
func AppendInt64(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// AppendBool appends the canonical text of a bool: true or false.
func AppendBool(dst []byte, v bool) []byte { return strconv.AppendBool(dst, v) }
