package fff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// Files that a command reads are given by a path or by s3://bucket/key.

// openObject opens an object of S3. What the person at the keyboard can set right is a usage
// error. Reading ends with ctx.
func openObject(ctx context.Context, what, url string) (*awss3.Object, error) {
	at, err := s3url.ParseObject(url)
	if err != nil {
		return nil, usage("%s: %w", what, err)
	}
	client, err := awss3.New(ctx)
	if err != nil {
		return nil, ofS3(what, err)
	}
	object, err := awss3.Open(ctx, client, at.Bucket, at.Key)
	if err != nil {
		return nil, ofS3(what, err)
	}
	return object, nil
}

// ofS3 gives an error of S3 its exit code, and takes away what is wrapped around it: it names
// its place itself. Other errors are given back as they are.
func ofS3(what string, err error) error {
	e, ok := errors.AsType[*awss3.Error](err)
	if !ok {
		return err
	}
	if e.Reason.Setting() {
		return usage("%s: %w", what, e)
	}
	return &exitError{exitFailed, fmt.Errorf("%s: %w", what, e)}
}

// readRunFile reads a run file.
func (a *app) readRunFile(name string) ([]byte, error) {
	if !s3url.Is(name) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, usage("run file: %w", err)
		}
		return data, nil
	}
	object, err := openObject(a.soft, "run file", name)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if n := object.Size(); n > runfile.MaxBytes {
		return nil, usage("run file: %s has %d bytes; the most is %d", name, n, runfile.MaxBytes)
	}
	stream := object.Stream()
	data, err := io.ReadAll(stream)
	if err = errors.Join(err, stream.Close()); err != nil {
		return nil, ofS3("run file", err)
	}
	return data, nil
}

// openRecords opens a records file.
func (a *app) openRecords(name string) (*recordsfile.File, error) {
	if !s3url.Is(name) {
		f, err := recordsfile.OpenLocal(name)
		if err != nil {
			return nil, usage("records: %w", err)
		}
		return f, nil
	}
	if err := recordsfile.CheckName(name); err != nil { // before S3 is asked
		return nil, usage("records: %w", err)
	}
	object, err := openObject(a.soft, "records", name)
	if err != nil {
		return nil, err
	}
	f, err := recordsfile.OpenContent(name, object)
	if err != nil {
		return nil, errors.Join(usage("records: %w", err), object.Close())
	}
	return f, nil
}

// openDataset opens the dataset in a directory or at s3://bucket/prefix/run, to read it.
func (a *app) openDataset(place string) (dataset.Readable, error) {
	from, err := destination.Existing(a.soft, place)
	if _, s3 := errors.AsType[*awss3.Error](err); s3 {
		return nil, ofS3("dataset", err)
	}
	if err != nil {
		return nil, usage("dataset: %w; give the directory <output.dir>/<run>, or s3://bucket/prefix/run", err)
	}
	return from, nil
}
