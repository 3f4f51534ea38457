package fff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/s3url"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
)

// Without a broker, and without an orchestrator, the undo journal in a dataset is enough to
// bring down what its run has scaled up.

// journalPoll is between two looks at what comes down.
const journalPoll = time.Second

// openJournal reads the journal of the dataset in a directory, or at s3://bucket/prefix/run;
// nil if there is none.
func openJournal(ctx context.Context, place string) (warmup.Store, *warmup.Journal, error) {
	at, err := destination.Existing(ctx, place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	files, ok := at.(warmup.Files)
	if !ok {
		return nil, nil, fmt.Errorf("%s cannot be written to", place)
	}
	store := warmup.FileStore{Files: files}
	found, err := store.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", place, err)
	}
	return store, found, nil
}

// stillUp names what a journal says is up.
func stillUp(j *warmup.Journal) []string {
	var up []string
	if j != nil {
		for _, e := range j.Entries {
			if e.Stage != warmup.Undone {
				up = append(up, e.Resource.String())
			}
		}
	}
	return up
}

// bringDown brings down what the journal of a dataset says is up, and empties it. say is told
// how it goes. It tries until ctx ends.
func bringDown(ctx context.Context, place string, say func(string)) error {
	store, found, err := openJournal(ctx, place)
	if err != nil || found == nil || len(found.Entries) == 0 {
		return err
	}
	var at backends.Config
	if err := settings.Load(&at.Kubernetes); err != nil {
		return err
	}
	all, err := backends.New(ctx, nil, at)
	if err != nil {
		return err
	}
	last := ""
	k, err := warmup.Open(ctx, warmup.Config{
		Run: found.Run, Backends: all, Stores: []warmup.Store{store}, Watch: -1, Poll: journalPoll,
		Report: func(e warmup.Event) {
			text := fmt.Sprintf("run %s: %s %s", found.Run, e.What, e.Resource)
			if e.Text != "" {
				text += ": " + e.Text
			}
			if text != last {
				say(text)
			}
			last = text
		},
	})
	if err != nil {
		return err
	}
	k.Hurry()
	if err := k.Lower(ctx); err != nil {
		return fmt.Errorf("run %s: %w", found.Run, err)
	}
	_, err = k.Keep(ctx)
	return err
}

// lastly brings down what a run of this process has left up: its orchestrator could not, or
// was not given the time.
func (a *app) lastly(j *job) error {
	place, err := destination.Where(&j.expanded.Output, j.file.Run)
	if err != nil {
		return err
	}
	_, found, err := openJournal(a.drop, place)
	if up := stillUp(found); err == nil && len(up) > 0 {
		a.note("still scaled up: %s; bringing it down, interrupt once more to leave it", strings.Join(up, ", "))
	}
	if err == nil {
		err = bringDown(a.drop, place, func(text string) { a.note("%s", text) })
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("what run %s has scaled up may still be up: %w; `fff runs teardown --dir %s` brings it down", j.file.Run, err, place)
}

// teardownPlaces gives the datasets that a command names: that of one run, or all below a
// directory that have a journal.
func teardownPlaces(dir, run string, all bool) ([]string, error) {
	switch {
	case run != "" && s3url.Is(dir):
		return []string{strings.TrimSuffix(dir, "/") + "/" + run}, nil
	case run != "":
		return []string{dataset.RunDir(dir, run)}, nil
	case s3url.Is(dir):
		return []string{dir}, nil
	}
	if _, err := os.Stat(filepath.Join(dir, warmup.JournalName)); err == nil {
		return []string{dir}, nil
	}
	if !all {
		return nil, usage("--dir %s is no dataset whose run was warmed up; name the run, or give --all for every dataset in it", dir)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", warmup.JournalName))
	if err != nil {
		return nil, usage("--dir: %w", err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	slices.Sort(found)
	return found, nil
}

// tearDownIn brings down what datasets' journals say is up, without a broker.
func (a *app) tearDownIn(dir, run string, all bool) error {
	places, err := teardownPlaces(dir, run, all)
	if err != nil {
		return err
	}
	var errs []error
	for _, place := range places {
		_, found, err := openJournal(a.soft, place)
		switch owner := livingOwner(place); {
		case err != nil:
			errs = append(errs, err)
		case found == nil || len(found.Entries) == 0:
			a.note("%s: nothing is scaled up", place)
		case owner != nil:
			errs = append(errs, fmt.Errorf("%s: process %d works on it and looks after what it has scaled up; interrupt that process", place, owner.PID))
		default:
			if err := bringDown(a.soft, place, func(text string) { a.note("%s", text) }); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", place, err))
				continue
			}
			fmt.Fprintf(a.stdout, "%s\n", found.Run)
			a.note("%s: nothing is scaled up any more", place)
		}
	}
	return errors.Join(errs...)
}

// livingOwner gives the owner of a dataset if that is a process of this machine which lives:
// it has the lock of its store. Of others this is not known.
func livingOwner(place string) *dataset.Owner {
	if s3url.Is(place) {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(place, dataset.OwnerName))
	if err != nil {
		return nil
	}
	o, err := dataset.DecodeOwner(data)
	if err != nil || o.Store == "" || !broker.Locked(o.Store) {
		return nil
	}
	return o
}
