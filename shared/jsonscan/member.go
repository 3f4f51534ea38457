package jsonscan

// NumberMember is NextLike and Number in one step, for a member whose name is the guess and
// whose value is a number, as in `,"guess":1.5`, with a blank before name or value at most.
// If it does not stand next in this form it is false, and nothing was read. An empty guess
// is none.
func (s *Scanner) NumberMember(guess []byte) (Number, bool) {
	d, i := s.data, s.pos+1
	if s.fresh {
		i--
	} else if s.pos >= len(d) || d[s.pos] != ',' {
		return Number{}, false
	}
	if i < len(d) && d[i] == ' ' {
		i++
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
	n, end, ok := shortNumber(d, i)
	if !ok {
		if n, end, ok = anyNumber(d, i); !ok {
			return Number{}, false
		}
	}
	s.pos, s.fresh = end, false
	return n, true
}
