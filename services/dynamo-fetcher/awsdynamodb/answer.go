package awsdynamodb

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
)

// MaxAnswerBytes bounds an answer's body. DynamoDB returns at most 16 MB of items,
// which are longer as JSON: a small number has some fifteen bytes for its four, a control
// character six for its one.
const MaxAnswerBytes = 96 << 20

// maxErrorBytes bounds the body of an answer that is an error.
const maxErrorBytes = 64 << 10

// answer is the body of an answer, behind what the caller's buffer holds.
type answer struct {
	data []byte
	grow func(size int) error // is asked before it gets more memory
}

// read appends the body, at most MaxAnswerBytes of it.
func (a *answer) read(response *http.Response) error {
	start := len(a.data)
	if n := response.ContentLength; n > MaxAnswerBytes {
		return fmt.Errorf("the answer has %d bytes, more than BatchGetItem can give", n)
	} else if err := a.room(start + int(max(n, 0)) + 1); err != nil { // one more byte to see the end
		return err
	}
	for {
		n, err := response.Body.Read(a.data[len(a.data):cap(a.data)])
		a.data = a.data[:len(a.data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		case len(a.data)-start > MaxAnswerBytes:
			return fmt.Errorf("the answer has over %d bytes, more than BatchGetItem can give", MaxAnswerBytes)
		case len(a.data) == cap(a.data):
			if err := a.room(min(2*len(a.data), start+MaxAnswerBytes+1)); err != nil {
				return err
			}
		}
	}
}

// room makes room for so many bytes.
func (a *answer) room(size int) error {
	if size = max(size, minAnswerBytes); size <= cap(a.data) {
		return nil
	}
	if err := a.grow(size); err != nil {
		return err
	}
	a.data = append(make([]byte, 0, size), a.data...)
	return nil
}

// minAnswerBytes is room for an answer of which the length is not known.
const minAnswerBytes = 4 << 10

// verify compares the body with its checksum, where there is one.
func verify(body []byte, header http.Header) error {
	text := header.Get("X-Amz-Crc32")
	if text == "" {
		return nil
	}
	want, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("the answer's checksum %q is no number", text)
	}
	if got := crc32.ChecksumIEEE(body); got != uint32(want) {
		return fmt.Errorf("the answer was damaged on its way: its checksum is %d, its header says %d", got, want)
	}
	return nil
}
