package dataset

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/zeebo/xxh3"
)

// SumWriter counts and hashes what it passes on, and stops when its context does.
type SumWriter struct {
	ctx   context.Context
	w     io.Writer
	hash  *xxh3.Hasher128
	bytes int64
}

// NewSumWriter gives a writer that passes on to w.
func NewSumWriter(ctx context.Context, w io.Writer) *SumWriter {
	return &SumWriter{ctx: ctx, w: w, hash: xxh3.New128()}
}

// Write implements io.Writer.
func (s *SumWriter) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	_, _ = s.hash.Write(p[:n]) // a hash never fails
	s.bytes += int64(n)
	return n, err
}

// Checksum gives the XXH3 of what was written, 128 bits in hexadecimal.
func (s *SumWriter) Checksum() string { return hexSum(s.hash.Sum128()) }

// Bytes gives how many bytes were passed on.
func (s *SumWriter) Bytes() int64 { return s.bytes }

func hexSum(sum xxh3.Uint128) string {
	b := sum.Bytes()
	return hex.EncodeToString(b[:])
}

// Sum gives the checksum of data as the manifest writes it.
func Sum(data []byte) string { return hexSum(xxh3.Hash128(data)) }

// Checksum reads r to its end and gives its checksum as the manifest writes it, and
// its length.
func Checksum(ctx context.Context, r io.Reader) (sum string, bytes int64, err error) {
	w := NewSumWriter(ctx, io.Discard)
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, 256<<10)); err != nil {
		return "", w.bytes, err
	}
	return w.Checksum(), w.bytes, nil
}
