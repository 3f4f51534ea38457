package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// uploadsDir holds a record for each upload that is neither completed nor aborted. S3 lists
// uploads too, but some servers do so for one key only.
const uploadsDir = "_uploads"

// BeginEpoch puts the epoch's marker.
func (s *Store) BeginEpoch(ctx context.Context, epoch uint64, token string) error {
	if err := errors.Join(ctx.Err(), dataset.CheckName("token of an epoch", token)); err != nil {
		return err
	}
	err := s.sweep(ctx)
	if err == nil {
		err = s.put(ctx, s.marker(dataset.StagingName(epoch, token)), fmt.Appendf(nil, "begun %s\n", time.Now().UTC().Format(time.RFC3339)), nil)
	}
	if err != nil {
		return fmt.Errorf("begin epoch %d: %w", epoch, err)
	}
	return nil
}

// EndEpoch removes the epoch's marker, then its uploads.
func (s *Store) EndEpoch(ctx context.Context, epoch uint64, token string) error {
	if err := dataset.CheckName("token of an epoch", token); err != nil {
		return err
	}
	return s.RemoveStaging(ctx, dataset.StagingName(epoch, token))
}

// ListStaging names the areas that have a marker.
func (s *Store) ListStaging(ctx context.Context) ([]string, error) {
	return s.names(ctx, dataset.StagingDir, func(name string) error {
		_, _, err := dataset.ParseStagingName(name)
		return err
	})
}

// RemoveStaging removes an area's marker, so that from one moment on nothing can be staged in
// it, then its uploads.
func (s *Store) RemoveStaging(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), dataset.CheckName("staging directory", name)); err != nil {
		return err
	}
	if _, _, err := dataset.ParseStagingName(name); err != nil {
		return err
	}
	if err := s.remove(ctx, s.marker(name)); err != nil {
		return err
	}
	return s.sweep(ctx)
}

func (s *Store) marker(area string) string { return s.root + dataset.StagingDir + "/" + area }

// begun gives ErrFenced for an area without a marker.
func (s *Store) begun(ctx context.Context, area string) error {
	_, err := s.size(ctx, s.marker(area))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (%w)", dataset.ErrFenced, err)
	}
	return err
}

// stagedFile is a file on its way.
type stagedFile struct {
	area    string
	record  string // key
	visible string // key
}

func (s *Store) staged(ctx context.Context, epoch uint64, token, part, family, name string) (stagedFile, error) {
	visible, err := s.visible(ctx, family, name)
	if err := errors.Join(err, dataset.CheckName("token of an epoch", token), dataset.CheckName("part", part)); err != nil {
		return stagedFile{}, err
	}
	area := dataset.StagingName(epoch, token)
	file := strings.TrimPrefix(visible, s.root+dataset.FeaturesDir)
	return stagedFile{area: area, record: s.root + uploadsDir + "/" + area + "/" + part + file, visible: visible}, nil
}

// Stage uploads a file and does not complete the upload. The upload goes on while the file is
// being written.
func (s *Store) Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (dataset.StagedFile, error) {
	f, err := s.staged(ctx, epoch, token, part, family, name)
	if err != nil {
		return dataset.StagedFile{}, err
	}
	done, err := s.stage(ctx, f, write)
	if err != nil {
		return dataset.StagedFile{}, fmt.Errorf("stage %s of family %q: %w", name, family, err)
	}
	return done, nil
}

// stage looks at the marker before and after. Whoever ends the epoch removes the marker first
// and then looks for records: either the record is found there, or the second look finds no
// marker.
func (s *Store) stage(ctx context.Context, f stagedFile, write func(io.Writer) error) (dataset.StagedFile, error) {
	if err := s.begun(ctx, f.area); err != nil {
		return dataset.StagedFile{}, err
	}
	if err := s.create(ctx, f.record, []byte("not committed yet: "+f.visible+"\n")); err != nil {
		return dataset.StagedFile{}, err
	}
	u := s.newUpload(ctx, f.visible)
	w := dataset.NewSumWriter(ctx, u)
	err := write(w)
	if err == nil {
		err = u.finish()
	}
	u.drop()
	if err == nil {
		err = s.begun(ctx, f.area)
	}
	if err != nil {
		s.giveUp(ctx, f, u)
		return dataset.StagedFile{}, err
	}
	return dataset.StagedFile{Bytes: w.Bytes(), Checksum: w.Checksum(), UploadID: u.id}, nil
}

// giveUp removes what a failed call has written. What remains is swept with the epoch: the
// record leads to it.
func (s *Store) giveUp(ctx context.Context, f stagedFile, u *upload) {
	if u.asked && (u.id == "" || s.abort(ctx, f.visible, u.id) != nil) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = s.remove(ctx, f.record)
}

// Reveal completes the upload of a staged file.
func (s *Store) Reveal(ctx context.Context, epoch uint64, token, part, family, name string, done dataset.StagedFile) error {
	f, err := s.staged(ctx, epoch, token, part, family, name)
	if err != nil {
		return err
	}
	if err := s.reveal(ctx, f, done); err != nil {
		return fmt.Errorf("make %s of family %q visible: %w", name, family, err)
	}
	return nil
}

func (s *Store) reveal(ctx context.Context, f stagedFile, done dataset.StagedFile) error {
	seen, err := s.isVisible(ctx, f.visible, done.Bytes)
	if err != nil {
		return err
	}
	if !seen { // a visible file is never replaced
		if err := s.makeVisible(ctx, f.visible, done); err != nil {
			return err
		}
	}
	_ = s.remove(ctx, f.record) // what remains is swept with the epoch
	return nil
}

// appears is how long a completed file may take to appear. What is being completed, here or
// by another, may be no upload any more, or one without parts, and no object yet.
const appears = 3 * time.Second

func (s *Store) makeVisible(ctx context.Context, key string, done dataset.StagedFile) error {
	if done.UploadID == "" {
		return dataset.ErrNotStaged
	}
	failed := s.complete(ctx, key, done.UploadID, done.Bytes)
	for wait := appears / 128; ; wait *= 2 {
		seen, err := s.isVisible(ctx, key, done.Bytes)
		switch {
		case err != nil:
			return err
		case seen:
			return nil
		case wait > appears/2 && failed == nil:
			return fmt.Errorf("S3 says that the upload of %s is complete, but the object is not there", key)
		case wait > appears/2:
			return failed
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// isVisible tells whether an object is there, with the size that was committed.
func (s *Store) isVisible(ctx context.Context, key string, bytes int64) (bool, error) {
	size, err := s.size(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case size != bytes:
		return false, fmt.Errorf("a visible file of %d bytes has its name; %d were committed", size, bytes)
	}
	return true, nil
}

func errSize(staged, committed int64) error {
	return fmt.Errorf("the staged file has %d bytes; %d were committed", staged, committed)
}
