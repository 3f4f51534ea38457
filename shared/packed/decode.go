package packed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
)

// Decode reads a message into m, whose memory it reuses: what m gave before is no
// longer valid. data must stay unchanged for as long as m is used. All of data is
// checked here, so that the views never fail, and memory is made for what data can hold
// only, some 16 bytes for each of its bytes; after an error m is empty.
func Decode(data []byte, m *Message) error {
	m.Source, m.Samples, m.Blocks = 0, m.Samples[:0], m.Blocks[:0]
	m.present, m.ranks = m.present[:0], m.ranks[:0]
	if err := m.decode(data); err != nil {
		m.Source, m.Samples, m.Blocks = 0, m.Samples[:0], m.Blocks[:0]
		return fmt.Errorf("packed message of %d bytes: %w", len(data), err)
	}
	return nil
}

func (m *Message) decode(data []byte) error {
	if len(data) < headerBytes+crcBytes || string(data[:len(magic)]) != magic {
		return errors.New("it does not begin like one")
	}
	if v := data[len(magic)]; v != version {
		return fmt.Errorf("its version is %d, this program reads %d", v, version)
	}
	body, sum := data[:len(data)-crcBytes], binary.LittleEndian.Uint32(data[len(data)-crcBytes:])
	if crc32.Checksum(body, castagnoli) != sum {
		return errors.New("its checksum is wrong: it was damaged or cut on its way")
	}
	m.Source = Source(data[len(magic)+1])
	if m.Source != DynamoDB && m.Source != FeatureService {
		return fmt.Errorf("unknown source %d", uint8(m.Source))
	}
	r := reader{data: body, at: headerBytes, columns: len(data) / columnBytes}
	m.readSamples(&r)
	// A block takes at least 4 bytes: name, row, sample and column counts.
	for n := r.count(4); n > 0 && !r.failed; n-- {
		m.readBlock(&r)
	}
	if r.failed {
		return fmt.Errorf("malformed near byte %d", r.at)
	}
	for _, b := range body[r.at:] {
		if b != 0 {
			return fmt.Errorf("something follows its last block, behind byte %d", r.at)
		}
	}
	return nil
}

func (m *Message) readSamples(r *reader) {
	n := r.count(1 + numberBytes)
	for m.Samples = slices.Grow(m.Samples, n); n > 0 && !r.failed; n-- {
		user := r.bytes(r.count(1))
		if t := r.bytes(numberBytes); t != nil {
			m.Samples = append(m.Samples, Sample{user, int64(binary.LittleEndian.Uint64(t))})
		}
	}
}

func (m *Message) readBlock(r *reader) {
	if len(m.Blocks) == cap(m.Blocks) {
		m.Blocks = append(m.Blocks, BlockView{})
	} else {
		m.Blocks = m.Blocks[:len(m.Blocks)+1] // with the slices that it had last time
	}
	b := &m.Blocks[len(m.Blocks)-1]
	b.Family = m.names.get(r.bytes(r.count(1)), b.Family)
	b.SampleOf, b.Columns = b.SampleOf[:0], b.Columns[:0]
	rows := r.count(1)
	if rows == 0 {
		r.failed = true
	}
	b.SampleOf = slices.Grow(b.SampleOf, rows)
	for range rows {
		s := r.uvarint()
		if s >= uint64(len(m.Samples)) {
			r.failed = true
			return
		}
		b.SampleOf = append(b.SampleOf, uint32(s))
	}
	n := r.columnCount()
	b.Columns = slices.Grow(b.Columns, n)[:n] // with the names that they had last time
	for i := range b.Columns {
		m.readColumn(r, &b.Columns[i], rows)
	}
}

func (m *Message) readColumn(r *reader, c *Column, rows int) {
	c.Name = m.names.get(r.bytes(r.count(1)), c.Name)
	c.count, c.present, c.ranks, c.values, c.text = rows, nil, nil, nil, nil
	head := r.bytes(1)
	if head == nil {
		return
	}
	c.Kind = Kind(head[0] &^ hasPresence)
	if head[0]&hasPresence != 0 {
		m.readPresence(r, c, rows)
	}
	switch c.Kind {
	case Null:
		c.count = 0
		r.failed = r.failed || c.present != nil
	case Double, Int64:
		c.values = r.bytes(c.count * numberBytes)
	case Bool:
		c.values = r.bytes((c.count + 7) / 8)
		r.checkPadding(c.values, c.count)
	case String, JSON:
		c.values = r.bytes(c.count * endBytes)
		c.text = r.text(c.values)
	default:
		r.failed = true
	}
}

// readPresence reads a bitmap over the rows and counts the values before each 64 rows.
func (m *Message) readPresence(r *reader, c *Column, rows int) {
	bitmap := r.bytes((rows + 7) / 8)
	r.checkPadding(bitmap, rows)
	words, ranks := len(m.present), len(m.ranks)
	c.count = 0
	for len(bitmap) > 0 {
		var word [8]byte
		bitmap = bitmap[copy(word[:], bitmap):]
		m.present = append(m.present, binary.LittleEndian.Uint64(word[:]))
		m.ranks = append(m.ranks, uint32(c.count))
		c.count += bits.OnesCount64(m.present[len(m.present)-1])
	}
	c.present = m.present[words:len(m.present):len(m.present)]
	c.ranks = m.ranks[ranks:len(m.ranks):len(m.ranks)]
}

// reader reads within bounds. Once it has failed it gives nothing but zeros.
type reader struct {
	data    []byte
	at      int
	columns int // how many more a message of this size may have
	failed  bool
}

func (r *reader) uvarint() uint64 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return uint64(r.data[r.at-1])
	}
	v, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 || r.failed {
		r.failed = true
		return 0
	}
	r.at += n
	return v
}

// count reads how many things follow of which each takes at least size bytes. It fails
// where they cannot fit into what is left, before anybody makes room for them.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if r.failed || v > uint64((len(r.data)-r.at)/size) {
		r.failed = true
		return 0
	}
	return int(v)
}

// columnCount reads how many columns follow.
func (r *reader) columnCount() int {
	n := r.count(2) // name length and kind
	if r.columns -= n; r.columns < 0 {
		r.failed = true
		return 0
	}
	return n
}

// bytes gives the next n bytes, nil if they are not there.
func (r *reader) bytes(n int) []byte {
	if r.failed || n > len(r.data)-r.at {
		r.failed = true
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at : r.at]
}

// text gives the bytes that end offsets divide among values.
func (r *reader) text(ends []byte) []byte {
	last := uint32(0)
	for i := 0; i < len(ends); i += endBytes {
		end := binary.LittleEndian.Uint32(ends[i:])
		if end < last {
			r.failed = true
			return nil
		}
		last = end
	}
	return r.bytes(int(last))
}

// checkPadding fails unless the bits behind the first n are zero.
func (r *reader) checkPadding(bitmap []byte, n int) {
	if len(bitmap) > 0 && n%8 != 0 && bitmap[len(bitmap)-1]>>(n%8) != 0 {
		r.failed = true
	}
}

// interner gives strings for names that come again and again, without making new ones.
type interner struct {
	known map[string]string
	bytes int
}

const maxInternedBytes = 1 << 20

// get gives name as a string. guess is what it probably is.
func (t *interner) get(name []byte, guess string) string {
	if string(name) == guess {
		return guess
	}
	if s, ok := t.known[string(name)]; ok {
		return s
	}
	if t.known == nil || t.bytes > maxInternedBytes {
		t.known, t.bytes = make(map[string]string), 0
	}
	s := string(name)
	t.known[s] = s
	t.bytes += len(s) + 32 // and what the map needs
	return s
}
