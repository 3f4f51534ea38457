// Package s3store keeps the dataset of a run in a bucket of S3.
//
//	<prefix>/features/family=<family>/part-*.parquet          what readers see
//	<prefix>/_manifest.json …                                 files beside it
//	<prefix>/_commits/<epoch>-<part>                          completion indexes
//	<prefix>/_staging/<epoch>-<token>                         marker: the epoch has begun
//	<prefix>/_uploads/<epoch>-<token>/<part>/family=…/<name>  record: an upload is under way
//
// A staged file is a multipart upload of its visible key that nobody has completed: it is
// durable, and no listing shows it.
package s3store

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// Store is a dataset.Store in a bucket. Several processes may use one prefix at the same
// time.
type Store struct {
	client *s3.Client
	bucket string
	root   string // what every key begins with: the prefix and a slash
}

var _ dataset.Store = (*Store)(nil)

// New gives the store below a prefix of a bucket. It asks S3 nothing: a bucket that cannot be
// reached now may be there when it is needed.
func New(client *s3.Client, bucket, prefix string) *Store {
	o := client.Options()
	o.HTTPClient = bounded{o.HTTPClient}
	return &Store{client: s3.New(o), bucket: bucket, root: prefix + "/"}
}

// explain puts an error of S3 into words.
func (s *Store) explain(key string, err error) error {
	return awss3.Explain(s.client, s3url.URL{Bucket: s.bucket, Key: key}, err)
}

// meta gives the key of a file beside features/.
func (s *Store) meta(ctx context.Context, name string) (string, error) {
	if err := errors.Join(ctx.Err(), dataset.CheckMetaName(name)); err != nil {
		return "", err
	}
	return s.root + name, nil
}

// Put writes a file beside features/.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	key, err := s.meta(ctx, name)
	if err != nil {
		return err
	}
	return s.put(ctx, key, data, nil)
}

// Create writes a file that must not exist. Who is told that it exists may have written it
// all the same, if the answer to the first try was lost.
func (s *Store) Create(ctx context.Context, name string, data []byte) error {
	key, err := s.meta(ctx, name)
	if err != nil {
		return err
	}
	return s.create(ctx, key, data)
}

// Get reads a file beside features/.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	key, err := s.meta(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key)
}

// Open opens a file beside features/.
func (s *Store) Open(ctx context.Context, name string) (dataset.Blob, error) {
	key, err := s.meta(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

// Remove removes a file beside features/.
func (s *Store) Remove(ctx context.Context, name string) error {
	key, err := s.meta(ctx, name)
	if err != nil {
		return err
	}
	return s.remove(ctx, key)
}

// put writes an object in one step. ifNoneMatch is "*" for one that must not exist.
func (s *Store) put(ctx context.Context, key string, data []byte, ifNoneMatch *string) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, IfNoneMatch: ifNoneMatch,
		Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))), ContentMD5: sum(data),
	})
	return s.explain(key, err)
}

// create is put for an object that must not exist; fs.ErrExist if it does, or if somebody is
// writing it at this moment.
func (s *Store) create(ctx context.Context, key string, data []byte) error {
	err := s.put(ctx, key, data, aws.String("*"))
	if code := statusOf(err); code == http.StatusPreconditionFailed || code == http.StatusConflict {
		return fmt.Errorf("%s: %w", s3url.URL{Bucket: s.bucket, Key: key}, fs.ErrExist)
	}
	return err
}

// maxReads is how often a body is asked for whose connection breaks.
const maxReads = 3

func (s *Store) get(ctx context.Context, key string) (data []byte, err error) {
	for range maxReads {
		var out *s3.GetObjectOutput
		if out, err = s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}); err != nil {
			return nil, s.explain(key, err)
		}
		data, err = io.ReadAll(out.Body)
		if err = errors.Join(err, out.Body.Close()); err == nil {
			return data, nil
		}
	}
	return nil, s.explain(key, err)
}

// open opens an object for reading at any place. What is read later ends with ctx too.
func (s *Store) open(ctx context.Context, key string) (dataset.Blob, error) {
	object, err := awss3.Open(ctx, s.client, s.bucket, key)
	if err != nil {
		return nil, err
	}
	return object, nil
}

// size gives the bytes of an object.
func (s *Store) size(ctx context.Context, key string) (int64, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return 0, s.explain(key, err)
	}
	return aws.ToInt64(out.ContentLength), nil
}

// remove removes an object that may be gone already: S3 says nothing of that.
func (s *Store) remove(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	if statusOf(err) == http.StatusNotFound && codeOf(err) != "NoSuchBucket" {
		return nil // some servers do say it
	}
	return s.explain(key, err)
}

// object is one of a listing.
type object struct {
	path  string // from the listed folder on
	bytes int64
}

// list gives the objects below a folder in order of their keys.
func (s *Store) list(ctx context.Context, folder string) iter.Seq2[object, error] {
	prefix := s.root + folder + "/"
	return func(yield func(object, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(object{}, s.explain(prefix, err))
				return
			}
			for i := range page.Contents {
				path := strings.TrimPrefix(aws.ToString(page.Contents[i].Key), prefix)
				if path == "" || strings.HasSuffix(path, "/") {
					continue // a folder, as consoles make them
				}
				if !yield(object{path, aws.ToInt64(page.Contents[i].Size)}, nil) {
					return
				}
			}
		}
	}
}

// names gives the objects right in a folder whose names check takes.
func (s *Store) names(ctx context.Context, folder string, check func(string) error) ([]string, error) {
	var names []string
	for o, err := range s.list(ctx, folder) {
		if err != nil {
			return nil, err
		}
		if !strings.Contains(o.path, "/") && check(o.path) == nil {
			names = append(names, o.path)
		}
	}
	return names, nil
}

// sum is the checksum that every S3 knows: what was damaged on the way is refused.
func sum(data []byte) *string {
	digest := md5.Sum(data)
	return aws.String(base64.StdEncoding.EncodeToString(digest[:]))
}

// statusOf gives the HTTP status that an error came with, 0 if none.
func statusOf(err error) int {
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}

// codeOf gives S3's own code of an error.
func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}
