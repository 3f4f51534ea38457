package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// errDamaged says that a committed file does not have the bytes that were committed. What is
// made of it would have a checksum of its own, and nobody could tell any more.
var errDamaged = errors.New("the file is not what was committed")

// openCommitted opens a committed file: errDamaged if it is not there, or has another size.
func (j *job) openCommitted(ctx context.Context, f *commitlog.File) (dataset.Blob, error) {
	blob, err := j.store.OpenVisible(ctx, f.Family, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w (%w)", f.Name, errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if blob.Size() != f.Bytes {
		_ = blob.Close() // nothing was written
		return nil, damaged(f)
	}
	return blob, nil
}

// openIntact is openCommitted with a look at the checksum, for which all of the file is read.
func (j *job) openIntact(ctx context.Context, f *commitlog.File) (dataset.Blob, error) {
	blob, err := j.openCommitted(ctx, f)
	if err != nil {
		return nil, err
	}
	sum, err := dataset.ChecksumOf(ctx, blob)
	if err == nil && sum != f.Checksum {
		err = damaged(f)
	}
	if err != nil {
		_ = blob.Close() // nothing was written
		return nil, err
	}
	return blob, nil
}

func damaged(f *commitlog.File) error { return fmt.Errorf("%s: %w", f.Name, errDamaged) }

// voidDamaged takes the damaged files out of the dataset. Where one was found there are often
// more, and each round of repair is dear, so all files are read. It always gives an error,
// which has the finaliser begin again: its proof finds the cells missing, and they are fetched
// again.
func (j *job) voidDamaged(ctx context.Context) error {
	var mu sync.Mutex
	var found []commitlog.File
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readsAtOnce)
	for _, f := range j.liveFiles() {
		g.Go(func() error {
			blob, err := j.openIntact(gctx, &f)
			if err == nil {
				return blob.Close()
			}
			if !errors.Is(err, errDamaged) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, f)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	sortByName(found)
	for i := range found {
		if err := j.voidFile(ctx, &found[i], errDamaged.Error()); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %d files, whose cells are fetched again", errDamaged, len(found))
}
