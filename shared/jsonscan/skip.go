package jsonscan

// Skip steps over one value of any kind, checks that it is well-formed, and gives its
// bytes as a view.
func (s *Scanner) Skip() ([]byte, error) {
	c := s.peek()
	start := s.pos
	switch c {
	case '{', '[':
		s.skipNested(c)
	default:
		s.skipScalar(c)
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.data[start:s.pos:s.pos], nil
}

func (s *Scanner) skipScalar(c byte) bool {
	switch c {
	case '"':
		return s.skipString()
	case 't':
		return s.word("true") == nil
	case 'f':
		return s.word("false") == nil
	case 'n':
		return s.word("null") == nil
	}
	return s.skipNumber(c)
}

// skipNested steps over the array or object that begins at pos. It keeps a bit for each
// level instead of recursing.
func (s *Scanner) skipNested(c byte) {
	var objects [MaxDepth/64 + 1]uint64 // bit d: level d is an object
	outer := s.depth
	for {
		closed := false // the value at pos is complete
		switch c {
		case '{', '[':
			if s.depth == MaxDepth {
				s.refuse(tooDeep)
				return
			}
			bit := uint64(1) << (s.depth % 64)
			objects[s.depth/64] &^= bit
			if c == '{' {
				objects[s.depth/64] |= bit
			}
			s.depth++
			s.pos++
			if next := s.peek(); next == c+2 { // '{'+2 is '}', '['+2 is ']'
				s.pos++
				s.depth--
				closed = true
			} else if c == '{' && !s.skipKey() {
				return
			}
		default:
			if closed = s.skipScalar(c); !closed {
				return
			}
		}
		if closed && (!s.skipToNext(outer, &objects) || s.depth == outer) {
			return
		}
		c = s.peek()
	}
}

// skipToNext closes the levels that end behind a value, down to outer, and steps to the
// next value within the level that goes on. It is false after an error.
func (s *Scanner) skipToNext(outer int, objects *[MaxDepth/64 + 1]uint64) bool {
	for s.depth > outer {
		level := s.depth - 1
		inObject := objects[level/64]>>(level%64)&1 != 0
		c := s.peek()
		switch {
		case c == ',':
			s.pos++
			return !inObject || s.skipKey()
		case c == '}' && inObject, c == ']' && !inObject:
			s.pos++
			s.depth--
		default:
			return s.refuse("want ',' or the end of an array or object")
		}
	}
	return true
}

// skipKey steps over a key and its colon.
func (s *Scanner) skipKey() bool {
	if s.peek() != '"' {
		return s.refuse("want a key in quotes")
	}
	if !s.skipString() {
		return false
	}
	if s.peek() != ':' {
		return s.refuse("want ':' after a key")
	}
	s.pos++
	return true
}
