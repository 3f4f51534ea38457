package answer

import (
	"errors"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// appendTagged appends a value, whose type tag was read, as plain JSON.
func (s *Scanner) appendTagged(dst, tag []byte, depth int) ([]byte, error) {
	j := &s.json
	switch string(tag) {
	case "N":
		return s.appendNumber(dst)
	case "S", "B":
		return s.appendString(dst)
	case "BOOL":
		v, err := j.Bool()
		return fmt.Appendf(dst, "%t", v), err
	case "NULL":
		_, err := j.Bool()
		return append(dst, "null"...), err
	case "SS", "BS":
		return s.appendArray(dst, s.appendString)
	case "NS":
		return s.appendArray(dst, s.appendNumber)
	}
	if depth == maxNesting {
		return dst, fmt.Errorf("its lists and maps nest more than %d deep", maxNesting)
	}
	switch string(tag) {
	case "L":
		return s.appendArray(dst, func(dst []byte) ([]byte, error) { return s.appendValue(dst, depth+1) })
	case "M":
		return s.appendMap(dst, depth+1)
	}
	return dst, fmt.Errorf("%q is no type of DynamoDB", tag)
}

// appendValue appends an attribute value within a list or a map.
func (s *Scanner) appendValue(dst []byte, depth int) ([]byte, error) {
	j := &s.json
	j.Object()
	tag, more := j.Next()
	if !more {
		return dst, noValue(j)
	}
	dst, err := s.appendTagged(dst, tag, depth)
	if err != nil {
		return dst, err
	}
	return dst, endValue(j)
}

func (s *Scanner) appendArray(dst []byte, element func([]byte) ([]byte, error)) ([]byte, error) {
	j := &s.json
	j.Array()
	dst = append(dst, '[')
	start := len(dst)
	for j.Element() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = element(dst); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), j.Err()
}

func (s *Scanner) appendMap(dst []byte, depth int) ([]byte, error) {
	j := &s.json
	j.Object()
	dst = append(dst, '{')
	start := len(dst)
	for name, more := j.Next(); more; name, more = j.Next() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, name), ':')
		var err error
		if dst, err = s.appendValue(dst, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), j.Err()
}

func (s *Scanner) appendString(dst []byte) ([]byte, error) {
	text, err := readString(&s.json, &s.text)
	return appendQuoted(dst, text), err
}

func (s *Scanner) appendNumber(dst []byte) ([]byte, error) {
	literal, err := s.json.String(s.text)
	if err != nil {
		return dst, err
	}
	if _, ok := jsonscan.ParseNumber(literal); !ok {
		return dst, errors.New("it has a number that is none")
	}
	return append(dst, literal...), nil
}

// appendQuoted appends a JSON string. Only what must be escaped is, so that equal
// strings give equal texts.
func appendQuoted(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
