package awss3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// server is an HTTP server with one object, which misbehaves as it is told. What a real S3
// does is tested with one; here is what a real one cannot be made to do.
type server struct {
	*httptest.Server
	data     []byte
	etag     atomic.Value
	requests atomic.Int64
	cut      atomic.Int64 // bytes after which a connection is cut; 0 = never
	refuse   func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T, data []byte) *server {
	s := &server{data: data}
	s.etag.Store(`"one"`)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if s.refuse != nil && s.refuse(w, r) {
			return
		}
		w.Header().Set("ETag", s.etag.Load().(string))
		if n := s.cut.Load(); n > 0 && r.Method == http.MethodGet {
			w = &cutter{ResponseWriter: w, left: n}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
	}))
	t.Cleanup(s.Close)
	return s
}

// cutter ends a connection in the middle of an answer.
type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (s *server) client(t *testing.T) *s3.Client {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ENDPOINT_URL_S3", s.URL)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	client, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (s *server) open(t *testing.T) *Object {
	t.Helper()
	o, err := Open(t.Context(), s.client(t), "bucket", "dir/key")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func someBytes(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	return data
}

func TestAStreamGoesOnWhereItsConnectionBroke(t *testing.T) {
	s := serve(t, someBytes(1<<20))
	s.cut.Store(200_000)
	o := s.open(t)
	r := o.Stream()
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if n := s.requests.Load(); n < 6 {
		t.Errorf("%d requests; the connection was never cut", n)
	}
}

func TestReadAtGivesTheSameBytesAnywhere(t *testing.T) {
	s := serve(t, someBytes(3*BlockBytes+12345))
	o := s.open(t)
	o.KeepBlocks(2)
	whole := bytes.NewReader(s.data)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		off := random.Int64N(o.Size() + 10)
		size := random.IntN(4096)
		if random.IntN(10) == 0 {
			size = random.IntN(2*BlockBytes + 1)
		}
		want, got := make([]byte, size), make([]byte, size)
		n, wantErr := whole.ReadAt(want, off)
		m, err := o.ReadAt(got, off)
		if n != m || !bytes.Equal(want, got) || size > 0 && !errors.Is(err, wantErr) {
			t.Fatalf("%d bytes at %d: %d, %v, want %d, %v", size, off, m, err, n, wantErr)
		}
	}
}

func TestBlocksAreReadOnce(t *testing.T) {
	s := serve(t, someBytes(2*BlockBytes))
	o := s.open(t)
	before := s.requests.Load()
	for at := int64(0); at < o.Size(); at += 1000 {
		if _, err := o.ReadAt(make([]byte, 10), at); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.requests.Load() - before; n > 3 {
		t.Errorf("%d requests for 2 blocks", n)
	}
}

func TestAnEmptyObjectHasAnEnd(t *testing.T) {
	s := serve(t, nil)
	o := s.open(t)
	if got, err := io.ReadAll(o.Stream()); len(got) != 0 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, err := o.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAnObjectThatIsChangedIsNotReadOn(t *testing.T) {
	s := serve(t, someBytes(100_000))
	for name, change := range map[string]func(){
		"minded": func() { s.etag.Store(`"two"`) },
		"not minded": func() {
			s.refuse = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("If-Match"); return false }
		},
	} {
		s.etag.Store(`"one"`)
		o := s.open(t)
		s.etag.Store(`"two"`)
		change()
		for _, err := range []error{second(o.ReadAt(make([]byte, 10), 5)), second(io.ReadAll(o.Stream()))} {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Reason != Changed || !strings.Contains(err.Error(), "s3://bucket/dir/key: the object was changed") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestReadingIsGivenUp(t *testing.T) {
	s := serve(t, someBytes(1000))
	o := s.open(t)
	s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	o.ctx = ctx
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := io.ReadAll(o.Stream()); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

// answer refuses as S3 does.
func answer(status int, code string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		if r.Method != http.MethodHead && code != "" {
			fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>in other words</Message></Error>`, code)
		}
		return true
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuse  func(http.ResponseWriter, *http.Request) bool
		reason  Reason
		setting bool
		want    []string
	}{
		{"no bucket", answer(404, "NoSuchBucket"), NoBucket, true, []string{`no bucket "bucket" at http://127.0.0.1`, "make it"}},
		{"no key", answer(404, "NoSuchKey"), NoKey, true, []string{"no such object", "check the key"}},
		{"denied", answer(403, "AccessDenied"), Denied, true, []string{"access denied", "s3:GetObject"}},
		{"unknown key", answer(403, "InvalidAccessKeyId"), BadCredentials, true, []string{"InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"}},
		{"wrong secret", answer(403, "SignatureDoesNotMatch"), BadCredentials, true, []string{"AWS_SECRET_ACCESS_KEY"}},
		{"expired", answer(400, "ExpiredToken"), BadCredentials, true, []string{"ExpiredToken", "renew"}},
		{"elsewhere", answer(301, "PermanentRedirect", "x-amz-bucket-region", "eu-west-1"), WrongRegion, true, []string{"AWS_REGION=eu-west-1"}},
		{"no S3", answer(404, ""), NoKey, true, nil},
		{"a proxy", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "<html>bad gateway</html>")
			return true
		}, Other, false, []string{"502"}},
		{"anything", answer(400, "InvalidArgument"), Other, false, []string{"InvalidArgument: in other words"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, nil)
			s.refuse = c.refuse
			_, err := Open(t.Context(), s.client(t), "bucket", "dir/key")
			checkError(t, err, c.reason, append(c.want, "s3://bucket/dir/key: ")...)
			if e, _ := errors.AsType[*Error](err); e != nil && e.Reason.Setting() != c.setting {
				t.Errorf("is it a setting? %v", !c.setting)
			}
			if is := errors.Is(err, fs.ErrNotExist); is != (c.reason == NoKey) {
				t.Errorf("is it fs.ErrNotExist? %v", is)
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		s := serve(t, nil)
		client := s.client(t)
		s.Close()
		_, err := Open(t.Context(), client, "bucket", "key")
		checkError(t, err, Unreachable, s.URL+" cannot be reached (connection refused)", "AWS_ENDPOINT_URL_S3")
	})
	t.Run("no credentials", func(t *testing.T) {
		s := serve(t, nil)
		s.client(t)
		noCredentials(t)
		client, err := New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), client, "bucket", "key")
		checkError(t, err, NoCredentials, "no AWS credentials were found", "AWS_PROFILE")
	})
	t.Run("no region", func(t *testing.T) {
		noCredentials(t)
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		_, err := New(t.Context())
		checkError(t, err, BadSetting, "AWS_REGION")
	})
	t.Run("no such profile", func(t *testing.T) {
		noCredentials(t)
		t.Setenv("AWS_PROFILE", "nobody")
		_, err := New(t.Context())
		checkError(t, err, BadSetting, "nobody", "~/.aws/config")
	})
	t.Run("endpoint without a scheme", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL_S3", "localhost:9000")
		_, err := New(t.Context())
		checkError(t, err, BadSetting, `"localhost:9000"`, "http://127.0.0.1:9000")
	})
}

// noCredentials empties the environment of credentials.
func noCredentials(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
}

func checkError(t *testing.T, err error, reason Reason, want ...string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason != reason {
		t.Fatalf("reason %d wanted: %v", reason, err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n > 0 || len(err.Error()) > 400 {
		t.Errorf("%q is long", err)
	}
}
