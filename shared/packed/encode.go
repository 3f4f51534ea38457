package packed

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode appends the message to dst. Open rows are discarded, blocks without rows are
// left out. The builder can go on gathering.
func (b *Builder) Encode(dst []byte, src Source) []byte {
	p := part{blocks: b.closedBlocks()}
	return p.encode(slices.Grow(dst, b.size), src, &b.samples)
}

// encode appends the part as a message.
func (p *part) encode(dst []byte, src Source, samples *sampleTable) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, version, byte(src))
	dst = samples.appendTo(dst, p.samples)
	dst = binary.AppendUvarint(dst, uint64(len(p.blocks)))
	columns := 0
	for _, k := range p.blocks {
		columns += len(k.order)
		dst = k.appendTo(dst, p.number)
	}
	for len(dst)-start+crcBytes < columns*columnBytes {
		dst = append(dst, 0)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// appendTo appends the block's wire form. number gives the numbers of its samples, unless
// they stay.
func (k *Block) appendTo(dst []byte, number []uint32) []byte {
	dst = appendName(dst, k.layout.family)
	dst = binary.AppendUvarint(dst, uint64(len(k.sampleOf)))
	for _, s := range k.sampleOf {
		if number != nil {
			s = number[s]
		}
		dst = binary.AppendUvarint(dst, uint64(s))
	}
	dst = binary.AppendUvarint(dst, uint64(len(k.order)))
	for _, f := range k.order {
		c := &k.columns[f]
		dst = appendName(dst, c.name)
		dst = c.appendTo(dst, len(k.sampleOf))
	}
	return dst
}

func (c *column) appendTo(dst []byte, rows int) []byte {
	switch c.count {
	case 0:
		return append(dst, byte(Null))
	case rows:
		dst = append(dst, byte(c.kind))
	default:
		dst = append(dst, byte(c.kind)|hasPresence)
		dst = c.appendPresence(dst, rows)
	}
	dst = append(dst, c.values...)
	return append(dst, c.text...)
}

func (c *column) appendPresence(dst []byte, rows int) []byte {
	for i := 0; i < rows; i += 64 {
		var word uint64
		switch {
		case !c.sparse:
			word = lowBits(max(c.count-i, 0))
		case i/64 < len(c.present):
			word = c.present[i/64]
		}
		n := min((rows-i+7)/8, 8)
		dst = binary.LittleEndian.AppendUint64(dst, word)
		dst = dst[:len(dst)-8+n]
	}
	return dst
}

func appendName[T string | []byte](dst []byte, name T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	return append(dst, name...)
}
