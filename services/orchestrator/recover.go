package orchestrator

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// recoverBase finds the files that belong to the dataset before an epoch begins, makes them
// all visible, and removes what is visible and does not belong.
//
// The log's live files belong. So do visible files that the log does not know: nothing is
// made visible before it is committed, so they were committed in a log that is lost, or
// that was put back to an earlier copy. Of those that overlap with the files before them
// nothing is kept: their cells are there already. What is visible comes first, and what has
// left the dataset goes before all, so that no cell is visible twice even for a moment.
func (j *job) recoverBase(ctx context.Context) ([]commitlog.File, error) {
	r := recovery{j: j, ctx: ctx, indexes: indexCache{store: j.store}, seen: map[commitlog.FileID]bool{}}
	j.forget()
	if err := r.staged(); err != nil {
		return nil, err
	}
	visible, err := j.store.ListVisible(ctx)
	if err != nil {
		return nil, err
	}
	var there, staged []commitlog.File // live ones
	var removed, strangers []dataset.VisibleFile
	j.commits.View(func(s *commitlog.State) {
		shown := map[commitlog.FileID]bool{}
		for _, v := range visible {
			id := commitlog.FileID{Family: v.Family, Name: v.Name}
			shown[id] = true
			switch {
			case s.Removed(id):
				removed = append(removed, v)
			case s.Stranger(id):
				strangers = append(strangers, v)
			}
		}
		for _, f := range s.Files() {
			if shown[f.ID()] {
				there = append(there, f)
			} else {
				staged = append(staged, f)
			}
		}
	})
	for _, v := range removed {
		if err := r.drop(v.Family, v.Name); err != nil {
			return nil, err
		}
	}
	if err := r.takeAll(there); err != nil {
		return nil, err
	}
	for _, v := range strangers {
		if err := r.adopt(v); err != nil {
			return nil, err
		}
	}
	if err := r.showAll(staged); err != nil {
		return nil, err
	}
	if err := r.takeAll(staged); err != nil {
		return nil, err
	}
	return r.files, nil
}

// recovery gathers the files of the base.
type recovery struct {
	j       *job
	ctx     context.Context
	indexes indexCache
	areas   map[uint64][]string // tokens of the staging areas of each epoch
	files   []commitlog.File
	seen    map[commitlog.FileID]bool
	lost    map[commitlog.FileID]bool // neither visible nor staged
}

// staged lists the staging areas, where committed files may still wait.
func (r *recovery) staged() error {
	dirs, err := r.j.store.ListStaging(r.ctx)
	if err != nil {
		return err
	}
	r.areas = map[uint64][]string{}
	for _, d := range dirs {
		if epoch, token, err := dataset.ParseStagingName(d); err == nil {
			r.areas[epoch] = append(r.areas[epoch], token)
		}
	}
	return nil
}

func (r *recovery) takeAll(files []commitlog.File) error {
	for i := range files {
		if err := r.take(&files[i]); err != nil {
			return err
		}
	}
	return nil
}

// showAll makes those of the staged files visible that take will take in: live files do not
// overlap with each other.
func (r *recovery) showAll(staged []commitlog.File) error {
	var free []commitlog.File
	for i := range staged {
		f := &staged[i]
		p, fp, err := r.indexes.of(r.ctx, f)
		if errors.Is(err, fs.ErrNotExist) || err == nil && r.j.committed.Overlap(r.j.samples, p, fp) != nil {
			continue
		}
		if err != nil {
			return err
		}
		if !r.seen[f.ID()] {
			free = append(free, *f)
		}
	}
	whole, err := r.j.ensureAllVisible(r.ctx, free, func(f commitlog.File) []string {
		epoch, _ := epochOf(dataset.VisibleFile{Family: f.Family, Name: f.Name})
		return r.areas[epoch]
	})
	if err != nil {
		return err
	}
	r.lost = map[commitlog.FileID]bool{}
	for _, f := range free {
		r.lost[f.ID()] = !whole[f.ID()]
	}
	return nil
}

