package zstdwords

import "slices"

// Types of a block's literals.
const (
	literalsRaw     = 0
	literalsRLE     = 1
	literalsHuffman = 2
)

// worthLog says what Huffman codes must save to be worth their time: the 16th part.
const worthLog = 4

// headerBytes is more than the header of literals takes, and what stands before their codes.
const headerBytes = 5 + 1 + maxWeightBytes + 6

// appendLiterals appends the literals section of a block.
func (e *Encoder) appendLiterals(dst []byte) []byte {
	n := len(e.literals)
	if n < 64 { // a table would be larger than what it saves
		return append(appendLiteralsHeader(dst, literalsRaw, n), e.literals...)
	}
	h := &e.huffman
	if h.count(e.literals) == n {
		return append(appendLiteralsHeader(dst, literalsRLE, n), e.literals[0])
	}
	size := h.measure(n)/8 + h.last/4 // and about what the weights take
	if size < n-n>>worthLog {
		h.assign()
		if out, ok := h.appendTo(dst, e.literals); ok {
			return out
		}
	}
	return append(appendLiteralsHeader(dst, literalsRaw, n), e.literals...)
}

// appendTo appends literals with their header. It fails if they save nothing.
func (h *huffman) appendTo(dst, literals []byte) (_ []byte, ok bool) {
	n := len(literals)
	at, header := len(dst), 5
	switch {
	case n < 1<<10:
		header = 3
	case n < 1<<14:
		header = 4
	}
	dst = slices.Grow(dst, headerBytes+(n*maxCodeBits+7)/8+4*wordBytes+4)
	dst, ok = h.appendWeights(append(dst, make([]byte, header)...))
	if !ok {
		return dst[:at], false
	}
	streams := uint64(1)
	if n < 256 {
		dst, streams = h.appendStream(dst, literals), 0
	} else {
		dst = h.appendStreams(dst, literals)
	}
	if len(dst)-at-header >= n {
		return dst[:at], false
	}
	// Both sizes have 10 bits each, 14 or 18.
	size, stored := uint64(n), uint64(len(dst)-at-header)
	var v uint64
	switch header {
	case 3:
		v = literalsHuffman | streams<<2 | size<<4 | stored<<14
	case 4:
		v = literalsHuffman | 2<<2 | size<<4 | stored<<18
	default:
		v = literalsHuffman | 3<<2 | size<<4 | stored<<22
	}
	for i := range header {
		dst[at+i] = byte(v >> (8 * i))
	}
	return dst, true
}

// appendLiteralsHeader appends the header of literals that stand as they are, or are all the
// same byte.
func appendLiteralsHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		return append(dst, byte(kind|1<<2|n<<4), byte(n>>4))
	default:
		return append(dst, byte(kind|3<<2|n<<4), byte(n>>4), byte(n>>12))
	}
}
