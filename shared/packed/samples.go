package packed

import (
	"encoding/binary"
	"hash/maphash"
)

// sampleTable numbers samples in the order in which they are first seen. It is an
// open-addressing table over one byte arena, because a map keyed by strings would
// allocate for each sample of each message.
type sampleTable struct {
	entries []sampleEntry
	users   []byte   // user ids, end to end
	slots   []uint32 // entry number + 1, or 0; a power of two, at most half full
	seed    maphash.Seed
}

type sampleEntry struct {
	epochMS int64
	hash    uint64
	end     uint32 // of its user id in users
}

func newSampleTable() sampleTable {
	return sampleTable{seed: maphash.MakeSeed(), slots: make([]uint32, 64)}
}

// reset empties the table and lets go of its memory if that exceeds maxKept bytes.
func (t *sampleTable) reset(maxKept int) {
	const entryBytes = 24
	if cap(t.users)+entryBytes*cap(t.entries)+4*len(t.slots) > maxKept {
		*t = newSampleTable()
		return
	}
	t.entries, t.users = t.entries[:0], t.users[:0]
	clear(t.slots)
}

func (t *sampleTable) user(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = t.entries[i-1].end
	}
	return t.users[start:t.entries[i].end]
}

// add gives the number of a sample and whether it is new.
func (t *sampleTable) add(user string, epochMS int64) (number uint32, added bool) {
	h := maphash.String(t.seed, user) ^ uint64(epochMS)*0x9e3779b97f4a7c15
	h ^= h >> 32
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for ; t.slots[i] != 0; i = (i + 1) & mask {
		n := t.slots[i] - 1
		e := &t.entries[n]
		if e.hash == h && e.epochMS == epochMS && string(t.user(int(n))) == user {
			return n, false
		}
	}
	number = uint32(len(t.entries))
	t.users = append(t.users, user...)
	t.entries = append(t.entries, sampleEntry{epochMS: epochMS, hash: h, end: uint32(len(t.users))})
	t.slots[i] = number + 1
	if 2*len(t.entries) > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		t.index()
	}
	return number, true
}

// truncate forgets all samples but the first n.
func (t *sampleTable) truncate(n int) {
	if n == len(t.entries) {
		return
	}
	t.entries = t.entries[:n]
	end := uint32(0)
	if n > 0 {
		end = t.entries[n-1].end
	}
	t.users = t.users[:end]
	clear(t.slots)
	t.index()
}

// index enters all samples into slots, which must be clear.
func (t *sampleTable) index() {
	mask := uint64(len(t.slots) - 1)
	for n := range t.entries {
		i := t.entries[n].hash & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(n) + 1
	}
}

// appendTo appends the wire form of the table, or of those of its samples that are given.
func (t *sampleTable) appendTo(dst []byte, some []uint32) []byte {
	if some == nil {
		dst = binary.AppendUvarint(dst, uint64(len(t.entries)))
		for i := range t.entries {
			dst = t.appendOne(dst, i)
		}
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(some)))
	for _, i := range some {
		dst = t.appendOne(dst, int(i))
	}
	return dst
}

func (t *sampleTable) appendOne(dst []byte, i int) []byte {
	user := t.user(i)
	dst = binary.AppendUvarint(dst, uint64(len(user)))
	dst = append(dst, user...)
	return binary.LittleEndian.AppendUint64(dst, uint64(t.entries[i].epochMS))
}
