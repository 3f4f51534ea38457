package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// copyTries is how often a local copy is tried, with pauses that double: some half a minute
// in all. A disk that is full is mostly so for longer than anybody wants to wait.
const (
	copyTries = 5
	copyPause = 2 * time.Second
)

// errCopying says that the teardown waits for the local copy. Who asks for the run meanwhile
// asks again.
var errCopying = &control.Error{Code: control.CodeTryAgain, Message: "the run's dataset is being copied to output.dir (output.s3.local_copy); ask again when that is done"}

// localCopy is the copying of a finished dataset to output.dir. It may take hours, so it has
// a goroutine of its own, and the run's steps go on.
type localCopy struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done
}

// copyHome copies the finished dataset from S3 to output.dir of this machine, if that is
// asked for. It comes with the teardown, when nothing of this run can change the dataset any
// more; errCopying while it is under way. A copy that fails does not hold up the end of the
// run, nor does it touch the dataset: note says what to do then.
func (j *job) copyHome(ctx context.Context) (note string, err error) {
	if known, err := j.known(ctx); !known || err != nil {
		return "", err
	}
	out := &j.file.Output
	if out.S3 == nil || !out.S3.LocalCopy {
		return "", nil
	}
	dir := dataset.RunDir(out.Dir, j.rec.Run)
	if j.copy == nil {
		j.startCopy(ctx, dir)
	}
	select {
	case <-j.copy.done:
		err = j.copy.err
	default:
		if err = j.ownCopy(ctx); err == nil {
			return "", errCopying
		}
		if !errors.Is(err, errTakenOver) {
			return "", err
		}
		j.endCopy() // the next try, if there is one, begins anew
	}
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	j.log.Error().Err(err).Str("from", j.rec.Dataset).Str("to", dir).Msg("output.s3.local_copy: the dataset was not copied")
	return fmt.Sprintf("output.s3.local_copy: the dataset is whole in S3, but its copy in %s is not (%v); make room there and run it again, which fetches nothing anew, or copy it with: aws s3 sync %s %s --exclude '_commits/*'",
		dir, err, j.rec.Dataset, dir), nil
}

// ownCopy says that the owner of the dataset that is copied lives.
func (j *job) ownCopy(ctx context.Context) error {
	if time.Since(j.watch.owned) < ownerBeat {
		return nil
	}
	o, err := j.owner(ctx)
	if err != nil {
		return err
	}
	if o == nil || o.Broker != j.s.system {
		return errTakenOver
	}
	return j.own(ctx, j.rec.Epoch)
}

func (j *job) startCopy(ctx context.Context, dir string) {
	ctx, cancel := context.WithCancel(ctx)
	c := &localCopy{cancel: cancel, done: make(chan struct{})}
	from, log, pause := j.store, j.log, j.s.copyPause
	j.copy = c
	go func() {
		defer close(c.done)
		for try := 1; ; try++ {
			if c.err = copyTo(ctx, from, dir); c.err == nil {
				return
			}
			if try == copyTries {
				return
			}
			log.Warn().Err(c.err).Msg("output.s3.local_copy: the dataset cannot be copied; trying again")
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause << (try - 1)):
			}
		}
	}()
}

// endCopy ends the local copy, if there is one.
func (j *job) endCopy() {
	if j.copy == nil {
		return
	}
	j.copy.cancel()
	<-j.copy.done
	j.copy = nil
}

// copyTo copies a dataset to a directory, if it has come as far as its manifest.
func copyTo(ctx context.Context, from dataset.Store, dir string) error {
	if _, err := from.Get(ctx, dataset.ManifestName); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	disk, err := dataset.OpenDisk(dir)
	if err != nil {
		return err
	}
	return dataset.Copy(ctx, from, disk)
}
