// Package jsonscan reads JSON text that is in memory, value by value, straight into the
// caller's columns: no tree, no maps, no allocation per value.
//
// The caller asks for what it expects:
//
//	s := jsonscan.New(data)
//	s.Object()
//	for key, more := s.Next(); more; key, more = s.Next() {
//		switch string(key) {
//		case "name":
//			name, _ = s.String(nil)
//		default:
//			s.Skip()
//		}
//	}
//	if err := s.End(); err != nil { … }
//
// Each value must be read or skipped before the next Next or Element. The first error
// stays: every later call fails at once with the same error, so that it is enough to
// look at Err or End when all is read.
//
// A caller who reads one object after another with the same keys tells its guess of the
// next key with NextLike, which is then as cheap as comparing them.
//
// The scanner accepts what encoding/json accepts and reads the same values, except that
// it reports duplicate keys like others (the caller decides what they mean), that
// integers within int64 stay exact, that nesting is bounded by MaxDepth, and that
// AllowNaN admits NaN and infinities.
package jsonscan

import "fmt"

// MaxDepth bounds how deeply arrays and objects may nest.
const MaxDepth = 1000

var tooDeep = fmt.Sprintf("arrays and objects nest more than %d deep", MaxDepth)

// Scanner reads one JSON text. The zero value reads an empty text.
type Scanner struct {
	// AllowNaN admits the bare words NaN, Infinity and -Infinity as numbers. Python
	// writes them.
	AllowNaN bool

	data  []byte
	pos   int
	depth int
	fresh bool // an object or array was entered, and nothing of it was read
	err   *SyntaxError
	keys  []byte // keys that had to be unescaped
}

// SyntaxError says where a text is not what was asked for.
type SyntaxError struct {
	Offset int // bytes before the place
	Msg    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("JSON at byte %d: %s", e.Offset, e.Msg) }

// New gives a scanner over data, which must stay unchanged while views of it are used.
func New(data []byte) Scanner { return Scanner{data: data} }

// Reset starts again with another text. AllowNaN stays. Keys given before are no longer
// valid.
func (s *Scanner) Reset(data []byte) {
	*s = Scanner{AllowNaN: s.AllowNaN, data: data, keys: s.keys[:0]}
}

// Kind is the type of a JSON value.
type Kind uint8

// The kinds. KindInvalid stands for the end of the text and for what begins no value.
const (
	KindInvalid Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

var kindNames = [...]string{"no value", "null", "a bool", "a number", "a string", "an array", "an object"}

// String gives the kind as messages name it, with its article.
func (k Kind) String() string { return kindNames[k] }

var kindOf = [256]Kind{
	'n': KindNull, 't': KindBool, 'f': KindBool, '"': KindString, '[': KindArray, '{': KindObject,
	'0': KindNumber, '1': KindNumber, '2': KindNumber, '3': KindNumber, '4': KindNumber,
	'5': KindNumber, '6': KindNumber, '7': KindNumber, '8': KindNumber, '9': KindNumber,
	'-': KindNumber,
}

// Kind tells what the next value begins like, without reading it.
func (s *Scanner) Kind() Kind {
	c := s.peek()
	if s.AllowNaN && (c == 'N' || c == 'I') {
		return KindNumber
	}
	return kindOf[c]
}

// Offset gives the place of the next byte to be read.
func (s *Scanner) Offset() int { return s.pos }

// Err gives the first error, or nil.
func (s *Scanner) Err() error {
	if s.err == nil { // not a nil *SyntaxError in a non-nil interface
		return nil
	}
	return s.err
}

// End checks that nothing but white space is left, and gives the first error.
func (s *Scanner) End() error {
	if s.err == nil {
		if s.peek(); s.pos != len(s.data) {
			return s.fail("something follows behind the end of the value")
		}
	}
	return s.Err()
}

// Object enters an object. It is false, with an error, if the next value is none.
func (s *Scanner) Object() bool { return s.enter('{') }

// Array enters an array. It is false, with an error, if the next value is none.
func (s *Scanner) Array() bool { return s.enter('[') }

func (s *Scanner) enter(bracket byte) bool {
	if s.peek() != bracket {
		_ = s.mismatch(kindOf[bracket]) // kept in the scanner
		return false
	}
	if s.depth == MaxDepth {
		return s.refuse(tooDeep)
	}
	s.pos++
	s.depth++
	s.fresh = true
	return true
}

// Next moves to the next member of the object that was entered last and gives its key;
// the value is to be read or skipped. It is false at the end of the object, which is
// left then, and after an error. The key is valid until Reset.
func (s *Scanner) Next() (key []byte, more bool) {
	c := s.peek()
	switch {
	case c == '}':
		return nil, s.leave()
	case s.fresh:
		s.fresh = false
	case c == ',':
		s.pos++
		c = s.peek()
	default:
		return nil, s.refuse("want ',' or '}' after a member of an object")
	}
	if c != '"' {
		return nil, s.refuse("want a key in quotes")
	}
	key, ok := s.key()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.refuse("want ':' after a key")
	}
	s.pos++
	return key, true
}

