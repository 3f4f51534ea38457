package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// ownerBeat is how often the owner of a dataset says that it lives. A stranger watches for
// three of them; no two clocks are compared.
const ownerBeat = 2 * time.Second

// errTakenOver says that another system owns the dataset now.
var errTakenOver = errors.New("another system has taken the dataset over")

// owner reads _owner; nil when there is none.
func (j *job) owner(ctx context.Context) (*dataset.Owner, error) {
	data, err := j.store.Get(ctx, dataset.OwnerName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return dataset.DecodeOwner(data)
}

func (j *job) ownership(epoch uint64) ([]byte, error) {
	return dataset.EncodeOwner(&dataset.Owner{
		Broker: j.s.system, Epoch: epoch, Host: hostname(), PID: os.Getpid(), Store: j.s.cfg.Store, Beat: time.Now().UTC(),
	})
}

// claimTries is how often _owner is looked at that is not there and cannot be made, with
// pauses that double from 20 ms: 5 s in all.
const claimTries = 9

// claim makes this system the owner of the dataset, unless another one lives and is not
// to be taken over.
func (j *job) claim(ctx context.Context, takeOver bool) error {
	for try := range claimTries {
		o, err := j.owner(ctx)
		if err != nil {
			return err
		}
		if o == nil {
			data, err := j.ownership(0)
			if err != nil {
				return err
			}
			if err = j.store.Create(ctx, dataset.OwnerName, data); !errors.Is(err, fs.ErrExist) {
				return err
			}
			if try == claimTries-1 {
				break
			}
			select { // it was made at this moment, or S3 says so of what it has not shown yet
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(20 * time.Millisecond << try):
			}
			continue
		}
		if o.Broker == j.s.system {
			return nil
		}
		if !takeOver {
			alive, err := j.lives(ctx, o)
			if err != nil {
				return err
			}
			if alive {
				return control.Errorf(control.CodeOwned, "another system (broker %s on %s, process %d, epoch %d) works on %s; wait for it, use another run id or output.dir, or take the dataset over with --take-over", o.Broker, o.Host, o.PID, o.Epoch, j.rec.Dataset)
			}
		}
		return j.own(ctx, o.Epoch)
	}
	return fmt.Errorf("%s of %s cannot be read because it is not there, and cannot be made because it is; look at the storage and its permissions", dataset.OwnerName, j.rec.Dataset)
}

// lives tells whether the owner of a dataset is alive. One with a store on this machine
// holds the store's lock; of any other the beat goes on while we watch.
func (j *job) lives(ctx context.Context, o *dataset.Owner) (bool, error) {
	if o.Store != "" && o.Host == hostname() {
		if o.Store == j.s.cfg.Store {
			return false, nil // the store was made anew where the owner's was: its lock is ours
		}
		lock := flock.New(filepath.Join(o.Store, "lock"), flock.SetFlag(os.O_RDWR))
		free, err := lock.TryLock()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err == nil && free:
			return false, lock.Unlock()
		case err == nil:
			return true, nil
		}
	}
	for range 3 {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(ownerBeat + ownerBeat/4):
		}
		now, err := j.owner(ctx)
		if err != nil {
			return false, err
		}
		if now == nil || now.Broker != o.Broker {
			return false, nil
		}
		if !now.Beat.Equal(o.Beat) {
			return true, nil
		}
	}
	return false, nil
}

// own writes this system into _owner.
func (j *job) own(ctx context.Context, epoch uint64) error {
	j.owning.Lock()
	defer j.owning.Unlock()
	j.watch.owned = time.Now()
	return j.writeOwner(ctx, j.store, epoch)
}

func (j *job) writeOwner(ctx context.Context, store dataset.Store, epoch uint64) error {
	data, err := j.ownership(epoch)
	if err != nil {
		return err
	}
	return store.Put(ctx, dataset.OwnerName, data)
}

