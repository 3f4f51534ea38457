package pages

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

// bounds are the least and the greatest value of a column chunk, in the order that Parquet
// defines for the type.
type bounds struct {
	any                   bool // of Bool and Text: there was a value
	least, greatest       int64
	leastReal, mostReal   float64
	leastBytes, mostBytes []byte // of Text; of Bool one byte
}

func (b *bounds) reset() {
	*b = bounds{
		least: math.MaxInt64, greatest: math.MinInt64, leastReal: math.Inf(1), mostReal: math.Inf(-1),
		leastBytes: b.leastBytes[:0], mostBytes: b.mostBytes[:0],
	}
}

// doubles takes in values. NaN is neither less nor greater than any, so it is left out.
func (b *bounds) doubles(values []byte) {
	low, high := b.leastReal, b.mostReal
	for ; len(values) >= 8; values = values[8:] {
		v := math.Float64frombits(binary.LittleEndian.Uint64(values))
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	b.leastReal, b.mostReal = low, high
}

func (b *bounds) int64s(values []byte) {
	low, high := b.least, b.greatest
	for ; len(values) >= 8; values = values[8:] {
		v := int64(binary.LittleEndian.Uint64(values))
		low, high = min(low, v), max(high, v)
	}
	b.least, b.greatest = low, high
}

func (b *bounds) text(v []byte) {
	switch {
	case !b.any:
		b.any = true
		b.leastBytes, b.mostBytes = append(b.leastBytes[:0], v...), append(b.mostBytes[:0], v...)
	case bytes.Compare(v, b.leastBytes) < 0:
		b.leastBytes = append(b.leastBytes[:0], v...)
	case bytes.Compare(v, b.mostBytes) > 0:
		b.mostBytes = append(b.mostBytes[:0], v...)
	}
}

// bools takes in that a value is there, or is not.
func (b *bounds) bools(anyTrue, anyFalse bool) {
	if anyTrue {
		b.text([]byte{1})
	}
	if anyFalse {
		b.text([]byte{0})
	}
}

// put writes the bounds into statistics; there are none of no values, nor of NaN alone. A
// zero stands for both zeros, which compare as equal: the least one is -0, the greatest +0.
func (b *bounds) put(s *format.Statistics, t Type) {
	switch t {
	case Double:
		if b.leastReal <= b.mostReal {
			low, high := b.leastReal, b.mostReal
			if low == 0 {
				low = math.Copysign(0, -1)
			}
			if high == 0 {
				high = 0
			}
			s.MinValue = binary.LittleEndian.AppendUint64(nil, math.Float64bits(low))
			s.MaxValue = binary.LittleEndian.AppendUint64(nil, math.Float64bits(high))
		}
	case Int64, Timestamp:
		if b.least <= b.greatest {
			s.MinValue = binary.LittleEndian.AppendUint64(nil, uint64(b.least))
			s.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(b.greatest))
		}
	default:
		if b.any {
			s.MinValue, s.MaxValue = bytes.Clone(b.leastBytes), bytes.Clone(b.mostBytes)
		}
	}
}
