package featureservice

import "sync"

// maxKnownNames bounds the features that are remembered of one family.
const maxKnownNames = 4096

// nameBook remembers the features of families in the order in which they came, so that
// a repeated name is found without allocating. It is safe for use at the same time.
type nameBook struct {
	tables sync.Map // family → *nameTable
}

// nameTable is what is known of one family. It does not change.
type nameTable struct {
	names []string
	index map[string]int
}

var noNames = &nameTable{}

// nameCheck looks for repeated names in one row after the other.
type nameCheck struct {
	table *nameTable
	next  int      // number of the name that comes next if the row is like those before
	seen  []uint64 // bitmap over the table's names
	fresh []string // names that the table does not hold
	first map[string]struct{}
}

// begin starts a row of a family.
func (c *nameCheck) begin(book *nameBook, family string) {
	c.table = noNames
	if t, ok := book.tables.Load(family); ok {
		c.table = t.(*nameTable)
	}
	words := (len(c.table.names) + 63) / 64
	if cap(c.seen) < words {
		c.seen = make([]uint64, words)
	}
	c.seen = c.seen[:words]
	clear(c.seen)
	c.next, c.fresh = 0, c.fresh[:0]
	clear(c.first)
}

// repeated tells whether the row has had the name before.
func (c *nameCheck) repeated(name []byte) bool {
	i := c.next
	if i >= len(c.table.names) || c.table.names[i] != string(name) {
		var ok bool
		if i, ok = c.table.index[string(name)]; !ok {
			return c.freshRepeated(name)
		}
	}
	c.next = i + 1
	word, bit := &c.seen[i/64], uint64(1)<<(i%64)
	was := *word&bit != 0
	*word |= bit
	return was
}

// freshRepeated is repeated for a name that the table does not hold.
func (c *nameCheck) freshRepeated(name []byte) bool {
	if _, ok := c.first[string(name)]; ok {
		return true
	}
	if c.first == nil {
		c.first = make(map[string]struct{})
	}
	s := string(name)
	c.first[s] = struct{}{}
	c.fresh = append(c.fresh, s)
	return false
}

// end closes a row that repeats nothing; the book learns its names.
func (c *nameCheck) end(book *nameBook, family string) {
	if len(c.fresh) == 0 || len(c.table.names)+len(c.fresh) > maxKnownNames {
		return
	}
	names := make([]string, 0, len(c.table.names)+len(c.fresh))
	names = append(append(names, c.table.names...), c.fresh...)
	index := make(map[string]int, len(names))
	for i, name := range names {
		index[name] = i
	}
	book.tables.Store(family, &nameTable{names: names, index: index})
}
