package featureservice

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/fastfeaturefetch/fff/shared/deadline"
	"github.com/fastfeaturefetch/fff/shared/failure"
)

// firstBytes is room for a usual answer of an unknown length.
const firstBytes = 32 << 10

// maxKeptBytes bounds the buffers that are kept for other answers.
const maxKeptBytes = 2 * firstBytes

// body is an answer in memory. Its buffer is used again.
type body struct {
	client *Client
	run    string
	data   []byte
	room   int64 // that it takes of the client's for its buffer
	other  int64 // and for the request and the connection
	beyond bool  // it may grow beyond the room
}

// newBody gives a body when there is room for a request of so many bytes and a usual
// answer.
func (c *Client) newBody(ctx context.Context, run string, request int) (*body, error) {
	other := int64(connectionBytes + request)
	if err := c.room.Take(ctx, run, other+firstBytes); err != nil {
		return nil, err
	}
	b, _ := c.bodies.Get().(*body)
	if b == nil {
		b = &body{client: c}
	}
	b.run, b.room, b.other = run, firstBytes, other
	return b, nil
}

// read reads a whole answer.
func (b *body) read(ctx context.Context, left *deadline.Deadline, response *http.Response) error {
	length := response.ContentLength
	if length > MaxAnswerBytes {
		return tooLarge()
	}
	// One byte more than the answer, so that its end is seen without growing.
	if err := b.grow(ctx, left, int(max(length+1, firstBytes))); err != nil {
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
			if err := b.grow(ctx, left, min(2*len(b.data), MaxAnswerBytes+1)); err != nil {
				return err
			}
		}
	}
}

// grow makes the buffer so large. When there is no room for that it waits until the body
// may be the one that needs none: what waits here holds room, so waiting for more of it
// could be for ever. The time-out stands still meanwhile.
func (b *body) grow(ctx context.Context, left *deadline.Deadline, size int) error {
	more := int64(size) - b.room
	switch {
	case size <= cap(b.data):
		return nil
	case b.beyond || more <= 0:
	case b.client.room.Try(b.run, more):
		b.room += more
	default:
		err := left.Pause(func() error {
			select {
			case b.client.beyond <- struct{}{}:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		if err != nil {
			return err
		}
		b.beyond = true
	}
	b.data = append(make([]byte, 0, size), b.data...)
	return nil
}

// free gives the answer's memory back. Its bytes must not be used any more.
func (b *body) free() {
	if cap(b.data) > maxKeptBytes {
		b.data = nil
	}
	b.data = b.data[:0]
	if b.beyond {
		b.beyond = false
		<-b.client.beyond
	}
	run, took, c := b.run, b.room+b.other, b.client
	c.bodies.Put(b)
	c.room.Give(run, took)
}

func tooLarge() error {
	return failure.Permanent(failure.TooLarge, "the answer is larger than %d MB", MaxAnswerBytes>>20)
}
