package orchestrator

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// checksum is the checksum of small files of the dataset.
func checksum(data []byte) string { return fmt.Sprintf("%016x", xxh3.Hash(data)) }

// indexName gives the completion index of a visible file: the one of the part that its
// name tells.
func indexName(file string) (string, bool) {
	name, ok := strings.CutPrefix(file, "part-")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, ".parquet")
	if !ok {
		return "", false
	}
	_, _, err := dataset.ParseIndexName(name)
	return name, err == nil
}

// epochOf gives the epoch of a visible file, and whether it is named as ours are.
func epochOf(v dataset.VisibleFile) (epoch uint64, ours bool) {
	name, ok := indexName(v.Name)
	if !ok || v.Family == "" {
		return 0, false
	}
	epoch, _, err := dataset.ParseIndexName(name)
	return epoch, err == nil
}

// liveFiles gives the live files in order of their indexes, so that who goes through them
// reads each index once: a request each where the dataset is in S3.
func (j *job) liveFiles() (files []commitlog.File) {
	j.commits.View(func(s *commitlog.State) { files = s.Files() })
	sortByName(files)
	return files
}

func sortByName(files []commitlog.File) {
	slices.SortStableFunc(files, func(a, b commitlog.File) int { return strings.Compare(a.Name, b.Name) })
}

// indexCache keeps the indexes that were read last.
type indexCache struct {
	store   dataset.Store
	parts   map[string]*dataset.Part
	samples int // of the parts
}

// Bounds of what the cache keeps. An index alone may have more samples.
const (
	maxCachedIndexes = 16
	maxCachedSamples = 1_000_000
)

// read gives a completion index. A file that is not there or cannot be decoded matches
// fs.ErrNotExist: it proves nothing.
func (c *indexCache) read(ctx context.Context, name string) (*dataset.Part, error) {
	if p := c.parts[name]; p != nil {
		return p, nil
	}
	data, err := c.store.GetIndex(ctx, name)
	if err != nil {
		return nil, err
	}
	p, err := dataset.DecodePart(data)
	if err != nil {
		return nil, fmt.Errorf("completion index %s is damaged: %w: %w", name, err, fs.ErrNotExist)
	}
	if c.parts == nil || len(c.parts) >= maxCachedIndexes || c.samples+len(p.Keys) > maxCachedSamples {
		c.parts, c.samples = map[string]*dataset.Part{}, 0
	}
	c.parts[name], c.samples = p, c.samples+len(p.Keys)
	return p, nil
}

// of gives the index of a file and the file's family in it.
func (c *indexCache) of(ctx context.Context, file *commitlog.File) (*dataset.Part, *dataset.FamilyPart, error) {
	name, ok := indexName(file.Name)
	if !ok {
		return nil, nil, fmt.Errorf("file %s is named as none of ours: %w", file.Name, fs.ErrNotExist)
	}
	p, err := c.read(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	for i := range p.Families {
		if f := &p.Families[i]; f.Family == file.Family && f.File.Name == file.Name {
			return p, f, nil
		}
	}
	return nil, nil, fmt.Errorf("completion index %s does not name family %s: %w", name, file.Family, fs.ErrNotExist)
}