// NextLike is Next for a caller who has a guess of the key, from the object before. It is
// faster where the guess is right, and gives guess itself then. A guess must stand in
// JSON as it is: UTF-8 without quotes, backslashes and control characters. An empty one
// is no guess.
func (s *Scanner) NextLike(guess []byte) (key []byte, more bool) {
	i, ok := s.member()
	if !ok {
		return s.Next()
	}
	end := i + 1 + len(guess)
	if end+1 >= len(s.data) || s.data[i] != '"' || s.data[end] != '"' || s.data[end+1] != ':' ||
		len(guess) == 0 || string(s.data[i+1:end]) != string(guess) {
		return s.Next()
	}
	s.pos, s.fresh = end+2, false
	return guess, true
}

// Element moves to the next element of the array that was entered last, which is to be
// read or skipped. It is false at the end of the array, which is left then, and after
// an error.
func (s *Scanner) Element() bool {
	c := s.peek()
	switch {
	case c == ']':
		return s.leave()
	case s.fresh:
		s.fresh = false
	case c == ',':
		s.pos++
		if s.peek() == ']' {
			return s.refuse("want a value after ','")
		}
	default:
		return s.refuse("want ',' or ']' after an element of an array")
	}
	return true
}

// leave steps over a closing bracket. It is false, as its callers are.
func (s *Scanner) leave() bool {
	s.pos++
	s.depth--
	s.fresh = false
	return false
}

// Bool reads true or false.
func (s *Scanner) Bool() (bool, error) {
	switch s.peek() {
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	}
	return false, s.mismatch(KindBool)
}

// Null reads null.
func (s *Scanner) Null() error {
	if s.peek() != 'n' {
		return s.mismatch(KindNull)
	}
	return s.word("null")
}

// word steps over a bare word.
func (s *Scanner) word(w string) error {
	if end := s.pos + len(w); end <= len(s.data) && string(s.data[s.pos:end]) == w {
		s.pos = end
		return nil
	}
	return s.fail("want the word " + w)
}

// peek steps over white space and gives the next byte, 0 at the end.
func (s *Scanner) peek() byte {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' {
		return s.data[s.pos]
	}
	return s.peekOverSpace()
}

func (s *Scanner) peekOverSpace() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// mismatch fails because the next value is not of the kind that was asked for.
func (s *Scanner) mismatch(want Kind) error {
	if s.err != nil {
		return s.err
	}
	found := s.Kind()
	switch {
	case found != KindInvalid:
		return s.fail("want " + want.String() + ", found " + found.String())
	case s.pos == len(s.data):
		return s.fail("want " + want.String() + ", but the text ends")
	}
	return s.fail(fmt.Sprintf("want %s, found %q", want, s.data[s.pos]))
}

// fail notes the first error, at the present place, and gives it. Nothing is left to be
// read then, so that no later call has to ask.
func (s *Scanner) fail(msg string) error {
	if s.err == nil {
		s.err = &SyntaxError{Offset: s.pos, Msg: msg}
		s.data = s.data[:0]
		s.pos = 0
	}
	return s.err
}

// refuse is fail for callers that tell of errors by being false.
func (s *Scanner) refuse(msg string) bool {
	_ = s.fail(msg) // kept in the scanner
	return false
}
