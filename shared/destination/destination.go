// Package destination opens the dataset of a run where its run file puts it: in a directory
// or in a bucket of S3.
package destination

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/dataset/s3store"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// UploadBytes is the most that a file on its way to S3 takes of memory.
const UploadBytes = s3store.UploadBytes

// Opener opens datasets. The zero value is ready to use. Methods may be called at the same
// time.
type Opener struct {
	mu     sync.Mutex
	client *awss3.Client // of all datasets in S3; nil until there is one
}

// Open opens a run's dataset. It also tells where that is: an absolute directory, or
// s3://bucket/prefix/run. S3 is asked nothing yet, so that a run outlives its being away.
func (o *Opener) Open(ctx context.Context, out *runfile.Output, run string) (store dataset.Store, where string, err error) {
	where, err = Where(out, run)
	if err != nil {
		return nil, "", err
	}
	if out.S3 != nil {
		client, err := o.s3(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("output.s3: %w", err)
		}
		return s3store.New(client, out.S3.Bucket, prefix(out.S3, run)), where, nil
	}
	store, err = dataset.OpenDisk(where)
	if err != nil {
		return nil, "", fmt.Errorf("output.dir: %w", err)
	}
	return store, where, nil
}

func (o *Opener) s3(ctx context.Context) (*awss3.Client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client == nil {
		client, err := awss3.New(ctx)
		if err != nil {
			return nil, err
		}
		o.client = client
	}
	return o.client, nil
}

// Where tells where a run's dataset is, or will be, without looking at it.
func Where(out *runfile.Output, run string) (string, error) {
	if out.S3 != nil {
		return "s3://" + out.S3.Bucket + "/" + prefix(out.S3, run), nil
	}
	dir, err := filepath.Abs(dataset.RunDir(out.Dir, run))
	if err != nil {
		return "", fmt.Errorf("output.dir: %w", err)
	}
	return dir, nil
}

// prefix gives what the keys of a run begin with, without a slash at its end.
func prefix(s *runfile.S3, run string) string {
	if s.Prefix == "" {
		return run
	}
	return s.Prefix + "/" + run
}
