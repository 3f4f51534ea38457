package s3store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// PutIndex writes a completion index.
func (s *Store) PutIndex(ctx context.Context, name string, data []byte) error {
	key, err := s.index(ctx, name)
	if err != nil {
		return err
	}
	epoch, _, err := dataset.ParseIndexName(name)
	if err != nil {
		return err
	}
	begun, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(begun, func(area string) bool {
		e, _, err := dataset.ParseStagingName(area)
		return err == nil && e == epoch
	}) {
		return fmt.Errorf("completion index %s: %w", name, dataset.ErrFenced)
	}
	return s.put(ctx, key, data, nil)
}

// GetIndex reads a completion index.
func (s *Store) GetIndex(ctx context.Context, name string) ([]byte, error) {
	key, err := s.index(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key)
}

// ListIndexes names the completion indexes.
func (s *Store) ListIndexes(ctx context.Context) ([]string, error) {
	return s.names(ctx, dataset.CommitsDir, func(name string) error {
		_, _, err := dataset.ParseIndexName(name)
		return err
	})
}

// RemoveIndex removes a completion index.
func (s *Store) RemoveIndex(ctx context.Context, name string) error {
	key, err := s.index(ctx, name)
	if err != nil {
		return err
	}
	return s.remove(ctx, key)
}

func (s *Store) index(ctx context.Context, name string) (key string, err error) {
	if err := errors.Join(ctx.Err(), dataset.CheckName("completion index", name)); err != nil {
		return "", err
	}
	return s.root + dataset.CommitsDir + "/" + name, nil
}

// StatVisible gives the size of a visible file.
func (s *Store) StatVisible(ctx context.Context, family, name string) (int64, error) {
	key, err := s.visible(ctx, family, name)
	if err != nil {
		return 0, err
	}
	return s.size(ctx, key)
}

// OpenVisible opens a visible file.
func (s *Store) OpenVisible(ctx context.Context, family, name string) (dataset.Blob, error) {
	key, err := s.visible(ctx, family, name)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

// RemoveVisible removes visible files.
func (s *Store) RemoveVisible(ctx context.Context, family string, names ...string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sweepers)
	for _, name := range names {
		key, err := s.visible(ctx, family, name)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error { return s.remove(gctx, key) })
	}
	return g.Wait()
}

// ListVisible gives every file under features/.
func (s *Store) ListVisible(ctx context.Context) ([]dataset.VisibleFile, error) {
	var files []dataset.VisibleFile
	for o, err := range s.list(ctx, dataset.FeaturesDir) {
		if err != nil {
			return nil, err
		}
		path := dataset.FeaturesDir + "/" + o.path
		files = append(files, dataset.VisibleFile{
			Family: dataset.FamilyOfPath(path), Name: path[strings.LastIndexByte(path, '/')+1:], Bytes: o.bytes, Path: path,
		})
	}
	return files, nil
}

// visible gives the key of a family's file.
func (s *Store) visible(ctx context.Context, family, name string) (key string, err error) {
	if err := errors.Join(ctx.Err(), dataset.CheckFamily(family), dataset.CheckFileName(name)); err != nil {
		return "", err
	}
	return s.root + dataset.VisiblePath(family, name), nil
}
