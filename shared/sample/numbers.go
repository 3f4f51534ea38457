package sample

import (
	"encoding/binary"

	"github.com/fastfeaturefetch/fff/shared/paged"
)

// Numbers numbers samples in the order in which they are first seen, from 0 on, so that what
// is known of them can be in lists and bitmaps. A sample takes its key and 5 to 11 bytes of
// a hash table, half as much again while that grows. The zero value is empty.
//
// It is not safe for use by several goroutines while it grows.
type Numbers struct {
	keys  paged.List[Key]
	slots []uint32 // open addressing: number + 1, 0 = free
}

// BytesPerSample is what a sample takes in Numbers at the most, while the table grows.
const BytesPerSample = 32

// Add gives the number of a sample, a new one if it was not seen before.
func (s *Numbers) Add(k Key) uint32 {
	n, _ := s.Put(k)
	return n
}

// Put is Add, and tells whether the sample was not seen before.
func (s *Numbers) Put(k Key) (n uint32, fresh bool) {
	if (s.keys.Len()+1)*4 > len(s.slots)*3 {
		s.grow()
	}
	at, found := s.find(k)
	if found {
		return s.slots[at] - 1, false
	}
	s.keys.Append(k)
	s.slots[at] = uint32(s.keys.Len())
	return s.slots[at] - 1, true
}

// Find gives the number of a sample that was seen.
func (s *Numbers) Find(k Key) (n uint32, ok bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	at, found := s.find(k)
	if !found {
		return 0, false
	}
	return s.slots[at] - 1, true
}

// find gives the slot of a key, or the one where it belongs. Keys are parts of hashes, so a
// part of one is hash enough.
func (s *Numbers) find(k Key) (at int, found bool) {
	mask := len(s.slots) - 1
	for at = int(binary.LittleEndian.Uint64(k[:])) & mask; ; at = (at + 1) & mask {
		n := s.slots[at]
		if n == 0 {
			return at, false
		}
		if *s.keys.At(int(n - 1)) == k {
			return at, true
		}
	}
}

func (s *Numbers) grow() {
	old := s.slots
	s.slots = make([]uint32, max(16, 2*len(old)))
	mask := len(s.slots) - 1
	for _, n := range old {
		if n == 0 {
			continue
		}
		at := int(binary.LittleEndian.Uint64(s.keys.At(int(n - 1))[:])) & mask
		for s.slots[at] != 0 {
			at = (at + 1) & mask
		}
		s.slots[at] = n
	}
}

// Key gives the sample with a number.
func (s *Numbers) Key(n uint32) Key { return *s.keys.At(int(n)) }

// Keys gives a copy of all samples in the order of their numbers.
func (s *Numbers) Keys() []Key {
	all := make([]Key, s.Len())
	for i := range all {
		all[i] = *s.keys.At(i)
	}
	return all
}

// Len counts the samples.
func (s *Numbers) Len() int { return s.keys.Len() }
