package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// Disk is a Store in a directory of a file system with atomic renames and hard links.
// Several processes may use one directory at the same time.
type Disk struct{ dir string }

var _ Store = (*Disk)(nil)

// OpenDisk opens the dataset in a directory, and makes the directory if need be.
func OpenDisk(dir string) (*Disk, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", dir, err)
	}
	for _, d := range []string{CommitsDir, StagingDir, FeaturesDir} {
		if err := makeDirs(filepath.Join(abs, d)); err != nil {
			return nil, fmt.Errorf("dataset %s: %w", dir, err)
		}
	}
	return &Disk{dir: abs}, nil
}

// DiskOf gives the dataset in a directory that is there, to read it; nothing is made.
func DiskOf(dir string) (*Disk, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is no directory: %w", dir, fs.ErrNotExist)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is no directory", dir)
	}
	return &Disk{dir: dir}, nil
}

// Dir gives the dataset's directory, absolute.
func (d *Disk) Dir() string { return d.dir }

// Put writes a file beside features/.
func (d *Disk) Put(ctx context.Context, name string, data []byte) error {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return err
	}
	return putFile(filepath.Join(d.dir, name), data)
}

// Get reads a file beside features/.
func (d *Disk) Get(ctx context.Context, name string) ([]byte, error) {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(d.dir, name))
}

// Open opens a file beside features/.
func (d *Disk) Open(ctx context.Context, name string) (Blob, error) {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return nil, err
	}
	return openBlob(filepath.Join(d.dir, name))
}

// Remove removes a file beside features/.
func (d *Disk) Remove(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return err
	}
	return removeFile(filepath.Join(d.dir, name))
}

// Create writes a file that must not exist. The content is complete before the name
// appears: it is written under another name and linked.
func (d *Disk) Create(ctx context.Context, name string, data []byte) error {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return err
	}
	path := filepath.Join(d.dir, name)
	tmp, err := newPending(path)
	if err != nil {
		return err
	}
	defer func() { _ = tmp.Cleanup() }()
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(d.dir)
}

// PutWriter is Put for large content.
func (d *Disk) PutWriter(ctx context.Context, name string) (PendingFile, error) {
	if err := errors.Join(ctx.Err(), CheckMetaName(name)); err != nil {
		return nil, err
	}
	f, err := newPending(filepath.Join(d.dir, name))
	if err != nil {
		return nil, err
	}
	return &pendingFile{PendingFile: f, dir: d.dir}, nil
}

type pendingFile struct {
	*renameio.PendingFile
	dir string
}

// Commit makes the file appear.
func (p *pendingFile) Commit() error {
	if err := p.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(p.dir)
}

// Close drops the file unless it was committed.
func (p *pendingFile) Close() error { return p.Cleanup() }

// PutIndex writes a completion index, when the files of its part are durable.
func (d *Disk) PutIndex(ctx context.Context, name string, data []byte) error {
	if err := errors.Join(ctx.Err(), CheckName("completion index", name)); err != nil {
		return err
	}
	epoch, part, err := ParseIndexName(name)
	if err != nil {
		return err
	}
	areas, err := d.ListStaging(ctx)
	if err != nil {
		return err
	}
	begun := false
	for _, area := range areas {
		if e, _, err := ParseStagingName(area); err != nil || e != epoch {
			continue
		}
		begun = true
		if err := d.syncStaged(area, part); err != nil {
			return fmt.Errorf("completion index %s: %w", name, err)
		}
	}
	if !begun {
		return fmt.Errorf("completion index %s: %w", name, ErrFenced)
	}
	return putFile(filepath.Join(d.dir, CommitsDir, name), data)
}

// GetIndex reads a completion index.
func (d *Disk) GetIndex(ctx context.Context, name string) ([]byte, error) {
	if err := errors.Join(ctx.Err(), CheckName("completion index", name)); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(d.dir, CommitsDir, name))
}

// ListIndexes names the completion indexes.
func (d *Disk) ListIndexes(ctx context.Context) ([]string, error) {
	return d.list(ctx, CommitsDir, func(name string) error {
		_, _, err := ParseIndexName(name)
		return err
	})
}

// RemoveIndex removes a completion index.
func (d *Disk) RemoveIndex(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), CheckName("completion index", name)); err != nil {
		return err
	}
	return removeFile(filepath.Join(d.dir, CommitsDir, name))
}

// list names the entries of a directory that are ours, in order.
func (d *Disk) list(ctx context.Context, dir string, check func(string) error) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, dir))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if check(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// StatVisible gives the size of a visible file.
func (d *Disk) StatVisible(ctx context.Context, family, name string) (int64, error) {
	path, err := d.visible(ctx, family, name)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// OpenVisible opens a visible file.
func (d *Disk) OpenVisible(ctx context.Context, family, name string) (Blob, error) {
	path, err := d.visible(ctx, family, name)
	if err != nil {
		return nil, err
	}
	return openBlob(path)
}

// RemoveVisible removes visible files.
func (d *Disk) RemoveVisible(ctx context.Context, family string, names ...string) error {
	dir := ""
	for _, name := range names {
		path, err := d.visible(ctx, family, name)
		if err != nil {
			return err
		}
		switch err := os.Remove(path); {
		case err == nil:
			dir = filepath.Dir(path)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if dir == "" {
		return nil
	}
	return syncDir(dir)
}

// ListVisible gives every file under features/.
func (d *Disk) ListVisible(ctx context.Context) ([]VisibleFile, error) {
	var files []VisibleFile
	err := filepath.WalkDir(filepath.Join(d.dir, FeaturesDir), func(path string, e fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.dir, path)
		if err != nil {
			return err
		}
		v := VisibleFile{Name: e.Name(), Bytes: info.Size(), Path: filepath.ToSlash(rel)}
		v.Family = FamilyOfPath(v.Path)
		files = append(files, v)
		return nil
	})
	return files, err
}

// FamilyOfPath gives the family whose file has the path, or "".
func FamilyOfPath(path string) string {
	rest, ok := strings.CutPrefix(path, FeaturesDir+"/"+FamilyPrefix)
	if !ok {
		return ""
	}
	escaped, name, ok := strings.Cut(rest, "/")
	if !ok || CheckFileName(name) != nil {
		return ""
	}
	id, err := UnescapeFamily(escaped)
	if err != nil {
		return ""
	}
	return id
}

// visible gives the path of a family's file.
func (d *Disk) visible(ctx context.Context, family, name string) (string, error) {
	if err := errors.Join(ctx.Err(), CheckFamily(family), CheckFileName(name)); err != nil {
		return "", err
	}
	return filepath.Join(d.dir, filepath.FromSlash(VisiblePath(family, name))), nil
}
