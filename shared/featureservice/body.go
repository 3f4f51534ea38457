package featureservice

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/failure"
)

// firstBytes is room for a usual answer of an unknown length.
const firstBytes = 32 << 10

// body is an answer in memory. Its buffer is used again.
type body struct {
	client *Client
	data   []byte
	large  bool // it holds a permit
}

// read reads a whole answer.
func (b *body) read(ctx context.Context, response *http.Response) error {
	length := response.ContentLength
	if length > MaxAnswerBytes {
		return tooLarge()
	}
	// One byte more than the answer, so that its end is seen without growing.
	if err := b.grow(ctx, int(max(length+1, firstBytes))); err != nil {
		return err
	}
	for {
		n, err := response.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(b.data) > MaxAnswerBytes:
			return tooLarge()
		case len(b.data) == cap(b.data):
			if err := b.grow(ctx, min(len(b.data), MaxAnswerBytes+1-len(b.data))); err != nil {
				return err
			}
		}
	}
}

// grow makes room for n bytes more, and waits for a permit before the answer gets large.
func (b *body) grow(ctx context.Context, n int) error {
	if !b.large && len(b.data)+n > SmallAnswerBytes+1 {
		select {
		case b.client.large <- struct{}{}:
			b.large = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b.data = slices.Grow(b.data, n)
	return nil
}

// free gives the answer's memory back. Its bytes must not be used any more.
func (b *body) free() {
	if b.large {
		b.large, b.data = false, nil
		<-b.client.large
	}
	b.data = b.data[:0]
	b.client.bodies.Put(b)
}

func tooLarge() error {
	return failure.Permanent(failure.TooLarge, "the answer is larger than %d MB", MaxAnswerBytes>>20)
}
