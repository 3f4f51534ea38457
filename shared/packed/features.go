package packed

import "bytes"

// layout numbers a family's features, for all blocks and messages of a Builder. A block
// asks it only for a feature that it does not find by guessing.
type layout struct {
	family string
	names  [][]byte
	index  map[string]uint32
	spare  []*Block // empty blocks, to be used again
}

func newLayout(family string) *layout {
	return &layout{family: family, index: make(map[string]uint32)}
}

// feature gives the number of a feature, a new one if it was never seen.
func (l *layout) feature(name []byte) uint32 {
	f, ok := l.index[string(name)]
	if !ok {
		f = uint32(len(l.names))
		l.names = append(l.names, bytes.Clone(name))
		l.index[string(name)] = f
	}
	return f
}

// Guess gives the name of the feature that probably comes next, for a scanner to compare
// with. It is empty if there is none, or none that stands in JSON as it is: printable
// ASCII without quotes and backslashes. A name that is a Guess is found faster. It must
// not be changed. It was named since Reset: what other messages named may be no feature
// to the run that this one is of.
func (k *Block) Guess() []byte {
	if int(k.guess) >= len(k.columns) {
		return nil
	}
	c := &k.columns[k.guess]
	if !c.used {
		return nil
	}
	return c.name[:c.plain]
}

// column gives the column of a feature, in which the open row has no value. It guesses
// that the feature follows the one before as it did last time, so that the layout's map
// is asked only where the order changes.
func (k *Block) column(name []byte) *column {
	i := k.guess
	if int(i) >= len(k.columns) || string(k.columns[i].name) != string(name) {
		i = k.find(i, name)
	}
	c := &k.columns[i]
	k.last, k.guess = i, c.follows
	k.rowNames += len(name) + columnOverhead
	if !c.used {
		c.used = true
		k.order = append(k.order, i)
		k.size += max(len(name)+columnOverhead, columnBytes) + k.Rows()/8 + 1
	}
	row := len(k.sampleOf)
	if c.named > row {
		k.repeated = true
		if c.has(row) {
			k.rowValues -= c.takeBack(row)
		}
	}
	c.named = row + 1
	return c
}

// find gives the number of a feature's column when the guess is wrong. A feature that
// the row leaves out is stepped over; any other order is learnt.
func (k *Block) find(guess uint32, name []byte) uint32 {
	if int(guess) < len(k.columns) {
		if next := k.columns[guess].follows; int(next) < len(k.columns) && string(k.columns[next].name) == string(name) {
			return next
		}
	}
	f := k.layout.feature(name)
	for len(k.columnOf) <= int(f) {
		k.columnOf = append(k.columnOf, 0)
	}
	i := k.columnOf[f] - 1
	if k.columnOf[f] == 0 {
		i = uint32(len(k.columns))
		name := k.layout.names[f]
		k.columns = append(k.columns, column{name: name, plain: plainBytes(name), follows: i + 1})
		k.columnOf[f] = i + 1
	}
	if k.last == noColumn {
		k.first = i
	} else {
		k.columns[k.last].follows = i
	}
	return i
}

// plainBytes gives the length of a name that stands in JSON as it is, 0 for any other.
func plainBytes(name []byte) uint32 {
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return 0
		}
	}
	return uint32(len(name))
}
