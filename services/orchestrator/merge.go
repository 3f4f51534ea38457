package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/service"
)

// mergesAtOnce is how many families' files are written at the same time: while one is synced,
// or uploaded, the other goes on.
const mergesAtOnce = 2

// Memory of each: a row group's files are held whole, compressed, and of each that is open
// what its footer says of the columns.
const (
	mergedGroupBytes  = 32 << 20
	openedColumnBytes = 1536
)

// readsAtOnce is how many files are read at the same time.
const readsAtOnce = 16

// mergedPart begins the names of parts that were merged.
const mergedPart = "merged-"

// errHurry says that somebody waits for the run's end.
var errHurry = errors.New("the run is to end")

// merge writes the small files of the dataset anew as larger ones, under the protocol by
// which types are settled: the new files are staged, and one entry of the log swaps a
// family's. It is for readers, and may fail: the dataset is as good without it. Of a run that
// was stopped nothing is merged, since somebody waits for its end.
func (j *job) merge(ctx context.Context, final map[string][]dataset.FinalColumn) error {
	if j.rec.Outcome != "" || j.file.Output.FileBytes == 0 {
		return nil
	}
	files := slices.DeleteFunc(j.liveFiles(), func(f commitlog.File) bool { return final[f.Family] == nil })
	groups := planMerges(files, j.file.Output.FileBytes, j.s.leastMerged)
	if len(groups) == 0 {
		return nil
	}
	select { // runs merge one after the other, each in the same memory
	case j.s.merging <- struct{}{}:
		defer func() { <-j.s.merging }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	merged, made, begun := 0, 0, time.Now()
	written := j.tellOfMerge(groups)
	defer j.atWork.Store(nil)
	for i := range groups {
		m := merging{j: j, group: groups[i], part: mergedPart + service.NewInstance(), final: final, written: written}
		why, err := m.run(ctx)
		if err != nil {
			return err
		}
		if why != nil {
			j.log.Warn().Err(why).Int("groups", len(groups)-i).Msg("small files could not be merged; they stay as they are")
			return nil
		}
		for _, files := range groups[i] {
			merged, made = merged+len(files), made+1
		}
	}
	j.log.Info().Int("files", merged).Int("to", made).Str("target", humanize.Bytes(uint64(j.file.Output.FileBytes))).Dur("took", time.Since(begun)).Msg("small files were merged")
	return nil
}

// tellOfMerge has the run's status say how far the merge is: that of a large run takes
// minutes. What it gives is called after each file.
func (j *job) tellOfMerge(groups []mergeGroup) (written func()) {
	var mu sync.Mutex
	done, all := -1, 0
	for _, g := range groups {
		all += len(g)
	}
	written = func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		text := fmt.Sprintf("merging small files: %d of %d are written", done, all)
		j.atWork.Store(&text)
	}
	written()
	return written
}

// merging is the merge of a group.
type merging struct {
	j       *job
	group   mergeGroup
	part    string
	final   map[string][]dataset.FinalColumn
	written func() // is called after each file
}

