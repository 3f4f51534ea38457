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

// TaggedMember is NextLike and TaggedNumber in one step, for a member whose name is the
// guess and whose value is a number, as in `,"guess":{"N":"1.5"}`. If it does not stand
// next in this form it is false, and nothing was read. An empty guess is none.
func (s *Scanner) TaggedMember(guess []byte, tag byte) (Number, bool) {
	const behind = len(`":{"N":"`)
	d := s.data
	i, ok := s.member()
	if !ok {
		return Number{}, false
	}
	name := i + 1
	end := name + len(guess)
	if end+behind > len(d) || d[i] != '"' || len(guess) == 0 || string(d[name:end]) != string(guess) ||
		binary.LittleEndian.Uint64(d[end:]) != opening(tag) {
		return Number{}, false
	}
	number := end + behind
	n, end, ok := shortNumber(d, number)
	if !ok {
		n, end, ok = anyNumber(d, number)
	}
	if !ok || end+1 >= len(d) || d[end] != '"' || d[end+1] != '}' {
		return Number{}, false
	}
	s.pos, s.fresh = end+2, false
	return n, true
}

// opening is what stands between a name and its number, `":{"N":"`, as one word.
func opening(tag byte) uint64 {
	const without = '"' | ':'<<8 | '{'<<16 | '"'<<24 | '"'<<40 | ':'<<48 | '"'<<56
	return without | uint64(tag)<<32
}
