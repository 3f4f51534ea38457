package zstdwords

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Bounds of Huffman codes in zstd.
const (
	maxCodeBits    = 11
	maxWeightBytes = 127 // of the weights as one sequence of finite state entropy codes
	plainWeights   = 128 // most weights that may stand as they are, in 4 bits each
)

// huffman codes bytes, with codes that are made for one block.
type huffman struct {
	counts [256]uint32
	widths [256]uint8  // of the codes; 0 = the byte does not occur
	codes  [256]uint32 // width << 16 | code
	widest uint8
	last   int // greatest byte that occurs
	table  table
}

// count counts the bytes of src, and gives how often the most frequent one occurs.
func (h *huffman) count(src []byte) (most int) {
	var odd [256]uint32 // of a second table, as a byte may be followed by the same
	h.counts = [256]uint32{}
	for ; len(src) >= 4; src = src[4:] {
		v := binary.LittleEndian.Uint32(src)
		h.counts[v&0xff]++
		odd[v>>8&0xff]++
		h.counts[v>>16&0xff]++
		odd[v>>24]++
	}
	for _, b := range src {
		odd[b]++
	}
	for b, n := range odd {
		h.counts[b] += n
		if h.counts[b] > 0 {
			h.last = b
		}
		most = max(most, int(h.counts[b]))
	}
	return most
}

// measure gives each byte of n the width of its code, at least two of which differ, and
// tells how many bits all of them take. Codes get as many bits as information theory says,
// rounded up; what that leaves goes to those that were rounded up most. So there is nothing
// to be sorted, and little lost.
func (h *huffman) measure(n int) (size int) {
	left := 1 << maxCodeBits // of the codes of greatest width
	for b, c := range h.counts {
		h.widths[b] = 0
		if c > 0 {
			w := bits.Len32(uint32(n)) - bits.Len32(c)
			if c<<w < uint32(n) {
				w++
			}
			h.widths[b] = uint8(min(max(w, 1), maxCodeBits))
			left -= 1 << (maxCodeBits - h.widths[b])
		}
	}
	for w := uint8(maxCodeBits - 1); left < 0; w-- { // rare bytes have more than is theirs
		for b := 0; b < 256 && left < 0; b++ {
			if h.widths[b] == w {
				h.widths[b]++
				left += 1 << (maxCodeBits - w - 1)
			}
		}
	}
	left = h.shorten(n, left)
	for w := uint8(maxCodeBits); left > 0; w-- { // the widest ones fill any rest
		for b := 0; b < 256 && left > 0; b++ {
			if cost := 1 << (maxCodeBits - w); h.widths[b] == w && cost <= left {
				h.widths[b]--
				left -= cost
			}
		}
	}
	h.widest = slices.Max(h.widths[:])
	for b, c := range h.counts {
		size += int(c) * int(h.widths[b])
	}
	return size
}

// shorten makes codes shorter by a bit, those first that were rounded up most, while codes
// are left to pay for it. It gives what is left then.
func (h *huffman) shorten(n, left int) int {
	const classes = 16 // of equal parts of a bit, about
	scale := float32(classes) / float32(n)
	var class [256]uint8
	var ends [classes + 1]int
	for b, c := range h.counts {
		over := int(c)<<h.widths[b] - n // which is less than n
		class[b] = classes
		if over > 0 {
			class[b] = classes - 1 - uint8(min(int(float32(over)*scale), classes-1))
		}
		ends[class[b]]++
	}
	at := 0
	for k, size := range ends {
		ends[k] = at
		at += size
	}
	var order [256]uint8
	for b, k := range class {
		order[ends[k]] = uint8(b)
		ends[k]++
	}
	for _, b := range order[:ends[classes-1]] {
		if cost := 1 << (maxCodeBits - h.widths[b]); cost <= left {
			h.widths[b]--
			left -= cost
		}
	}
	return left
}

// assign gives each byte its code: by width, from the widest on, and then in order.
func (h *huffman) assign() {
	var next [maxCodeBits + 1]uint32
	for _, w := range h.widths {
		next[w]++
	}
	first := uint32(0)
	for w := h.widest; w > 0; w-- {
		n := next[w]
		next[w] = first
		first = (first + n) >> 1
	}
	for b, w := range h.widths {
		h.codes[b] = uint32(w)<<16 | next[w]
		next[w]++
	}
}

