package pages

import (
	"encoding/binary"
	"math"
)

// bits is a growing sequence of bits. Those behind the last one are zero.
type bits struct {
	words []uint64
	n     int
}

func (b *bits) reset() { b.words, b.n = b.words[:0], 0 }

// push appends the k lowest bits of word, at most 64; its others must be zero.
func (b *bits) push(word uint64, k int) {
	if k == 0 {
		return
	}
	shift := b.n & 63
	if shift == 0 {
		b.words = append(b.words, word)
	} else {
		b.words[len(b.words)-1] |= word << shift
		if shift+k > 64 {
			b.words = append(b.words, word>>(64-shift))
		}
	}
	b.n += k
}

// repeat appends n bits that are all zeros, or all ones.
func (b *bits) repeat(one bool, n int) {
	for n > 0 {
		k := min(n, 64)
		word := uint64(0)
		if one {
			word = math.MaxUint64 >> (64 - k)
		}
		b.push(word, k)
		n -= k
	}
}

// add appends n bits of words, whose bits behind them are zero.
func (b *bits) add(words []uint64, n int) {
	for i := 0; n > 0; i++ {
		k := min(n, 64)
		b.push(words[i], k)
		n -= k
	}
}

// addBytes appends n bits of bytes, whose bits behind them are zero.
func (b *bits) addBytes(bytes []byte, n int) {
	for ; n >= 64; n, bytes = n-64, bytes[8:] {
		b.push(binary.LittleEndian.Uint64(bytes), 64)
	}
	for ; n > 0; n, bytes = n-8, bytes[1:] {
		b.push(uint64(bytes[0]), min(n, 8))
		if n < 8 {
			return
		}
	}
}

// appendTo appends the bits to bytes, the first one as the lowest of the first byte.
func (b *bits) appendTo(dst []byte) []byte {
	end := len(dst) + (b.n+7)/8
	for _, w := range b.words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst[:end]
}
