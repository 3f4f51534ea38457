package awsdynamodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// MaxAnswerBytes bounds an answer's body. DynamoDB returns at most 16 MB of items,
// which are longer as JSON: a small number has some fifteen bytes for its four, a control
// character six for its one.
const MaxAnswerBytes = 96 << 20

// maxErrorBytes bounds the body of an answer that is an error.
const maxErrorBytes = 64 << 10

// bodies are the two bodies of one call; they travel in the call's context.
type bodies struct {
	request, answer []byte
	grow            func(size int) error // is asked before the answer gets more memory
}

type bodiesKey struct{}

func bodiesOf(ctx context.Context) (*bodies, error) {
	b, ok := ctx.Value(bodiesKey{}).(*bodies)
	if !ok {
		return nil, fmt.Errorf("the SDK lost the values of the call's context")
	}
	return b, nil
}

// sendRawBodies puts the raw (de)serializer in the place of the operation's own.
func sendRawBodies(stack *middleware.Stack) error {
	if _, err := stack.Serialize.Swap("OperationSerializer", rawSerializer{}); err != nil {
		return err
	}
	_, err := stack.Deserialize.Swap("OperationDeserializer", rawDeserializer{})
	return err
}

// rawSerializer sends the call's body as it is.
type rawSerializer struct{}

// ID names the step that it stands for.
func (rawSerializer) ID() string { return "OperationSerializer" }

// HandleSerialize writes the request as the AWS JSON 1.0 protocol has it.
func (rawSerializer) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	out middleware.SerializeOutput, md middleware.Metadata, err error,
) {
	b, err := bodiesOf(ctx)
	if err != nil {
		return out, md, err
	}
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, md, fmt.Errorf("the SDK gives a request of type %T", in.Request)
	}
	request.Method = http.MethodPost
	request.URL.Path = "/"
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.BatchGetItem")
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if in.Request, err = request.SetStream(bytes.NewReader(b.request)); err != nil {
		return out, md, err
	}
	return next.HandleSerialize(ctx, in)
}

// rawDeserializer keeps the answer's body as it is.
type rawDeserializer struct{}

// ID names the step that it stands for.
func (rawDeserializer) ID() string { return "OperationDeserializer" }

// HandleDeserialize reads the body to its end, so that the connection can be used
// again, verifies its checksum, and tells errors from answers.
func (rawDeserializer) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, md middleware.Metadata, err error,
) {
	out, md, err = next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		if err == nil {
			err = fmt.Errorf("the SDK gives a response of type %T", out.RawResponse)
		}
		return out, md, err
	}
	defer func() { _ = response.Body.Close() }() // all was read; there is nothing to lose
	if err != nil {
		return out, md, err
	}
	b, err := bodiesOf(ctx)
	if err != nil {
		return out, md, err
	}
	if response.StatusCode != http.StatusOK {
		return out, md, readError(response.Response)
	}
	out.Result = &dynamodb.BatchGetItemOutput{} // the SDK wants one
	start := len(b.answer)
	if err := b.read(response.Response); err != nil {
		return out, md, err
	}
	return out, md, verify(b.answer[start:], response.Header)
}

// read appends the body to the answer, at most MaxAnswerBytes of it.
func (b *bodies) read(response *http.Response) error {
	start := len(b.answer)
	if n := response.ContentLength; n > MaxAnswerBytes {
		return fmt.Errorf("the answer has %d bytes, more than BatchGetItem can give", n)
	} else if err := b.room(start + int(max(n, 0)) + 1); err != nil { // one more byte to see the end
		return err
	}
	for {
		n, err := response.Body.Read(b.answer[len(b.answer):cap(b.answer)])
		b.answer = b.answer[:len(b.answer)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		case len(b.answer)-start > MaxAnswerBytes:
			return fmt.Errorf("the answer has over %d bytes, more than BatchGetItem can give", MaxAnswerBytes)
		case len(b.answer) == cap(b.answer):
			if err := b.room(min(2*len(b.answer), start+MaxAnswerBytes+1)); err != nil {
				return err
			}
		}
	}
}

// room makes room for an answer of so many bytes.
func (b *bodies) room(size int) error {
	if size = max(size, minAnswerBytes); size <= cap(b.answer) {
		return nil
	}
	if err := b.grow(size); err != nil {
		return err
	}
	b.answer = append(make([]byte, 0, size), b.answer...)
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
