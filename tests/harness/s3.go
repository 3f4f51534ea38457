package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fastfeaturefetch/fff/shared/testport"
)

// s3Gateway is the module of an S3 server that is not ours, built at this version. It keeps
// objects as files.
const s3Gateway = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

var buildS3 = sync.OnceValues(func() (string, error) {
	install := exec.Command("go", "install", s3Gateway)
	install.Dir = programs
	install.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+programs)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	return filepath.Join(programs, "versitygw"), nil
})

// S3 is an S3 server in a process of its own.
type S3 struct {
	Endpoint string
	Bucket   string

	dir     string
	process *Process
}

// Credentials and region of the server.
const (
	s3Key, s3Secret = "test", "test-secret"
	s3Region        = "us-east-1"
)

// StartS3 starts an S3 server with an empty bucket. Where it cannot be had the test is
// skipped.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	if _, err := buildS3(); err != nil {
		Skip(t, "versitygw cannot be built, so NOTHING IS TESTED WITH S3: %v", err)
	}
	s := &S3{Endpoint: "http://" + testport.Addr(testport.Free(t)), Bucket: "datasets", dir: t.TempDir()}
	for _, dir := range []string{"data/" + s.Bucket, "meta"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Restart(t)
	return s
}

// Restart starts the server, after it was killed, on the objects that it had.
func (s *S3) Restart(t testing.TB) {
	t.Helper()
	program, err := buildS3()
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.Endpoint, "http://")
	// Metadata are kept beside the objects: not every file system has extended attributes.
	s.process = start(t, program, "", Env{"ROOT_ACCESS_KEY": s3Key, "ROOT_SECRET_KEY": s3Secret},
		"--port", address, "--quiet", "--keep-alive", "--region", s3Region, "posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"))
	client := s.Client()
	s.process.await(t, "the S3 server answers", func() bool {
		_, err := client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: &s.Bucket})
		return err == nil
	})
}

// Kill ends the server with SIGKILL.
func (s *S3) Kill() { s.process.Kill() }

// Env are the variables with which programs find the server.
func (s *S3) Env() Env {
	return Env{
		"AWS_ENDPOINT_URL_S3": s.Endpoint, "AWS_REGION": s3Region,
		"AWS_ACCESS_KEY_ID": s3Key, "AWS_SECRET_ACCESS_KEY": s3Secret,
	}
}

// Client gives a client that is not the system's.
func (s *S3) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, UsePathStyle: true, Region: s3Region,
		Credentials: credentials.NewStaticCredentialsProvider(s3Key, s3Secret, ""),
	})
}

// s3Prefix is what the keys of all datasets begin with.
const s3Prefix = "some/where"

// Prefix is what the keys of a job's dataset begin with.
func (s *S3) Prefix(j *Job) string { return s3Prefix + "/" + j.Run + "/" }

// Keys lists the objects below a prefix, without it, with their sizes.
func (s *S3) Keys(ctx context.Context, prefix string) (map[string]int64, error) {
	keys := map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(s.Client(), &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			keys[strings.TrimPrefix(aws.ToString(o.Key), prefix)] = aws.ToInt64(o.Size)
		}
	}
	return keys, nil
}

// Uploads lists the keys below a prefix, without it, that have an upload which is not
// completed.
func (s *S3) Uploads(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListMultipartUploadsPaginator(s.Client(), &s3.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			keys = append(keys, strings.TrimPrefix(aws.ToString(u.Key), prefix))
		}
	}
	return keys, nil
}

// Download copies what is below a prefix to a directory.
func (s *S3) Download(ctx context.Context, prefix, dir string) error {
	keys, err := s.Keys(ctx, prefix)
	if err != nil {
		return err
	}
	client := s.Client()
	for key := range keys {
		path := filepath.Join(dir, filepath.FromSlash(key))
		data, err := s.get(ctx, client, prefix+key)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755)); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Get reads an object.
func (s *S3) Get(ctx context.Context, key string) ([]byte, error) { return s.get(ctx, s.Client(), key) }

func (s *S3) get(ctx context.Context, client *s3.Client, key string) ([]byte, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(out.Body)
	return data, errors.Join(err, out.Body.Close())
}
