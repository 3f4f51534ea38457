package jsonscan

// member gives the place of the next member, behind the comma before it and a blank; false if
// there is no comma.
func (s *Scanner) member() (int, bool) {
	i := s.pos
	if !s.fresh {
		if i >= len(s.data) || s.data[i] != ',' {
			return 0, false
		}
		i++
	}
	if i < len(s.data) && s.data[i] == ' ' {
		i++
	}
	return i, true
}

// NumberMember is NextLike and Number in one step, for a member whose name is the guess and
// whose value is a number, as in `,"guess":1.5`, with a blank before name or value at most.
// If it does not stand next in this form it is false, and nothing was read. An empty guess
// is none.
func (s *Scanner) NumberMember(guess []byte) (Number, bool) {
	d := s.data
	i, ok := s.member()
	if !ok {
		return Number{}, false
	}
	name := i + 1
	end := name + len(guess)
	if end+2 >= len(d) || d[i] != '"' || d[end] != '"' || d[end+1] != ':' || len(guess) == 0 || string(d[name:end]) != string(guess) {
		return Number{}, false
	}
	i = end + 2
	if d[i] == ' ' {
		i++
	}
	n, end, ok := parseNumber(d, i)
	if !ok {
		return Number{}, false
	}
	s.pos, s.fresh = end, false
	return n, true
}
