// Package bringdown brings down what a run has scaled up without a broker and without an
// orchestrator: the undo journal in its dataset is enough.
package bringdown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
)

// Poll is between two looks at what comes down.
const Poll = time.Second

// Open reads the journal of the dataset in a directory, or at s3://bucket/prefix/run;
// nil if there is none.
func Open(ctx context.Context, place string) (warmup.Store, *warmup.Journal, error) {
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

// StillUp names what a journal says is up.
func StillUp(j *warmup.Journal) []string {
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

// Do brings down what the journal of a dataset says is up, and empties it. say is told
// how it goes. It tries until ctx ends.
func Do(ctx context.Context, place string, say func(string)) error {
	store, found, err := Open(ctx, place)
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
		Run: found.Run, Backends: all, Stores: []warmup.Store{store}, Watch: -1, Poll: Poll,
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