// living says that the owner lives, for as long as a step of the run may take, until stop is
// called. The step itself finds out whether the dataset is ours still.
func (j *job) living(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	store := j.store
	go func() {
		defer close(ended)
		tick := time.NewTicker(ownerBeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := j.beatAside(ctx, store); err != nil && ctx.Err() == nil {
				j.log.Warn().Err(err).Msg("the owner of the dataset cannot say that it lives; trying again")
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// beatAside is beat beside a step that is under way.
func (j *job) beatAside(ctx context.Context, store dataset.Store) error {
	j.owning.Lock()
	defer j.owning.Unlock()
	data, err := store.Get(ctx, dataset.OwnerName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := dataset.DecodeOwner(data)
	if err != nil || o.Broker != j.s.system {
		return err
	}
	return j.writeOwner(ctx, store, o.Epoch)
}

// hold makes sure that this system owns the dataset, and says that it lives. A dataset that
// nobody owns any more is taken again.
func (j *job) hold(ctx context.Context, epoch uint64) error {
	owned, err := j.owned(ctx)
	if err != nil {
		return err
	}
	if !owned {
		err := j.claim(ctx, false)
		if c, ok := errors.AsType[*control.Error](err); ok && c.Code == control.CodeOwned {
			return errTakenOver
		} else if err != nil {
			return err
		}
	}
	return j.own(ctx, epoch)
}

// owned tells whether this system owns the dataset; errTakenOver if another one does, or
// did meanwhile and has come to its end.
func (j *job) owned(ctx context.Context) (bool, error) {
	o, err := j.owner(ctx)
	switch {
	case err != nil:
		return false, err
	case o == nil:
		return false, j.outlived(ctx)
	case o.Broker != j.s.system:
		return false, errTakenOver
	}
	return true, nil
}

// beat says that the owner lives, and finds out if it is the owner no longer. why tells what
// makes a new epoch needed: the ground was lost under this one.
func (j *job) beat(ctx context.Context) (why string, err error) {
	if time.Since(j.watch.owned) < ownerBeat {
		return "", nil
	}
	if why, err := j.stillOwned(ctx); why != "" || err != nil {
		return why, err
	}
	return j.fencedOff(ctx)
}

// fencedOff tells if the epoch's staging area is gone: nothing that its writers do can reach
// the dataset any more.
func (j *job) fencedOff(ctx context.Context) (why string, err error) {
	dirs, err := j.store.ListStaging(ctx)
	if err != nil || slices.Contains(dirs, dataset.StagingName(j.rec.Epoch, j.rec.Token)) {
		return "", err
	}
	return "the epoch's staging area was removed", nil
}

// outlived says errTakenOver if another system has taken the dataset over and has come to
// its end: its manifest is newer than what this system knows.
func (j *job) outlived(ctx context.Context) error {
	data, err := j.store.Get(ctx, dataset.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := dataset.DecodeManifest(data)
	if err != nil || m.Broker == "" || m.Broker == j.s.system {
		return nil // damaged, or ours
	}
	for _, e := range m.Epochs {
		if e.Epoch > j.rec.Epoch {
			return errTakenOver
		}
	}
	return nil
}

// ours tells whether the dataset says of itself that it is this system's: in _owner, or in
// the manifest. errTakenOver if it says that it is another's.
func (j *job) ours(ctx context.Context) (bool, error) {
	if owned, err := j.owned(ctx); owned || err != nil {
		return owned, err
	}
	data, err := j.store.Get(ctx, dataset.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m, err := dataset.DecodeManifest(data)
	return err == nil && m.Broker == j.s.system && m.Run == j.rec.Run, nil
}

// stillOwned is the part of beat that knows no pause.
func (j *job) stillOwned(ctx context.Context) (why string, err error) {
	owned, err := j.owned(ctx)
	if err != nil {
		return "", err
	}
	if !owned {
		return "nobody owns the dataset any more", nil
	}
	return "", j.own(ctx, j.rec.Epoch)
}
