package packed

import "slices"

// part is a share of a builder's blocks as a message of its own.
type part struct {
	blocks  []*Block // those that have rows
	samples []uint32 // numbers of the samples that its rows are of; nil = all
	number  []uint32 // by the builder's numbers of samples: the part's; nil = the same
}

// EncodeParts gives the cells as messages of about target bytes and at most most, unless one
// block alone is larger: blocks stay whole. So cells that were gathered for long travel with
// many rows in a block, where as many messages that were gathered one after the other would
// have few. Open rows are discarded.
func (b *Builder) EncodeParts(src Source, target, most int) [][]byte {
	blocks := b.closedBlocks()
	total := 0
	for _, k := range blocks {
		total += k.weight()
	}
	n := max((total+target/2)/target, 1)
	if n == 1 && total <= most {
		return [][]byte{b.Encode(nil, src)}
	}
	enough := min(total/n+b.largest, most)
	var messages [][]byte
	for len(blocks) > 0 {
		size, count := blocks[0].weight(), 1
		for count < len(blocks) && size+blocks[count].weight() <= enough {
			size += blocks[count].weight()
			count++
		}
		p := b.part(blocks[:count])
		messages = append(messages, p.encode(make([]byte, 0, messageOverhead+size), src, &b.samples))
		blocks = blocks[count:]
	}
	return messages
}

// closedBlocks gives the blocks that have rows.
func (b *Builder) closedBlocks() []*Block {
	var blocks []*Block
	for _, k := range b.blocks {
		k.Discard()
		if k.Rows() > 0 {
			blocks = append(blocks, k)
		}
	}
	return blocks
}

// part numbers the samples of some blocks anew.
func (b *Builder) part(blocks []*Block) part {
	p := part{blocks: blocks, samples: []uint32{}, number: slices.Grow(b.number[:0], len(b.samples.entries))}
	p.number = p.number[:len(b.samples.entries)]
	clear(p.number) // number + 1, until all are known
	for _, k := range blocks {
		for _, s := range k.sampleOf {
			if p.number[s] == 0 {
				p.samples = append(p.samples, s)
				p.number[s] = uint32(len(p.samples))
			}
		}
	}
	for _, s := range p.samples {
		p.number[s]--
	}
	b.number = p.number
	return p
}

// weight bounds the bytes of a message that holds the block alone.
func (k *Block) weight() int { return k.size + k.samples }

// Largest bounds the bytes of a message of the largest block alone, but for what every
// message has. Blocks that were dropped may count.
func (b *Builder) Largest() int { return b.largest }
