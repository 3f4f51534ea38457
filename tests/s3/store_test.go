// Package s3 tests datasets in S3, on an S3 server that is not ours.
package s3

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

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
