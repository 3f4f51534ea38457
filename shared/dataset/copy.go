package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"
)

// copiesAtOnce is how many files Copy copies at the same time.
const copiesAtOnce = 8

// copyEpoch names the staging area of copies; epochs of runs begin with 1.
const copyEpoch = 0

// Copy makes a directory hold a finished dataset: the files that its manifest names, each
// checked by its checksum, and those beside features/. What is there already is not copied
// again; files of a family that the manifest does not name are removed. A reader finds
// _SUCCESS only when all of it is there. One that has no manifest is not finished:
// fs.ErrNotExist.
func Copy(ctx context.Context, from Store, to *Disk) error {
	data, err := from.Get(ctx, ManifestName)
	if err != nil {
		return err
	}
	m, err := DecodeManifest(data)
	if err != nil {
		return err
	}
	if err := to.Remove(ctx, SuccessName); err != nil {
		return err
	}
	if err := copyFiles(ctx, from, to, m); err != nil {
		return err
	}
	for _, name := range []string{FailuresName, SchemaName, ManifestName, SuccessName} {
		if err := copyMeta(ctx, from, to, name); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

func copyFiles(ctx context.Context, from Store, to *Disk, m *Manifest) error {
	named := make(map[string]bool, len(m.Files))
	for i := range m.Files {
		named[m.Files[i].Path] = true
	}
	there, err := to.ListVisible(ctx)
	if err != nil {
		return err
	}
	for _, v := range there {
		if v.Family == "" || named[v.Path] {
			continue
		}
		if err := to.RemoveVisible(ctx, v.Family, v.Name); err != nil {
			return err
		}
	}
	// Ended first: what an interrupted copy has staged is in the way.
	if err := errors.Join(to.EndEpoch(ctx, copyEpoch, m.Run), to.BeginEpoch(ctx, copyEpoch, m.Run)); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for i := range m.Files {
		f := &m.Files[i]
		g.Go(func() error {
			if err := copyFile(gctx, from, to, m.Run, f); err != nil {
				return fmt.Errorf("copy %s: %w", f.Path, err)
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), to.EndEpoch(context.WithoutCancel(ctx), copyEpoch, m.Run))
}

// copyFile copies a file unless it is there as the manifest says.
func copyFile(ctx context.Context, from Store, to *Disk, run string, f *ManifestFile) error {
	if there, err := to.OpenVisible(ctx, f.Family, f.Name); err == nil {
		sum, bytes, err := Checksum(ctx, readerOf(there))
		if err := errors.Join(err, there.Close()); err != nil {
			return err
		}
		if sum == f.Checksum && bytes == f.Bytes {
			return nil
		}
		if err := to.RemoveVisible(ctx, f.Family, f.Name); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	src, err := from.OpenVisible(ctx, f.Family, f.Name)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	const part = "copy"
	staged, err := to.Stage(ctx, copyEpoch, run, part, f.Family, f.Name, func(w io.Writer) error {
		_, err := io.Copy(w, readerOf(src))
		return err
	})
	if err != nil {
		return err
	}
	if staged.Checksum != f.Checksum || staged.Bytes != f.Bytes {
		return fmt.Errorf("it has %d bytes with checksum %s; the manifest says %d with %s", staged.Bytes, staged.Checksum, f.Bytes, f.Checksum)
	}
	return to.Reveal(ctx, copyEpoch, run, part, f.Family, f.Name, staged)
}

// copyMeta copies a file beside features/, or removes it where it is not there.
func copyMeta(ctx context.Context, from Store, to *Disk, name string) error {
	src, err := from.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return to.Remove(ctx, name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := to.PutWriter(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = dst.Close() }()
	if _, err := io.Copy(dst, readerOf(src)); err != nil {
		return err
	}
	return dst.Commit()
}