// appendWeights appends what tells a decoder the widths: of each byte but the last one by how
// much its code is shorter than one that is longer than any. It fails if they take too much.
func (h *huffman) appendWeights(dst []byte) (_ []byte, ok bool) {
	var weights [256]uint8
	n := h.last // the last one's follows from the others
	h.table.counts = [maxSymbols]uint32{}
	most := uint32(0)
	for b, w := range h.widths[:n] {
		if w > 0 {
			weights[b] = h.widest + 1 - w
		}
		c := &h.table.counts[weights[b]%maxSymbols]
		*c++
		most = max(most, *c)
	}
	at := len(dst)
	if most > 1 && int(most) < n {
		dst = append(dst, 0)
		_, dst = h.table.appendTo(dst, n)
		dst = h.encodeWeights(dst, weights[:n])
		size := len(dst) - at - 1
		dst[at] = byte(size)
		if size <= maxWeightBytes && (n > plainWeights || size <= (n+1)/2) {
			return dst, true
		}
		dst = dst[:at]
	}
	if n > plainWeights {
		return dst, false
	}
	dst = append(dst, byte(127+n))
	for b := 0; b < n; b += 2 {
		dst = append(dst, weights[b]<<4|weights[b+1]) // behind the last one is a 0
	}
	return dst, true
}

// encodeWeights writes weights from the last to the first, by turns with two states.
func (h *huffman) encodeWeights(dst []byte, weights []uint8) []byte {
	w := bitWriter{dst: slices.Grow(dst, len(weights)+2*wordBytes)}
	n := len(weights)
	var states [2]uint32 // of those at even places, and at odd ones
	states[(n-1)%2], states[n%2] = h.table.first(weights[n-1]), h.table.first(weights[n-2])
	for i := n - 3; i >= 0; i-- {
		bits, width, next := h.table.next(states[i%2], weights[i])
		states[i%2] = next
		w.add(bits, uint8(width))
		w.flush()
	}
	for _, state := range [2]uint32{states[1], states[0]} {
		w.add(uint64(state)&(1<<h.table.log-1), h.table.log)
		w.flush()
	}
	w.add(1, 1)
	return append(w.dst, byte(w.bits))
}

// appendStream appends the codes of src, from the last to the first. dst must have room for
// maxCodeBits a byte and 8 bytes more.
func (h *huffman) appendStream(dst, src []byte) []byte {
	at := len(dst)
	dst = dst[:cap(dst)]
	pending, n := uint64(0), uint(0)
	for ; len(src) >= 4; src = src[:len(src)-4] {
		v := binary.LittleEndian.Uint32(src[len(src)-4:])
		a, b, c, d := h.codes[v>>24], h.codes[v>>16&0xff], h.codes[v>>8&0xff], h.codes[v&0xff]
		pending |= uint64(a&0xffff) << (n & 63)
		n += uint(a >> 16)
		pending |= uint64(b&0xffff) << (n & 63)
		n += uint(b >> 16)
		pending |= uint64(c&0xffff) << (n & 63)
		n += uint(c >> 16)
		pending |= uint64(d&0xffff) << (n & 63)
		n += uint(d >> 16)
		binary.LittleEndian.PutUint64(dst[at:], pending)
		at += int(n >> 3)
		pending >>= n &^ 7 & 63
		n &= 7
	}
	w := bitWriter{dst: dst[:at], bits: pending, n: n}
	for i := len(src) - 1; i >= 0; i-- {
		w.add(uint64(h.codes[src[i]]&0xffff), uint8(h.codes[src[i]]>>16))
	}
	w.flush()
	w.add(1, 1) // by which a decoder finds the end
	return append(w.dst, byte(w.bits))
}

// appendStreams appends the codes of src as four streams, each of a quarter of it, behind the
// sizes of the first three.
func (h *huffman) appendStreams(dst, src []byte) []byte {
	sizes := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	quarter := (len(src) + 3) / 4
	for i := range 4 {
		at := len(dst)
		dst = h.appendStream(dst, src[i*quarter:min((i+1)*quarter, len(src))])
		if i < 3 {
			binary.LittleEndian.PutUint16(dst[sizes+2*i:], uint16(len(dst)-at))
		}
	}
	return dst
}
