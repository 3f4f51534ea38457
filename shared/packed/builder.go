package packed

import "iter"

// What a Builder keeps from one message to the next. Beyond these it starts afresh, so
// that one unusual message does not hold memory for ever.
const (
	MaxKeptBytes    = 4 << 20
	maxKeptFeatures = 1 << 15
)

// Upper bounds of what stands around values, for Size.
const (
	lengthBytes     = 5 // a uvarint within uint32
	messageOverhead = headerBytes + 2*lengthBytes + crcBytes
	sampleOverhead  = 3 + 8
	blockOverhead   = 3 + 2*lengthBytes
	columnOverhead  = 4
	rowOverhead     = 3
)

// Builder gathers cells into one message. It is reused with Reset and is not safe for
// concurrent use.
type Builder struct {
	samples    sampleTable
	last       uint32 // number that Sample gave last
	blocks     []*Block
	shared     map[string]*Block
	layouts    map[string]*layout
	kept       int // bytes that spare blocks hold
	size, rows int
	largest    int      // bytes of the largest block and its samples
	number     []uint32 // scratch of part
	droppable  bool     // the last block came from NewBlock, which noted:
	samplesWas int
}

// NewBuilder gives an empty Builder.
func NewBuilder() *Builder {
	b := &Builder{
		samples: newSampleTable(),
		shared:  make(map[string]*Block),
		layouts: make(map[string]*layout),
	}
	b.Reset()
	return b
}

// Reset empties the builder. Blocks that it gave out must not be used any more.
func (b *Builder) Reset() {
	for _, k := range b.blocks {
		b.putSpare(k)
	}
	b.blocks = b.blocks[:0]
	features := 0
	for _, l := range b.layouts {
		features += len(l.names)
	}
	if b.kept > MaxKeptBytes || features > maxKeptFeatures {
		clear(b.layouts)
		b.kept = 0
	}
	clear(b.shared)
	b.samples.reset(MaxKeptBytes)
	b.size, b.rows, b.largest, b.last, b.droppable = messageOverhead, 0, 0, 0, false
}

// Size estimates the bytes of the encoded message from above. A row counts once it is
// closed.
func (b *Builder) Size() int { return b.size }

// Rows counts the closed rows of all blocks, which are the message's cells.
func (b *Builder) Rows() int { return b.rows }

// RowsByFamily gives the blocks that have closed rows, by family: one may come again.
func (b *Builder) RowsByFamily() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, k := range b.blocks {
			if n := k.Rows(); n > 0 && !yield(k.layout.family, n) {
				return
			}
		}
	}
}

// Sample gives the number of a sample in the message's table. The same user and time
// (epoch milliseconds) give the same number.
func (b *Builder) Sample(userID string, epochMS int64) uint32 {
	if i := int(b.last); i < len(b.samples.entries) &&
		b.samples.entries[i].epochMS == epochMS && string(b.samples.user(i)) == userID {
		return b.last
	}
	n, added := b.samples.add(userID, epochMS)
	if added {
		b.size += len(userID) + sampleOverhead
	}
	b.last = n
	return n
}

// Block gives the family's block that rows of several requests share, and opens it if
// there is none.
func (b *Builder) Block(family string) *Block {
	if k, ok := b.shared[family]; ok {
		return k
	}
	k := b.open(family)
	b.shared[k.layout.family] = k
	b.droppable = false
	return k
}

// NewBlock opens a block of its own for a columnar answer: one family, many samples.
func (b *Builder) NewBlock(family string) *Block {
	b.samplesWas, b.droppable = len(b.samples.entries), true
	return b.open(family)
}

// DropLast drops the block that NewBlock gave last, with the samples that came after
// it, as if it had never been. It does nothing if another block was opened since.
func (b *Builder) DropLast() {
	if !b.droppable {
		return
	}
	b.droppable = false
	k := b.blocks[len(b.blocks)-1]
	b.blocks = b.blocks[:len(b.blocks)-1]
	k.Discard()
	b.size -= k.size
	b.rows -= k.Rows()
	for i := b.samplesWas; i < len(b.samples.entries); i++ {
		b.size -= len(b.samples.user(i)) + sampleOverhead
	}
	b.samples.truncate(b.samplesWas)
	b.putSpare(k)
}

func (b *Builder) open(family string) *Block {
	l := b.layouts[family]
	if l == nil {
		l = newLayout(family)
		b.layouts[l.family] = l
	}
	k := b.takeSpare(l)
	k.size = len(family) + blockOverhead
	b.size += k.size
	b.blocks = append(b.blocks, k)
	return k
}

// takeSpare gives an empty block, if possible one that was used for the same family,
// since its columns have the right sizes already.
func (b *Builder) takeSpare(l *layout) *Block {
	n := len(l.spare)
	if n == 0 {
		return &Block{owner: b, layout: l}
	}
	k := l.spare[n-1]
	l.spare = l.spare[:n-1]
	b.kept -= k.kept
	return k
}

func (b *Builder) putSpare(k *Block) {
	k.recycle()
	b.kept += k.kept
	k.layout.spare = append(k.layout.spare, k)
}
