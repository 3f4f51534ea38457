package answer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

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
		return s.appendArray(dst, unordered, s.appendString)
	case "NS":
		return s.appendArray(dst, unordered, s.appendNumber)
	}
	if depth == maxNesting {
		return dst, fmt.Errorf("its lists and maps nest more than %d deep", maxNesting)
	}
	switch string(tag) {
	case "L":
		return s.appendArray(dst, ordered, func(dst []byte) ([]byte, error) { return s.appendValue(dst, depth+1) })
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

// Lists have an order, sets have none.
const (
	ordered   = true
	unordered = false
)

// usualParts is how many members or elements need no allocation.
const usualParts = 16

func (s *Scanner) appendArray(dst []byte, order bool, element func([]byte) ([]byte, error)) ([]byte, error) {
	j := &s.json
	j.Array()
	dst = append(dst, '[')
	start := len(dst)
	var stack [usualParts]int
	ends := stack[:0]
	for j.Element() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = element(dst); err != nil {
			return dst, err
		}
		ends = append(ends, len(dst))
	}
	if !order {
		dst = arrange(dst, start, ends)
	}
	return append(dst, ']'), j.Err()
}

func (s *Scanner) appendMap(dst []byte, depth int) ([]byte, error) {
	j := &s.json
	j.Object()
	dst = append(dst, '{')
	start := len(dst)
	var stack [usualParts]int
	ends := stack[:0]
	for name, more := j.Next(); more; name, more = j.Next() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, name), ':')
		var err error
		if dst, err = s.appendValue(dst, depth); err != nil {
			return dst, err
		}
		ends = append(ends, len(dst))
	}
	return append(arrange(dst, start, ends), '}'), j.Err()
}

// arrange puts what stands behind start, between commas, in the order of its bytes. Maps and
// sets have no order of their own: engines answer in one, another or a new one each time, and
// equal values must give equal texts.
func arrange(dst []byte, start int, ends []int) []byte {
	part := func(i int) []byte {
		if i == 0 {
			return dst[start:ends[0]]
		}
		return dst[ends[i-1]+1 : ends[i]]
	}
	i := 1
	for i < len(ends) && bytes.Compare(part(i-1), part(i)) <= 0 {
		i++
	}
	if i >= len(ends) {
		return dst
	}
	parts := make([][]byte, len(ends))
	for i := range parts {
		parts[i] = part(i)
	}
	slices.SortFunc(parts, bytes.Compare)
	return append(dst[:start], bytes.Join(parts, []byte{','})...)
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
