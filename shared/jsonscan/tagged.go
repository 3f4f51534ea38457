package jsonscan

import "encoding/binary"

// TaggedNumber reads a number as DynamoDB writes it, {"N":"1.5"} for the tag 'N', if it
// stands next in this form without white space. Otherwise it is false, and nothing was
// read.
func (s *Scanner) TaggedNumber(tag byte) (Number, bool) {
	const before = len(`{"N":"`)
	d := s.data[s.pos:]
	if len(d) < before || d[0] != '{' || d[1] != '"' || d[2] != tag || d[3] != '"' || d[4] != ':' || d[5] != '"' {
		return Number{}, false
	}
	n, end, ok := parseNumber(d, before)
	if !ok || end+1 >= len(d) || d[end] != '"' || d[end+1] != '}' {
		return Number{}, false
	}
	s.pos, s.fresh = s.pos+end+2, false
	return n, true
}

// TaggedMember is NextLike and TaggedNumber in one step, for a member behind another one whose
// name is the guess and whose value is a number, as in `,"guess":{"N":"1.5"}`. If it does not
// stand next in this form it is false, and nothing was read. An empty guess is none.
func (s *Scanner) TaggedMember(guess []byte, tag byte) (Number, bool) {
	const before, behind = len(`,"`), len(`":{"N":"`)
	d := s.data[s.pos:]
	name := before + len(guess)
	if s.fresh || name+behind > len(d) || len(guess) == 0 || d[0] != ',' || d[1] != '"' || !equal(d[before:name], guess) {
		return Number{}, false
	}
	d = d[name:]
	if binary.LittleEndian.Uint64(d) != opening(tag) {
		return Number{}, false
	}
	n, end, ok := shortNumber(d[behind:])
	if end += behind; !ok || d[end] != '"' {
		n, end, ok = anyNumber(d, behind)
	}
	if !ok || end+1 >= len(d) || d[end] != '"' || d[end+1] != '}' {
		return Number{}, false
	}
	s.pos += name + end + 2
	return n, true
}

// equal compares names of the same length, which are too short for a call to pay.
func equal(a, b []byte) bool {
	if len(a) < 8 || len(b) < 8 {
		return string(a) == string(b)
	}
	n := len(b) - 8
	x := binary.LittleEndian.Uint64(a[len(a)-8:]) ^ binary.LittleEndian.Uint64(b[n:])
	for i := 0; i < n; i += 8 {
		x |= binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
	}
	return x == 0
}

// opening is what stands between a name and its number, `":{"N":"`, as one word.
func opening(tag byte) uint64 {
	const without = '"' | ':'<<8 | '{'<<16 | '"'<<24 | '"'<<40 | ':'<<48 | '"'<<56
	return without | uint64(tag)<<32
}
