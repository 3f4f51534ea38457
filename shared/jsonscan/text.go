package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string: a view into the text where it can be, else what it says is
// written to scratch[:0]. As in encoding/json, invalid UTF-8 and lone surrogates become
// U+FFFD.
func (s *Scanner) String(scratch []byte) ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.mismatch(KindString)
	}
	start := s.pos + 1
	end, high := findSpecial(s.data, start)
	if end < len(s.data) && s.data[end] == '"' && high&highBits == 0 {
		s.pos = end + 1
		return s.data[start:end:end], nil
	}
	return s.unescape(scratch[:0])
}

// key reads a key. What has to be unescaped is kept beside the keys before it, so that
// the keys of outer objects stay valid.
func (s *Scanner) key() ([]byte, bool) {
	start := s.pos + 1
	end, high := findSpecial(s.data, start)
	if end < len(s.data) && s.data[end] == '"' && high&highBits == 0 {
		s.pos = end + 1
		return s.data[start:end:end], true
	}
	before := len(s.keys)
	view, err := s.unescape(s.keys[before:])
	if err != nil {
		return nil, false
	}
	s.keys = s.keys[:before]
	if cap(s.keys)-before < len(view) {
		s.keys = make([]byte, 0, 2*len(view)+64)
	}
	s.keys = append(s.keys, view...)
	return s.keys[len(s.keys)-len(view) : len(s.keys) : len(s.keys)], true
}

// unescape reads the string that begins at pos, with all that may occur in one.
func (s *Scanner) unescape(dst []byte) ([]byte, error) {
	i := s.pos + 1
	start := i
	for {
		end, high := findSpecial(s.data, i)
		run := s.data[i:end]
		valid := high&highBits == 0 || utf8.Valid(run)
		if end == len(s.data) {
			s.pos = end
			return nil, s.fail("the text ends within a string")
		}
		if valid && i == start && s.data[end] == '"' { // no escapes at all
			s.pos = end + 1
			return s.data[start:end:end], nil
		}
		if valid {
			dst = append(dst, run...)
		} else {
			dst = appendValid(dst, run)
		}
		switch s.data[end] {
		case '"':
			s.pos = end + 1
			return dst, nil
		case '\\':
			if end+1 < len(s.data) && simpleEscapes[s.data[end+1]] != 0 {
				dst = append(dst, simpleEscapes[s.data[end+1]])
				i = end + 2
				continue
			}
			var n int
			if dst, n = appendUnicode(dst, s.data[end:]); n == 0 {
				s.pos = end
				return nil, s.fail("unknown escape in a string")
			}
			i = end + n
		default:
			s.pos = end
			return nil, s.fail("a control character in a string must be escaped")
		}
	}
}

// skipString steps over the string that begins at pos.
func (s *Scanner) skipString() bool {
	i := s.pos + 1
	for {
		end, _ := findSpecial(s.data, i)
		switch {
		case end == len(s.data):
			s.pos = end
			return s.refuse("the text ends within a string")
		case s.data[end] == '"':
			s.pos = end + 1
			return true
		case s.data[end] == '\\':
			n := escapeBytes(s.data[end:])
			if n == 0 {
				s.pos = end
				return s.refuse("unknown escape in a string")
			}
			i = end + n
		default:
			s.pos = end
			return s.refuse("a control character in a string must be escaped")
		}
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// findSpecial gives the first place from i on of a quote, a backslash or a control
// character, len(data) if there is none. The bytes passed on the way, and perhaps some
// behind them, are gathered in high: without any of highBits they are ASCII.
//
// It looks at eight bytes at a time. In each expression a byte's high bit says that it
// was found; a borrow can set it wrongly only in bytes behind the first that is right.
func findSpecial(data []byte, i int) (at int, high uint64) {
	for ; i+8 <= len(data); i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		quote, slash := w^('"'*lowBits), w^('\\'*lowBits)
		found := ((quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-' '*lowBits)&^w) & highBits
		high |= w
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8, high
		}
	}
	for ; i < len(data); i++ {
		c := data[i]
		high |= uint64(c)
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i, high
}

var simpleEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escapeBytes gives the length of the escape that data begins with, 0 if it is none.
func escapeBytes(data []byte) int {
	if len(data) >= 2 && simpleEscapes[data[1]] != 0 {
		return 2
	}
	if _, ok := hex4(data); ok {
		return 6
	}
	return 0
}

// appendUnicode appends what an escape of the form \u0000 stands for, and gives the bytes
// used: 6, 12 where a second one completes a surrogate pair, 0 if it is none.
func appendUnicode(dst, data []byte) ([]byte, int) {
	const n = len(`\u0000`)
	r, ok := hex4(data)
	if !ok {
		return dst, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(data[n:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return utf8.AppendRune(dst, pair), 2 * n
			}
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), n
}

// hex4 reads an escape of the form \u0000.
func hex4(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	r := rune(0)
	for _, c := range data[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendValid appends text with each invalid byte replaced by U+FFFD.
func appendValid(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, r)
		text = text[n:]
	}
	return dst
}

// AppendCompact appends JSON text that Skip gave without its white space, and with
// invalid UTF-8 replaced by U+FFFD, so that it can be stored as a string.
func AppendCompact(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\n', '\t', '\r':
			i++
		case '"':
			end := stringEnd(text, i)
			dst = appendValid(dst, text[i:end])
			i = end
		default:
			dst = append(dst, text[i])
			i++
		}
	}
	return dst
}

// stringEnd gives the place behind the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; ; {
		at, _ := findSpecial(text, i)
		switch {
		case at+1 >= len(text) || text[at] == '"':
			return min(at+1, len(text))
		case text[at] == '\\':
			i = at + 2
		default:
			i = at + 1
		}
	}
}
