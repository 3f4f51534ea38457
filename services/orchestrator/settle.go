package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/service"
)

// liveFile is a file of the dataset with its index.
type liveFile struct {
	file commitlog.File
	part *dataset.Part
	rows *dataset.FamilyPart
}

// settleTypes decides the columns and types of every family and writes anew the files that
// differ.
func (j *job) settleTypes(ctx context.Context) (map[string][]dataset.FinalColumn, error) {
	var files []commitlog.File
	j.commits.View(func(s *commitlog.State) { files = s.Files() })
	columns, err := j.columns(ctx)
	if err != nil {
		return nil, err
	}
	final := map[string][]dataset.FinalColumn{}
	for start := 0; start < len(files); {
		family, end := files[start].Family, start
		var all [][]dataset.Column
		for ; end < len(files) && files[end].Family == family; end++ {
			all = append(all, columns[files[end].ID()])
		}
		if f, ok := j.file.Family(family); ok { // else the file of the dataset is older than the run file
			final[family] = dataset.Settle(f.Features, all)
			if err := j.rewriteFamily(ctx, family, files[start:end], all, final[family]); err != nil {
				return nil, err
			}
		}
		start = end
	}
	return final, nil
}

// columns gives the columns of every live file. Those of a family are mostly the same, and are
// held once then.
func (j *job) columns(ctx context.Context) (map[commitlog.FileID][]dataset.Column, error) {
	files, indexes := j.liveFiles(), indexCache{store: j.store}
	all, last := make(map[commitlog.FileID][]dataset.Column, len(files)), map[string][]dataset.Column{}
	for i := range files {
		_, f, err := indexes.of(ctx, &files[i])
		if err != nil {
			return nil, err
		}
		if !slices.Equal(last[f.Family], f.File.Columns) {
			last[f.Family] = f.File.Columns
		}
		all[files[i].ID()] = last[f.Family]
	}
	return all, nil
}

// rewriteFamily writes the files of a family that differ from the final columns anew, and
// swaps them, so many at a time as one entry of the log may name. Who stops between two
// entries leaves a family of both old and new files, each cell once, without _SUCCESS; who
// goes on settles the same types, for the new files have them, and swaps the rest.
func (j *job) rewriteFamily(ctx context.Context, family string, files []commitlog.File, columns [][]dataset.Column, final []dataset.FinalColumn) error {
	var differ []commitlog.File
	for i := range files {
		if dataset.NeedsRewrite(columns[i], final) {
			differ = append(differ, files[i])
		}
	}
	indexes := indexCache{store: j.store}
	for some := range slices.Chunk(differ, j.s.swapFiles) {
		entry := &commitlog.Entry{Type: commitlog.Swap, Epoch: j.rec.Epoch, Family: family, Reason: "types settled"}
		for i := range some {
			p, rows, err := indexes.of(ctx, &some[i])
			if err != nil {
				return err
			}
			f, err := j.rewriteFile(ctx, &liveFile{file: some[i], part: p, rows: rows}, final)
			if errors.Is(err, errDamaged) {
				return j.voidDamaged(ctx)
			}
			if err != nil {
				return fmt.Errorf("family %s, file %s: settling its types: %w", family, some[i].Name, err)
			}
			entry.Remove = append(entry.Remove, some[i].Name)
			entry.Add = append(entry.Add, *f)
		}
		if err := j.swap(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// swap appends an entry that swaps files, and makes the dataset follow it.
func (j *job) swap(ctx context.Context, entry *commitlog.Entry) error {
	if err := j.append(ctx, entry); err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	// What leaves goes first: a reader may find the family short for a moment, never a
	// cell twice.
	if err := j.store.RemoveVisible(ctx, entry.Family, entry.Remove...); err != nil {
		return err
	}
	for i := range entry.Add {
		if err := j.reveal(ctx, &entry.Add[i], []string{j.rec.Token}); err != nil {
			return err
		}
	}
	return nil
}

// rewriteFile stages a file with the final columns, and a completion index of its own.
func (j *job) rewriteFile(ctx context.Context, old *liveFile, final []dataset.FinalColumn) (*commitlog.File, error) {
	src, err := j.openIntact(ctx, &old.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	part := "s" + service.NewInstance()
	name := dataset.PartFile(j.rec.Epoch, part)
	staged, err := j.store.Stage(ctx, j.rec.Epoch, j.rec.Token, part, old.file.Family, name, func(w io.Writer) error {
		return dataset.Rewrite(ctx, dataset.Source{Data: src, Size: src.Size()}, final, w)
	})
	if err != nil {
		return nil, err
	}
	p := &dataset.Part{Run: j.rec.Run, Epoch: j.rec.Epoch, Name: part, Keys: old.part.Keys, Families: []dataset.FamilyPart{{
		Family: old.file.Family, Rows: old.rows.Rows, FromDynamoDB: old.rows.FromDynamoDB,
		File: dataset.File{Name: name, Rows: old.file.Rows, Bytes: staged.Bytes, Checksum: staged.Checksum, UploadID: staged.UploadID, Columns: final},
	}}}
	if err := j.store.PutIndex(ctx, dataset.IndexName(j.rec.Epoch, part), dataset.EncodePart(p)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &commitlog.FilesOf(p)[0], nil
}
