package values

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// Form says how a value is written.
type Form uint8

// The forms.
const (
	PlainJSON Form = iota // UTF-8 as it is
	ASCIIJSON             // everything beyond ASCII as \u escapes, as Python's json writes it
	Attribute             // as a DynamoDB attribute value: {"N":"1.5"}
)

var (
	words = [...]string{"gold", "silver", "basic", "trial", "churned", "Ελλάδα", "São Paulo", "東京"}
	// numberish are strings that a careless reader takes for something else.
	numberish = [...]string{"0012", "1e5", "null", "NaN", "true", "", "-0", "{}"}
	// awkward must be escaped or are beyond the basic plane.
	awkward = [...]string{`say "hi"`, `C:\temp`, "line\nbreak", "tab\tstop", "bell\u0007", "🙂 ok", "a\u2028b", "</script>"}
)

// text makes the value of a String cell.
func (c *cell) text() string {
	switch c.style % 8 {
	case 0:
		return strconv.FormatUint(c.hash|1<<63, 16)
	case 1:
		return numberish[c.hash%8]
	case 2:
		return awkward[c.hash%8] + strconv.FormatUint(c.hash>>8%100, 10)
	case 3:
		return words[c.hash%8] + " " + words[c.hash>>8%8] + " " + words[c.hash>>16%8]
	default:
		return words[c.hash%8]
	}
}

// append writes the cell in a form.
func (c *cell) append(dst []byte, form Form) []byte {
	attribute := form == Attribute
	switch c.kind {
	case Double, Int64:
		if !attribute {
			return c.appendNumber(dst)
		}
		return append(c.appendNumber(append(dst, `{"N":"`...)), `"}`...)
	case Bool:
		if !attribute {
			return strconv.AppendBool(dst, c.integer == 1)
		}
		return append(strconv.AppendBool(append(dst, `{"BOOL":`...), c.integer == 1), '}')
	case String:
		return appendText(dst, c.text(), form)
	case JSON:
		return c.appendDocument(dst, form)
	default:
		return appendNull(dst, form)
	}
}

func appendNull(dst []byte, form Form) []byte {
	if form == Attribute {
		return append(dst, `{"NULL":true}`...)
	}
	return append(dst, "null"...)
}

func appendText(dst []byte, s string, form Form) []byte {
	if form == Attribute {
		return append(AppendString(append(dst, `{"S":`...), s, false), '}')
	}
	return AppendString(dst, s, form == ASCIIJSON)
}

func appendInt(dst []byte, n int64, form Form) []byte {
	if form == Attribute {
		return append(strconv.AppendInt(append(dst, `{"N":"`...), n, 10), `"}`...)
	}
	return strconv.AppendInt(dst, n, 10)
}

// brackets opens and closes arrays and objects of a form.
func brackets(form Form) (openArray, closeArray, openObject, closeObject string) {
	if form == Attribute {
		return `{"L":[`, `]}`, `{"M":{`, `}}`
	}
	return "[", "]", "{", "}"
}

// appendDocument writes the value of a JSON cell. Its keys are in order and its
// numbers are small integers, so that every faithful reader comes to the same text.
func (c *cell) appendDocument(dst []byte, form Form) []byte {
	openArray, closeArray, openObject, closeObject := brackets(form)
	n := int64(c.hash % 1000)
	switch c.style % 3 {
	case 0: // numbers
		dst = append(dst, openArray...)
		for i := range int64(c.hash >> 16 % 5) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendInt(dst, n-i*i, form)
		}
		return append(dst, closeArray...)
	case 1: // strings
		dst = append(dst, openArray...)
		dst = appendText(dst, words[c.hash%8], form)
		dst = appendText(append(dst, ','), awkward[c.hash>>8%8], form)
		return append(dst, closeArray...)
	default: // an object in an object
		dst = append(dst, openObject...)
		dst = appendText(append(dst, `"city":`...), words[c.hash>>8%8], form)
		dst = append(append(dst, `,"last":`...), openObject...)
		dst = appendInt(append(dst, `"days":`...), n, form)
		dst = appendNull(append(dst, `,"note":`...), form)
		dst = append(append(append(dst, closeObject...), `,"tags":`...), openArray...)
		dst = append(appendInt(dst, n%7, form), closeArray...)
		return append(dst, closeObject...)
	}
}

// appendNumber writes an Int64 or Double cell, doubles in the shortest form that
// parses to the same double.
func (c *cell) appendNumber(dst []byte) []byte {
	switch {
	case c.kind == Int64:
		return strconv.AppendInt(dst, c.integer, 10)
	case c.decimals >= 0:
		return appendDecimal(dst, c.integer, int(c.decimals))
	case c.double == 0:
		return append(dst, '0')
	case c.style%10 == 9 || math.Abs(c.double) < 1e-6:
		return strconv.AppendFloat(dst, c.double, 'e', -1, 64)
	default:
		return strconv.AppendFloat(dst, c.double, 'f', -1, 64)
	}
}

// appendDecimal writes m / 10^decimals without trailing zeros.
func appendDecimal(dst []byte, m int64, decimals int) []byte {
	for decimals > 0 && m%10 == 0 {
		m, decimals = m/10, decimals-1
	}
	if decimals == 0 {
		return strconv.AppendInt(dst, m, 10)
	}
	if m < 0 {
		dst, m = append(dst, '-'), -m
	}
	for limit := pow10(decimals); limit > m && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, m, 10)
	point := len(dst) - decimals
	dst = append(dst, 0)
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

const hexDigits = "0123456789abcdef"

// AppendString writes s, which is UTF-8, as a JSON string; with ascii everything
// beyond ASCII is escaped.
func AppendString[T string | []byte](dst []byte, s T, ascii bool) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= 0x20 && b != '"' && b != '\\' && (b < utf8.RuneSelf || !ascii) {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		if b < utf8.RuneSelf {
			dst = appendASCII(dst, b)
			i++
		} else {
			r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			dst = appendRune(dst, r)
			i += size
		}
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendASCII escapes a byte below 0x20, a quote or a backslash.
func appendASCII(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, `\n`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return appendEscape(dst, rune(b))
	}
}

// appendRune escapes a character, one beyond the basic plane as a surrogate pair.
func appendRune(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendEscape(appendEscape(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return appendEscape(dst, r)
}

func appendEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
