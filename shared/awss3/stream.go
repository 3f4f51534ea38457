package awss3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/cenkalti/backoff/v5"
)

// Bounds of a stream whose connection breaks.
const (
	maxBreaks   = 12               // in a row, without a byte between them
	silence     = 30 * time.Second // without a byte, after which a connection counts as broken
	breakPause  = 200 * time.Millisecond
	longestWait = 10 * time.Second
)

// errSilent is the cause of a request that is given up.
var errSilent = fmt.Errorf("no byte came for %s", silence)

// stream reads a part of an object. Reading goes on with a new request where a connection
// breaks, as it does when the reader is slow and the server loses its patience.
type stream struct {
	o       *Object
	at, end int64

	body   io.ReadCloser // nil between two requests
	cancel context.CancelCauseFunc
	ctx    context.Context // of the request
	breaks int             // since the last byte
	pauses *backoff.ExponentialBackOff
}

// Read is io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.at >= s.end {
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := s.read(p[:min(int64(len(p)), s.end-s.at)])
		s.at += int64(n)
		if n > 0 {
			s.breaks = 0
			return n, nil // what is wrong, if it is, is wrong at the next call too
		}
		if err == nil {
			continue
		}
		if err := s.broken(err); err != nil {
			return 0, err
		}
	}
}

// read reads from the present request, or begins one.
func (s *stream) read(p []byte) (int, error) {
	if s.body == nil {
		if err := s.request(); err != nil {
			return 0, err
		}
	}
	// The clock runs while somebody waits for bytes, not while they are being used.
	defer s.watch().Stop()
	n, err := s.body.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // there is more: Read ends by count
	}
	return n, err
}

// request asks for what is left.
func (s *stream) request() error {
	s.ctx, s.cancel = context.WithCancelCause(s.o.ctx)
	defer s.watch().Stop()
	in := &s3.GetObjectInput{Bucket: &s.o.where.Bucket, Key: &s.o.where.Key}
	if s.o.etag != "" {
		in.IfMatch = &s.o.etag
	}
	if s.at > 0 || s.end < s.o.size {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", s.at, s.end-1))
	}
	out, err := s.o.client.GetObject(s.ctx, in)
	if err != nil {
		s.cancel(nil)
		return err
	}
	s.body = out.Body
	switch {
	// Not every server minds If-Match and Range.
	case s.o.etag != "" && aws.ToString(out.ETag) != s.o.etag:
		return s.o.changed(nil)
	case in.Range != nil && aws.ToString(out.ContentRange) == "":
		return &Error{Where: s.o.where, text: "the server gave the whole object where a range of it was asked for; fff needs an S3 that knows ranges"}
	}
	return nil
}

// watch gives up the present request after silence, unless it is stopped before.
func (s *stream) watch() *time.Timer {
	cancel := s.cancel
	return time.AfterFunc(silence, func() { cancel(errSilent) })
}

// broken ends a request. It gives the error if there is no sense in another one.
func (s *stream) broken(err error) error {
	if s.cancel != nil && errors.Is(context.Cause(s.ctx), errSilent) {
		err = errSilent
	}
	s.drop()
	switch {
	case s.o.ctx.Err() != nil:
		return context.Cause(s.o.ctx)
	case gone(err):
		return s.o.changed(err)
	case final(err):
		return s.o.explain(err)
	}
	if s.breaks++; s.breaks >= maxBreaks {
		return s.o.explain(fmt.Errorf("reading broke off at byte %d of %d, %d times: %w", s.at, s.o.size, s.breaks, err))
	}
	if s.breaks == 1 || s.pauses == nil {
		s.pauses = backoff.NewExponentialBackOff()
		s.pauses.InitialInterval, s.pauses.MaxInterval = breakPause, longestWait
	}
	select {
	case <-s.o.ctx.Done():
		return context.Cause(s.o.ctx)
	case <-time.After(s.pauses.NextBackOff()):
		return nil
	}
}

// Close ends the stream.
func (s *stream) Close() error {
	s.drop()
	return nil
}

// drop ends the present request. The body is not read to its end: there may be gigabytes of it.
func (s *stream) drop() {
	if s.cancel != nil {
		s.cancel(nil)
	}
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}

// gone tells whether an object that was there is another one, or is there no more.
func gone(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch e.ErrorCode() {
	case "PreconditionFailed", "NoSuchKey", "NotFound", "InvalidRange":
		return true
	}
	return false
}

// final tells whether another request would end like this one.
func final(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return true
	}
	e, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return false
	}
	status := e.HTTPStatusCode()
	return status >= 300 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}

// answered tells whether a server answered, though with a refusal.
func answered(err error) bool {
	_, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok
}
