package fff

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/s3url"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/bringdown"
)

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
		_, found, err := bringdown.Open(a.soft, place)
		switch owner := livingOwner(place); {
		case err != nil:
			errs = append(errs, err)
		case found == nil || len(found.Entries) == 0:
			a.note("%s: nothing is scaled up", place)
		case owner != nil:
			errs = append(errs, fmt.Errorf("%s: process %d works on it and looks after what it has scaled up; interrupt that process", place, owner.PID))
		default:
			if err := bringdown.Do(a.soft, place, func(text string) { a.note("%s", text) }); err != nil {
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
