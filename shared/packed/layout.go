package packed

// layout remembers a family's features over all blocks and messages of a Builder. It
// guesses the next feature of a row from what followed the present one last time, so
// that the map is asked only when the order changes.
type layout struct {
	family string
	names  []string
	next   []uint32 // next[0] is the guess for a row's first feature, next[i+1] for the one after feature i
	index  map[string]uint32
	spare  []*Block // empty blocks, to be used again
}

func newLayout(family string) *layout {
	return &layout{family: family, next: make([]uint32, 1), index: make(map[string]uint32)}
}

// find gives the number of a feature whose guess at position at was wrong. A feature
// that the row leaves out is stepped over; any other order is learnt.
func (l *layout) find(at uint32, name []byte) uint32 {
	if guess := l.next[at]; int(guess) < len(l.names) {
		if second := l.next[guess+1]; l.names[second] == string(name) {
			return second
		}
	}
	i, ok := l.index[string(name)]
	if !ok {
		i = uint32(len(l.names))
		s := string(name)
		l.names = append(l.names, s)
		l.next = append(l.next, 0)
		l.index[s] = i
	}
	l.next[at] = i
	return i
}
