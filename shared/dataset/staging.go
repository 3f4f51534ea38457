package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// endedPrefix marks a staging directory that is being removed. It is renamed first, so
// that from one moment on nothing can be staged in it.
const endedPrefix = ".ended-"

// BeginEpoch makes the epoch's staging directory.
func (d *Disk) BeginEpoch(ctx context.Context, epoch uint64, token string) error {
	dir, err := d.epochDir(ctx, epoch, token)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := removeEnded(parent); err != nil {
		return fmt.Errorf("begin epoch %d: %w", epoch, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("begin epoch %d: %w", epoch, err)
	}
	return syncDir(parent)
}

// EndEpoch removes the epoch's staging directory.
func (d *Disk) EndEpoch(ctx context.Context, epoch uint64, token string) error {
	if err := CheckName("token of an epoch", token); err != nil {
		return err
	}
	return d.RemoveStaging(ctx, StagingName(epoch, token))
}

// ListStaging names the staging directories.
func (d *Disk) ListStaging(ctx context.Context) ([]string, error) {
	return d.list(ctx, StagingDir, func(name string) error {
		_, _, err := ParseStagingName(name)
		return err
	})
}

// RemoveStaging removes a staging directory, when what was made visible from it is durable.
func (d *Disk) RemoveStaging(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), CheckName("staging directory", name)); err != nil {
		return err
	}
	if _, _, err := ParseStagingName(name); err != nil {
		return err
	}
	parent := filepath.Join(d.dir, StagingDir)
	if err := removeEnded(parent); err != nil {
		return err
	}
	if err := d.syncVisible(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(parent, name), filepath.Join(parent, endedPrefix+name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := removeEnded(parent); err != nil {
		return err
	}
	return syncDir(parent)
}

// syncVisible makes durable what was made visible, by whomever.
func (d *Disk) syncVisible() error {
	dir := filepath.Join(d.dir, FeaturesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := syncDir(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// Unstage removes what is staged of a part.
func (d *Disk) Unstage(ctx context.Context, epoch uint64, token, part string) error {
	dir, err := d.epochDir(ctx, epoch, token)
	if err := errors.Join(err, CheckName("part", part)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, part))
}

// removeEnded removes the directories of ended epochs, also those whose removal was
// interrupted.
func removeEnded(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), endedPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Stage writes a file that nobody sees until Reveal.
func (d *Disk) Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (StagedFile, error) {
	path, err := d.staged(ctx, epoch, token, part, family, name)
	if err != nil {
		return StagedFile{}, err
	}
	staged, err := d.stage(ctx, path, write)
	if err != nil {
		return StagedFile{}, fmt.Errorf("stage %s of family %q: %w", name, family, err)
	}
	return staged, nil
}

func (d *Disk) stage(ctx context.Context, path string, write func(io.Writer) error) (StagedFile, error) {
	dir := filepath.Dir(path)
	for _, made := range []string{filepath.Dir(dir), dir} { // the part's, and the name's; the epoch's is never made here
		if err := os.Mkdir(made, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return StagedFile{}, fence(err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return StagedFile{}, fence(err)
	}
	w := NewSumWriter(ctx, f)
	err = write(w)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		_, err = sizeOf(path) // whether the epoch has ended meanwhile
		err = fence(err)
	}
	if err != nil {
		_ = os.Remove(path) // what remains is swept with the epoch
		return StagedFile{}, err
	}
	return StagedFile{Bytes: w.Bytes(), Checksum: w.Checksum()}, nil
}

// syncStaged makes durable that a part's files are there; what is in them is already.
func (d *Disk) syncStaged(area, part string) error {
	dir := filepath.Join(d.dir, StagingDir, area, part)
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the index is of another area's part, or of none
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := syncDir(filepath.Join(dir, n.Name())); err != nil {
			return fence(err)
		}
	}
	return fence(errors.Join(syncDir(dir), syncDir(filepath.Dir(dir))))
}

// fence turns "a directory above is not there" into ErrFenced.
func fence(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (%w)", ErrFenced, err)
	}
	return err
}

// Reveal makes a staged file visible.
func (d *Disk) Reveal(ctx context.Context, epoch uint64, token, part, family, name string, staged StagedFile) error {
	from, err := d.staged(ctx, epoch, token, part, family, name)
	if err != nil {
		return err
	}
	to, err := d.visible(ctx, family, name)
	if err != nil {
		return err
	}
	if err := d.reveal(from, to, staged.Bytes); err != nil {
		return fmt.Errorf("make %s of family %q visible: %w", name, family, err)
	}
	return nil
}

func (d *Disk) reveal(from, to string, bytes int64) error {
	seen, err := isVisible(to, bytes)
	if err != nil {
		return err
	}
	if seen { // a visible file is never replaced
		_ = os.Remove(from)
		return nil
	}
	if err := d.moveStaged(from, to, bytes); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	seen, err = isVisible(to, bytes) // moved, here or by another who was faster
	if err == nil && !seen {
		err = ErrNotStaged
	}
	return err
}

// isVisible tells whether a path is there, with the size that was committed.
func isVisible(path string, bytes int64) (bool, error) {
	size, err := sizeOf(path)
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

// moveStaged moves a staged file to its visible place.
func (d *Disk) moveStaged(from, to string, bytes int64) error {
	size, err := sizeOf(from)
	if err != nil {
		return err
	}
	if size != bytes {
		return fmt.Errorf("the staged file has %d bytes; %d were committed", size, bytes)
	}
	if err := os.Mkdir(filepath.Dir(to), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(from, to)
}

func (d *Disk) epochDir(ctx context.Context, epoch uint64, token string) (string, error) {
	if err := errors.Join(ctx.Err(), CheckName("token of an epoch", token)); err != nil {
		return "", err
	}
	return filepath.Join(d.dir, StagingDir, StagingName(epoch, token)), nil
}

// staged gives the path of a staged file. The files of a part, which have one name, are in one
// directory, whatever their family: so there is one to be made, synced and removed.
func (d *Disk) staged(ctx context.Context, epoch uint64, token, part, family, name string) (string, error) {
	dir, err := d.epochDir(ctx, epoch, token)
	if err != nil {
		return "", err
	}
	if err := errors.Join(CheckName("part", part), CheckFamily(family), CheckFileName(name)); err != nil {
		return "", err
	}
	return filepath.Join(dir, part, name, FamilyPrefix+EscapeFamily(family)+".parquet"), nil
}
