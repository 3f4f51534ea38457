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

// intact checks a committed file by its checksum: errDamaged if it is another.
func (j *job) intact(ctx context.Context, f *commitlog.File) error {
	blob, err := j.store.OpenVisible(ctx, f.Family, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w (%w)", f.Name, errDamaged, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }()
	sum, err := dataset.ChecksumOf(ctx, blob)
	if err != nil {
		return err
	}
	if sum != f.Checksum || blob.Size() != f.Bytes {
		return fmt.Errorf("%s: %w", f.Name, errDamaged)
	}
	return nil
}

// voidDamaged takes the damaged files out of the dataset. Where one was found there are often
// more, and each round of repair is dear, so all files are read. It always gives an error,
// which has the finaliser begin again: its proof finds the cells missing, and they are fetched
// again.
func (j *job) voidDamaged(ctx context.Context) error {
	var mu sync.Mutex
	var damaged []commitlog.File
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readsAtOnce)
	for _, f := range j.liveFiles() {
		g.Go(func() error {
			err := j.intact(gctx, &f)
			if !errors.Is(err, errDamaged) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			damaged = append(damaged, f)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	sortByName(damaged)
	for i := range damaged {
		if err := j.voidFile(ctx, &damaged[i], errDamaged.Error()); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %d files, whose cells are fetched again", errDamaged, len(damaged))
}
