package packed

import "bytes"

// layout numbers a family's features, for all blocks and messages of a Builder.
type layout struct {
	family string
	names  [][]byte
	index  map[string]uint32
	spare  []*Block // empty blocks, to be used again
}

func newLayout(family string) *layout {
	return &layout{family: family, index: make(map[string]uint32)}
}

func (l *layout) feature(name []byte) uint32 {
	f, ok := l.index[string(name)]
	if !ok {
		f = uint32(len(l.names))
		l.names = append(l.names, bytes.Clone(name))
		l.index[string(name)] = f
	}
	return f
}