// run merges the group's files. why tells what kept it from it, and then nothing has changed;
// err what keeps the finaliser from going on.
func (m *merging) run(ctx context.Context) (why, err error) {
	j := m.j
	p, why := m.stage(ctx)
	if why != nil {
		if ctx.Err() != nil || errors.Is(why, dataset.ErrFenced) {
			return nil, why
		}
		if uerr := j.store.Unstage(ctx, j.rec.Epoch, j.rec.Token, m.part); uerr != nil {
			j.log.Warn().Err(uerr).Msg("what was staged for a merge stays until the epoch ends")
		}
		if errors.Is(why, errDamaged) {
			return nil, j.voidDamaged(ctx)
		}
		return why, nil
	}
	for _, f := range commitlog.FilesOf(p) {
		entry := &commitlog.Entry{Type: commitlog.Swap, Epoch: j.rec.Epoch, Family: f.Family, Add: []commitlog.File{f}, Reason: "small files merged"}
		for _, old := range m.group[f.Family] {
			entry.Remove = append(entry.Remove, old.Name)
		}
		if err := j.swap(ctx, entry); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// stage stages the files, and the completion index of all of them.
func (m *merging) stage(ctx context.Context) (*dataset.Part, error) {
	j, families := m.j, m.group.families()
	p := &dataset.Part{Run: j.rec.Run, Epoch: j.rec.Epoch, Name: m.part, Families: make([]dataset.FamilyPart, len(families))}
	next := make(chan int, len(families))
	for i := range families {
		next <- i
	}
	close(next)
	g, gctx := errgroup.WithContext(ctx)
	for range m.group.atOnce(j.s.mergesAtOnce) {
		g.Go(func() error {
			r := groupReader{j: j}
			for i := range next {
				if j.hurried.Load() {
					return errHurry
				}
				f, err := m.family(gctx, families[i], &r)
				if err != nil {
					return fmt.Errorf("family %s: %w", families[i], err)
				}
				p.Families[i] = *f
				m.written()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil { // the readers' memory is free: the index takes as much
		return nil, err
	}
	if err := m.rows(ctx, p); err != nil {
		return nil, err
	}
	err := j.store.PutIndex(ctx, dataset.IndexName(p.Epoch, p.Name), dataset.EncodePart(p))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return p, nil
}

// family stages the merged file of a family.
func (m *merging) family(ctx context.Context, family string, r *groupReader) (*dataset.FamilyPart, error) {
	j, name := m.j, dataset.PartFile(m.j.rec.Epoch, m.part)
	staged, err := j.store.Stage(ctx, j.rec.Epoch, j.rec.Token, m.part, family, name, func(w io.Writer) error {
		return dataset.Merge(ctx, r.rowGroups(ctx, m.group[family], len(m.final[family])), m.final[family], w)
	})
	if err != nil {
		return nil, err
	}
	f := &dataset.FamilyPart{Family: family, File: dataset.File{
		Name: name, Bytes: staged.Bytes, Checksum: staged.Checksum, UploadID: staged.UploadID, Columns: m.final[family],
	}}
	for _, old := range m.group[family] {
		f.File.Rows += old.Rows
	}
	return f, nil
}

// rows gathers from the indexes of the files that are merged which cells the new ones hold.
// What it takes for each sample is what the ledger took before the proof was made.
func (m *merging) rows(ctx context.Context, p *dataset.Part) error {
	samples, cells, indexes := completion.NewSamples(), completion.NewCells(), indexCache{store: m.j.store}
	var files []commitlog.File
	of := make(map[string]*dataset.FamilyPart, len(p.Families))
	for i := range p.Families {
		f := &p.Families[i]
		of[f.Family] = f
		files = append(files, m.group[f.Family]...)
	}
	sortByName(files)
	for i := range files {
		part, f, err := indexes.of(ctx, &files[i])
		if err != nil {
			return err
		}
		cells.AddPart(samples, part, f)
		of[f.Family].FromDynamoDB += f.FromDynamoDB
	}
	p.Keys = samples.Keys()
	for i := range p.Families {
		f := &p.Families[i]
		f.Rows = dataset.NewBitmap(len(p.Keys))
		copy(f.Rows, cells.Bitmap(f.Family))
		if n := int64(f.Rows.Count()); n != f.File.Rows {
			return fmt.Errorf("family %s: its files have %d rows, their completion indexes %d cells", f.Family, f.File.Rows, n)
		}
	}
	return nil
}

// groupReader reads files whole, in memory that it uses again.
type groupReader struct {
	j    *job
	data []byte
}

// rowGroups reads files, so many at a time as become a row group. They are valid until the
// next are read.
func (r *groupReader) rowGroups(ctx context.Context, files []commitlog.File, columns int) iter.Seq2[[]dataset.Source, error] {
	return func(yield func([]dataset.Source, error) bool) {
		for len(files) > 0 {
			n, rows, size, held := 0, int64(0), int64(0), int64(0)
			for ; n < len(files); n++ {
				f := &files[n]
				rows, held = rows+f.Rows, held+f.Bytes+int64(columns)*openedColumnBytes
				if n > 0 && (rows > dataset.MergedGroupRows || held > mergedGroupBytes) {
					break
				}
				size += f.Bytes
			}
			sources, err := r.read(ctx, files[:n], size)
			if !yield(sources, err) || err != nil {
				return
			}
			files = files[n:]
		}
	}
}

// read reads files whole, that have so many bytes together, and checks what was read.
func (r *groupReader) read(ctx context.Context, files []commitlog.File, total int64) ([]dataset.Source, error) {
	if int64(len(r.data)) < total {
		more := max(total, min(2*int64(len(r.data)), mergedGroupBytes)) // so that it seldom grows
		r.data = nil
		r.data = make([]byte, more)
	}
	sources, at := make([]dataset.Source, len(files)), int64(0)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readsAtOnce)
	for i := range files {
		f := &files[i]
		data := r.data[at : at+f.Bytes : at+f.Bytes]
		sources[i], at = dataset.Source{Data: bytes.NewReader(data), Size: f.Bytes}, at+f.Bytes
		g.Go(func() error { return r.readFile(ctx, f, data) })
	}
	return sources, g.Wait()
}

func (r *groupReader) readFile(ctx context.Context, f *commitlog.File, data []byte) error {
	blob, err := r.j.openCommitted(ctx, f)
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }()
	if n, err := blob.ReadAt(data, 0); n < len(data) {
		return err
	}
	if dataset.Sum(data) != f.Checksum {
		return damaged(f)
	}
	return nil
}
