package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/service"
)

// liveFile is a file of the dataset with its columns.
type liveFile struct {
	file commitlog.File
	part *dataset.Part
	rows *dataset.FamilyPart
}

// settleTypes decides the columns and types of every family and writes anew the files that
// differ. It is also the place where small parts are compacted.
func (j *job) settleTypes(ctx context.Context) (map[string][]dataset.FinalColumn, error) {
	var files []commitlog.File
	j.commits.View(func(s *commitlog.State) { files = s.Files() })
	final := map[string][]dataset.FinalColumn{}
	indexes := indexCache{store: j.store}
	for start := 0; start < len(files); {
		end := start + 1
		for end < len(files) && files[end].Family == files[start].Family {
			end++
		}
		family := files[start].Family
		live, err := j.withColumns(ctx, &indexes, files[start:end])
		if err != nil {
			return nil, err
		}
		columns := make([][]dataset.Column, len(live))
		for i := range live {
			columns[i] = live[i].rows.File.Columns
		}
		f, ok := j.file.Family(family)
		if !ok {
			start = end // only possible where a file of the dataset is older than the run file
			continue
		}
		final[family] = dataset.Settle(f.Features, columns)
		if err := j.rewriteFamily(ctx, family, live, final[family]); err != nil {
			return nil, err
		}
		start = end
	}
	return final, nil
}

func (j *job) withColumns(ctx context.Context, indexes *indexCache, files []commitlog.File) ([]liveFile, error) {
	live := make([]liveFile, len(files))
	for i := range files {
		p, f, err := indexes.of(ctx, &files[i])
		if err != nil {
			return nil, err
		}
		live[i] = liveFile{file: files[i], part: p, rows: f}
	}
	return live, nil
}

// rewriteFamily writes the files of a family that differ from the final columns anew, and
// swaps all of them by one entry of the log.
func (j *job) rewriteFamily(ctx context.Context, family string, live []liveFile, final []dataset.FinalColumn) error {
	entry := &commitlog.Entry{Type: commitlog.Swap, Epoch: j.rec.Epoch, Family: family, Reason: "types settled"}
	for i := range live {
		if !dataset.NeedsRewrite(live[i].rows.File.Columns, final) {
			continue
		}
		f, err := j.rewriteFile(ctx, &live[i], final)
		if err != nil {
			return fmt.Errorf("family %s, file %s: settling its types: %w", family, live[i].file.Name, err)
		}
		entry.Remove = append(entry.Remove, live[i].file.Name)
		entry.Add = append(entry.Add, *f)
	}
	if len(entry.Remove) == 0 {
		return nil
	}
	if err := j.append(ctx, entry); err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	// What leaves goes first: a reader may find the family short for a moment, never a
	// cell twice.
	for _, name := range entry.Remove {
		if err := j.store.RemoveVisible(ctx, family, name); err != nil {
			return err
		}
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
	src, err := j.store.OpenVisible(ctx, old.file.Family, old.file.Name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	part := "s" + service.NewInstance()
	name := dataset.PartFile(j.rec.Epoch, part)
	staged, err := j.store.Stage(ctx, j.rec.Epoch, j.rec.Token, part, old.file.Family, name, func(w io.Writer) error {
		return dataset.Rewrite(ctx, src, src.Size(), final, w)
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