// take makes a file part of the base if it is, or can be made, visible and whole. What is
// not comes to be missing, and is fetched again.
func (r *recovery) take(f *commitlog.File) error {
	if r.seen[f.ID()] {
		return nil
	}
	r.seen[f.ID()] = true
	p, fp, err := r.indexes.of(r.ctx, f)
	if errors.Is(err, fs.ErrNotExist) {
		r.j.log.Warn().Err(err).Str("file", f.Name).Str("family", f.Family).Msg("a file has no completion index; its cells are fetched again")
		return r.drop(f.Family, f.Name)
	}
	if err != nil {
		return err
	}
	if r.j.committed.Overlap(r.j.samples, p, fp) != nil {
		return r.drop(f.Family, f.Name)
	}
	if r.lost[f.ID()] {
		return r.drop(f.Family, f.Name)
	}
	whole, err := r.j.ensureVisible(r.ctx, f, r.areas[p.Epoch])
	if err != nil {
		return err
	}
	if !whole {
		return r.drop(f.Family, f.Name)
	}
	r.files = append(r.files, *f)
	r.j.committed.AddPart(r.j.samples, p, fp)
	r.j.fromCache[f.ID()] = fp.FromDynamoDB
	return nil
}

// drop removes a visible file that does not belong to the dataset, and takes back first
// that the dataset is complete.
func (r *recovery) drop(family, name string) error {
	// A successor may have swapped the file that this one overlaps with for this one.
	if err := r.j.leading(r.ctx); err != nil {
		return err
	}
	if err := r.j.store.Remove(r.ctx, dataset.SuccessName); err != nil {
		return err
	}
	return r.j.store.RemoveVisible(r.ctx, family, name)
}

// adopt takes in a visible file that the log does not know, and with it the other files of
// its part: they were committed together. Those of a merge were not: while the files that
// another one is merged from are visible, it must not become so.
func (r *recovery) adopt(v dataset.VisibleFile) error {
	name, ok := indexName(v.Name)
	if !ok || v.Family == "" {
		return nil // not one of ours; the proof at the end will name it
	}
	p, err := r.indexes.read(r.ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return r.drop(v.Family, v.Name)
	}
	if err != nil {
		return err
	}
	files := commitlog.FilesOf(p)
	i := slices.IndexFunc(files, func(f commitlog.File) bool { return f.Family == v.Family })
	if i < 0 {
		return r.drop(v.Family, v.Name)
	}
	if strings.HasPrefix(p.Name, mergedPart) {
		return r.take(&files[i])
	}
	for i := range files {
		if err := r.takeStaged(&files[i], p); err != nil {
			return err
		}
	}
	return nil
}

// takeStaged is take for a file whose commit is inferred from a sister's being visible.
// It may have been removed since, by a swap whose log is lost; then it is simply not there.
func (r *recovery) takeStaged(f *commitlog.File, p *dataset.Part) error {
	if r.seen[f.ID()] {
		return nil
	}
	_, err := r.j.store.StatVisible(r.ctx, f.Family, f.Name)
	if errors.Is(err, fs.ErrNotExist) && len(r.areas[p.Epoch]) == 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.take(f)
}

// revealsAtOnce is how many files are made visible at the same time. One that is lost takes
// some seconds in S3, where what is being completed shows late.
const revealsAtOnce = 64

// ensureAllVisible is ensureVisible for many files. It gives those that are whole.
func (j *job) ensureAllVisible(ctx context.Context, files []commitlog.File, tokens func(commitlog.File) []string) (map[commitlog.FileID]bool, error) {
	var mu sync.Mutex
	whole := make(map[commitlog.FileID]bool, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(revealsAtOnce)
	for i := range files {
		g.Go(func() error {
			ok, err := j.ensureVisible(ctx, &files[i], tokens(files[i]))
			mu.Lock()
			defer mu.Unlock()
			whole[files[i].ID()] = ok
			return err
		})
	}
	return whole, g.Wait()
}

// ensureVisible makes a committed file visible and tells whether it is there with its size.
func (j *job) ensureVisible(ctx context.Context, f *commitlog.File, tokens []string) (bool, error) {
	size, err := j.store.StatVisible(ctx, f.Family, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := j.reveal(ctx, f, tokens); err != nil {
			if errors.Is(err, dataset.ErrNotStaged) {
				return false, nil
			}
			return false, err
		}
		size, err = j.store.StatVisible(ctx, f.Family, f.Name)
	}
	if err != nil {
		return false, err
	}
	return size == f.Bytes, nil
}

func (j *job) reveal(ctx context.Context, f *commitlog.File, tokens []string) error {
	name, ok := indexName(f.Name)
	if !ok {
		return dataset.ErrNotStaged
	}
	epoch, part, err := dataset.ParseIndexName(name)
	if err != nil {
		return dataset.ErrNotStaged
	}
	staged := dataset.StagedFile{Bytes: f.Bytes, Checksum: f.Checksum, UploadID: f.UploadID}
	for _, token := range tokens {
		err := j.store.Reveal(ctx, epoch, token, part, f.Family, f.Name, staged)
		if !errors.Is(err, dataset.ErrNotStaged) {
			return err
		}
	}
	return dataset.ErrNotStaged
}
