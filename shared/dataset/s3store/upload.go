package s3store

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

const (
	// partBytes is the size of all parts of an upload but the last. S3 wants 5 MiB at least,
	// and takes 10,000 parts: 80 GB.
	partBytes = 8 << 20
	// UploadBytes is the most that an upload takes of memory: the part that is filled, and
	// the one that is sent, which the HTTP client copies.
	UploadBytes = 3 * partBytes
	// abortTimeout bounds the removal of an upload whose own context has ended.
	abortTimeout = 10 * time.Second
)

// buffers holds buffers of parts. They are as large as they had to grow: most files are
// smaller than a part.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// upload is a multipart upload. A part is sent while the next one is filled, so two are in
// memory at most. Its writer is one goroutine.
type upload struct {
	s      *Store
	key    string
	ctx    context.Context // ends when a part could not be sent
	flight *errgroup.Group
	asked  bool   // for an id, which there may be without our knowing it
	id     string // "" until there is a part
	sent   int32  // parts
	buffer *bytes.Buffer
}

func (s *Store) newUpload(ctx context.Context, key string) *upload {
	u := &upload{s: s, key: key, buffer: buffers.Get().(*bytes.Buffer)}
	u.flight, u.ctx = errgroup.WithContext(ctx)
	u.flight.SetLimit(1)
	return u
}

// Write implements io.Writer.
func (u *upload) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if u.buffer.Len() == partBytes {
			if err := u.send(); err != nil {
				return written, err
			}
		}
		n := min(len(p)-written, partBytes-u.buffer.Len())
		u.buffer.Write(p[written : written+n])
		written += n
	}
	return written, nil
}

// send sends the buffer as the next part and goes on with another one.
func (u *upload) send() error {
	if u.id == "" {
		u.asked = true
		out, err := u.s.client.CreateMultipartUpload(u.ctx, &s3.CreateMultipartUploadInput{Bucket: &u.s.bucket, Key: &u.key})
		if err != nil {
			return u.s.explain(u.key, err)
		}
		u.id = aws.ToString(out.UploadId)
	}
	full := u.buffer
	u.buffer = buffers.Get().(*bytes.Buffer)
	u.sent++
	number := u.sent
	u.flight.Go(func() error { // waits until the part before is sent
		defer release(full)
		_, err := u.s.client.UploadPart(u.ctx, &s3.UploadPartInput{
			Bucket: &u.s.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &number,
			Body: bytes.NewReader(full.Bytes()), ContentLength: aws.Int64(int64(full.Len())), ContentMD5: sum(full.Bytes()),
		})
		return u.s.explain(u.key, err)
	})
	if u.ctx.Err() != nil {
		return u.flight.Wait()
	}
	return nil
}

// finish sends what is left, and returns when all of it is durable.
func (u *upload) finish() error {
	var err error
	if u.buffer.Len() > 0 || u.sent == 0 {
		err = u.send()
	}
	return errors.Join(err, u.flight.Wait())
}

// drop waits for the part that is being sent and lets the buffer go.
func (u *upload) drop() {
	_ = u.flight.Wait() // finish has told
	release(u.buffer)
	u.buffer = nil
}

func release(b *bytes.Buffer) {
	b.Reset()
	buffers.Put(b)
}

// abort removes an upload, also when ctx has ended. It may be gone already.
func (s *Store) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: &id})
	if noUpload(err) {
		return nil
	}
	return s.explain(key, err)
}

// noUpload tells whether S3 knows an upload no more, or never did.
func noUpload(err error) bool {
	return codeOf(err) == "NoSuchUpload" || statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket"
}

// complete makes the object of an upload appear. Its parts are those that S3 has: their
// sizes must add up to bytes, -1 for as many as they are.
//
// It is not conditional on the key being free. Two who complete the same upload would get a
// conflict, after which S3 may want the upload made anew, and keys are never used twice.
func (s *Store) complete(ctx context.Context, key, id string, bytes int64) error {
	var parts []types.CompletedPart
	total := int64(0)
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.bucket, Key: &key, UploadId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if noUpload(err) {
			return dataset.ErrNotStaged
		}
		if err != nil {
			return s.explain(key, err)
		}
		for _, p := range page.Parts {
			parts = append(parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag})
			total += aws.ToInt64(p.Size)
		}
	}
	if bytes >= 0 && total != bytes {
		return errSize(total, bytes)
	}
	_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if noUpload(err) {
		return dataset.ErrNotStaged
	}
	return s.explain(key, err)
}
