// Package s3 tests datasets in S3, on an S3 server that is not ours.
package s3

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/dataset/s3store"
	"github.com/fastfeaturefetch/fff/shared/dataset/storetest"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// client gives a client as the system makes it.
func client(t *testing.T, server *harness.S3) *awss3.Client {
	t.Helper()
	for name, value := range server.Env() {
		t.Setenv(name, value)
	}
	c, err := awss3.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A store in S3 does what the commit protocol relies on.
func TestStore(t *testing.T) {
	server := harness.StartS3(t)
	c := client(t, server)
	var stores atomic.Int64
	storetest.Run(t, func(*testing.T) dataset.Store {
		return s3store.New(c, server.Bucket, fmt.Sprintf("sets/%d", stores.Add(1)))
	})
}

// An upload of several parts that ends after its epoch has ended is refused, and nothing of
// it is left; neither can be made visible what was staged before and not committed.
func TestUploadThatEndsAfterTheSeal(t *testing.T) {
	server := harness.StartS3(t)
	store := s3store.New(client(t, server), server.Bucket, "sets/late")
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(store.BeginEpoch(ctx, 1, "tok"))
	early, err := store.Stage(ctx, 1, "tok", "w-1", "credit", "part-1-w-1.parquet", func(w io.Writer) error {
		_, err := w.Write(make([]byte, 20<<20))
		return err
	})
	must(err)
	_, err = store.Stage(ctx, 1, "tok", "w-2", "credit", "part-1-w-2.parquet", func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 17<<20)); err != nil {
			return err
		}
		harness.Await(t, "a part of the late upload is there", func() bool {
			uploads, err := server.Uploads(ctx, "sets/late/")
			return err == nil && len(uploads) == 2
		})
		must(store.EndEpoch(ctx, 1, "tok"))
		_, err := w.Write(make([]byte, 3<<20))
		return err
	})
	if err == nil {
		t.Error("a file was staged in an epoch that has ended")
	}
	if err := store.PutIndex(ctx, dataset.IndexName(1, "w-2"), []byte("x")); !errors.Is(err, dataset.ErrFenced) {
		t.Errorf("its index: %v, want that the epoch has ended", err)
	}
	if err := store.Reveal(ctx, 1, "tok", "w-1", "credit", "part-1-w-1.parquet", early); !errors.Is(err, dataset.ErrNotStaged) {
		t.Errorf("a staged file of an epoch that has ended: %v, want that it is not staged", err)
	}
	keys, err := server.Keys(ctx, "sets/late/")
	must(err)
	uploads, err := server.Uploads(ctx, "sets/late/")
	must(err)
	if len(keys)+len(uploads) > 0 {
		t.Errorf("left behind: objects %v, uploads %v", keys, uploads)
	}
}

// lossy loses the answer to the first request that makes an upload.
type lossy struct {
	s3.HTTPClient
	lost atomic.Bool
}

func (l *lossy) Do(r *http.Request) (*http.Response, error) {
	answer, err := l.HTTPClient.Do(r)
	if err == nil && r.Method == http.MethodPost && r.URL.Query().Has("uploads") && l.lost.CompareAndSwap(false, true) {
		_ = answer.Body.Close()
		return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	}
	return answer, err
}

// The answer to the request that makes an upload is lost, and it is made again. The first one
// goes with its epoch, though the file is there, and so does a list that was not finished;
// that of an epoch that goes on stays.
func TestUploadWhoseAnswerIsLost(t *testing.T) {
	server := harness.StartS3(t)
	options := client(t, server).Options()
	wire := &lossy{HTTPClient: options.HTTPClient}
	options.HTTPClient = wire
	store := s3store.New(s3.New(options), server.Bucket, "sets/lost")
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stage := func(epoch uint64, part string) dataset.StagedFile {
		t.Helper()
		must(store.BeginEpoch(ctx, epoch, "tok"))
		staged, err := store.Stage(ctx, epoch, "tok", part, "credit", dataset.PartFile(epoch, part), func(w io.Writer) error {
			_, err := w.Write([]byte("content"))
			return err
		})
		must(err)
		return staged
	}
	first := stage(1, "w-1")
	must(store.Reveal(ctx, 1, "tok", "w-1", "credit", dataset.PartFile(1, "w-1"), first))
	second := stage(2, "w-2")
	if uploads, err := server.Uploads(ctx, "sets/lost/"); err != nil || len(uploads) != 2 || !wire.lost.Load() {
		t.Fatalf("uploads %v (%v), want the lost one and that of the second epoch", uploads, err)
	}
	list, err := store.PutWriter(ctx, dataset.FailuresName) // and who writes it is killed
	must(err)
	_, err = list.Write(make([]byte, 9<<20))
	must(err)
	must(store.EndEpoch(ctx, 1, "tok"))
	if uploads, err := server.Uploads(ctx, "sets/lost/"); err != nil || len(uploads) != 1 {
		t.Errorf("uploads %v (%v), want that of the second epoch alone", uploads, err)
	}
	must(store.Reveal(ctx, 2, "tok", "w-2", "credit", dataset.PartFile(2, "w-2"), second))
}
