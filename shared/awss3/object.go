package awss3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// Object is an object as it was when it was opened. Whatever is read of it later is of the
// same bytes: an object that was written anew meanwhile is an *Error with Changed. Methods
// may be called at the same time.
type Object struct {
	ctx    context.Context // of all reading: io.Reader and io.ReaderAt have none
	client *s3.Client
	where  s3url.URL
	size   int64
	etag   string

	blocks blocks
}

// openTimeout bounds the looking up of an object, repetitions included.
const openTimeout = time.Minute

// Open looks up an object. Reading it ends with ctx.
func Open(ctx context.Context, client *s3.Client, bucket, key string) (*Object, error) {
	o := &Object{ctx: ctx, client: client, where: s3url.URL{Bucket: bucket, Key: key}, blocks: blocks{most: defaultBlocks}}
	asking, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	head, err := client.HeadObject(asking, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		err = o.inWords(asking, err)
	}
	switch {
	case err == nil:
	case ctx.Err() == nil && asking.Err() != nil:
		return nil, &Error{Reason: Unreachable, Where: o.where, Err: err, text: fmt.Sprintf("%s gave no answer within %s; check the network and AWS_ENDPOINT_URL_S3", host(client), openTimeout)}
	default:
		return nil, o.explain(err)
	}
	o.size, o.etag = aws.ToInt64(head.ContentLength), aws.ToString(head.ETag)
	return o, nil
}

// inWords asks again, with a request whose refusal has a body: that of HEAD has a status only,
// and a bucket that is not there looks like an object that is not.
func (o *Object) inWords(ctx context.Context, err error) error {
	if ctx.Err() != nil || !answered(err) {
		return err
	}
	out, again := o.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.where.Bucket, Key: &o.where.Key, Range: aws.String("bytes=0-0")})
	if again != nil {
		return again
	}
	return errors.Join(err, out.Body.Close())
}

// Size gives the object's bytes.
func (o *Object) Size() int64 { return o.size }

// ETag gives what tells this version of the object from others.
func (o *Object) ETag() string { return o.etag }

// Close lets go of what is kept of the object.
func (o *Object) Close() error {
	o.blocks.drop()
	return nil
}

// Stream reads the object from its beginning with one request, and with another one for the
// rest whenever the connection breaks. It is to be closed.
func (o *Object) Stream() io.ReadCloser { return o.between(0, o.size) }

func (o *Object) between(from, to int64) *stream { return &stream{o: o, at: from, end: to} }

// KeepBlocks sets how many blocks of BlockBytes are kept for ReadAt; it is to be called
// before. As many as there are places that are read by turns is right: for Parquet one for
// each column.
func (o *Object) KeepBlocks(n int) { o.blocks.most = max(n, 1) }

// ReadAt reads with requests of a block at least, and keeps the last blocks.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%s: read at %d: the offset is negative", o.where, off)
	}
	n := 0
	for n < len(p) && off+int64(n) < o.size {
		at := off + int64(n)
		if want := min(int64(len(p)-n), o.size-at); want >= BlockBytes {
			got, err := o.fill(p[n:n+int(want)], at)
			if n += got; err != nil {
				return n, err
			}
			continue
		}
		block, err := o.block(at / BlockBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], block[at%BlockBytes:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// block gives a block, from those that are kept or from S3.
func (o *Object) block(number int64) ([]byte, error) {
	return o.blocks.get(number, func() ([]byte, error) {
		from := number * BlockBytes
		data := make([]byte, min(BlockBytes, o.size-from))
		_, err := o.fill(data, from)
		return data, err
	})
}

// fill reads len(p) bytes from S3; all of them are within the object.
func (o *Object) fill(p []byte, from int64) (int, error) {
	s := o.between(from, from+int64(len(p)))
	n, err := io.ReadFull(s, p)
	return n, errors.Join(err, s.Close())
}

// explain puts an error into words; one of a context that ended is its cause.
func (o *Object) explain(err error) error {
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return Explain(o.client, o.where, err)
}

// changed is the error for an object that is not the one that was opened.
func (o *Object) changed(err error) error {
	return &Error{Reason: Changed, Where: o.where, Err: err, text: changedText}
}

// Bounds of what ReadAt keeps.
const (
	BlockBytes    = 1 << 20
	defaultBlocks = 16
)

// blocks keeps the blocks that were used last.
type blocks struct {
	mu    sync.Mutex
	most  int
	kept  map[int64]*block
	clock int64
}

type block struct {
	once sync.Once
	data []byte
	err  error
	used int64
}

// get gives a block; of those who want it at the same time one reads it.
func (b *blocks) get(number int64, read func() ([]byte, error)) ([]byte, error) {
	b.mu.Lock()
	if b.kept == nil {
		b.kept = map[int64]*block{}
	}
	one := b.kept[number]
	if one == nil {
		b.makeRoom()
		one = &block{}
		b.kept[number] = one
	}
	b.clock++
	one.used = b.clock
	b.mu.Unlock()
	one.once.Do(func() { one.data, one.err = read() })
	if one.err != nil {
		b.mu.Lock()
		if b.kept[number] == one {
			delete(b.kept, number) // the next one may have more luck
		}
		b.mu.Unlock()
	}
	return one.data, one.err
}

// makeRoom drops what was not used for the longest time.
func (b *blocks) makeRoom() {
	for len(b.kept) >= b.most {
		oldest, at := int64(-1), int64(0)
		for number, one := range b.kept {
			if oldest < 0 || one.used < at {
				oldest, at = number, one.used
			}
		}
		delete(b.kept, oldest)
	}
}

func (b *blocks) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = nil
}
