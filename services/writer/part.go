package writer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// write stages a part and sees it committed. It goes on until the commit log has decided
// on every cell, or nobody waits for them.
func (s *Stage) write(o *ongoing, a *assembly) error {
	place, err := s.placeOf(a.ctx, o)
	if err != nil {
		return err
	}
	families := slices.Sorted(maps.Keys(a.picks))
	for chunk := range slices.Chunk(families, commitlog.MaxStagedFiles) {
		picks := make(map[string][]pick, len(chunk))
		for _, f := range chunk {
			picks[f] = a.picks[f]
		}
		if err := s.writePart(o, a, place, picks); err != nil {
			return err
		}
	}
	return nil
}

// writePart stages and commits the picks; what turns out to be committed already is left
// out of the next try.
func (s *Stage) writePart(o *ongoing, a *assembly, place *Place, picks map[string][]pick) error {
	for len(picks) > 0 {
		part, err := s.stageUntil(o, a, place, picks)
		if err != nil {
			return err
		}
		outcome, entry, err := s.committer.Commit(a.ctx, a.run, &commitlog.Staged{Epoch: part.Epoch, Part: part.Name, Files: commitlog.FilesOf(part)})
		if err != nil {
			return err
		}
		switch outcome {
		case commitlog.Committed:
			s.reveal(a, place, part)
			return nil
		case commitlog.Rejected:
			if picks, err = a.without(picks, part, entry); err != nil {
				return err
			}
		default:
			return fmt.Errorf("part %s was voided: %s", part.Name, entry.Reason)
		}
	}
	return nil
}

// stageUntil stages a part, again and again while the disk refuses. Between two tries it
// holds nothing but the messages: the part is encoded anew each time.
func (s *Stage) stageUntil(o *ongoing, a *assembly, place *Place, picks map[string][]pick) (*dataset.Part, error) {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		part, err := s.stageOnce(o, a, place, picks)
		if err == nil {
			return part, nil
		}
		if errors.Is(err, dataset.ErrFenced) || a.ctx.Err() != nil {
			return nil, err
		}
		s.log.Error().Err(err).Str("run", a.run.ID).Msg("a part cannot be staged; trying again")
		select {
		case <-a.ctx.Done():
			return nil, a.ctx.Err()
		case <-time.After(wait):
		}
	}
}

// stageOnce stages a part when it is its turn among those of its run. Runs do not wait for
// each other here: one's destination may be dead, another's slow.
func (s *Stage) stageOnce(o *ongoing, a *assembly, place *Place, picks map[string][]pick) (*dataset.Part, error) {
	if err := o.staging.Acquire(a.ctx, 1); err != nil {
		return nil, err
	}
	defer o.staging.Release(1)
	return s.stage(o, a, place, picks, s.partName())
}

// stage writes the files and the completion index of a part.
func (s *Stage) stage(o *ongoing, a *assembly, place *Place, picks map[string][]pick, name string) (*dataset.Part, error) {
	part := &dataset.Part{Run: a.run.ID, Epoch: a.run.Epoch, Name: name, Keys: a.samples.Keys()}
	families := slices.Sorted(maps.Keys(picks))
	part.Families = make([]dataset.FamilyPart, len(families))
	g, ctx := errgroup.WithContext(a.ctx)
	g.SetLimit(max(place.FilesAtOnce, 1))
	for i, family := range families {
		g.Go(func() error {
			f, err := s.stageFamily(ctx, o, a, place, name, family, picks[family])
			part.Families[i] = f
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	err := place.Store.PutIndex(a.ctx, dataset.IndexName(a.run.Epoch, name), dataset.EncodePart(part))
	if err != nil {
		return nil, err
	}
	return part, nil
}

func (s *Stage) stageFamily(ctx context.Context, o *ongoing, a *assembly, place *Place, part, family string, picks []pick) (dataset.FamilyPart, error) {
	f := dataset.FamilyPart{Family: family, Rows: dataset.NewBitmap(a.samples.Len())}
	declared, _ := a.run.File.Family(family)
	rows := &dataset.FamilyRows{Run: a.run.ID}
	for _, k := range picks {
		rows.Add(k.message, k.block, k.rows)
		for _, n := range k.sample {
			f.Rows.Add(int(n))
		}
	}
	f.FromDynamoDB = rows.FromDynamoDB()
	known := s.knownColumns(o, family)
	memory := rows.EncodingBytes(len(known))
	memory = min(memory+min(2*memory, place.UploadBytes), s.bounds.EncodeBytes) // what is sent is held once, and once more by the client
	if err := s.encoding.Take(ctx, a.run.ID, memory); err != nil {
		return f, err
	}
	defer s.encoding.Give(a.run.ID, memory)
	f.File.Name = dataset.PartFile(a.run.Epoch, part)
	file, err := place.Store.Stage(ctx, a.run.Epoch, place.Token, part, family, f.File.Name, func(w io.Writer) error {
		var err error
		f.File.Columns, f.Stats, err = dataset.WriteFamily(w, *declared, rows, known)
		return err
	})
	if err != nil {
		return f, err
	}
	s.setKnownColumns(o, family, f.File.Columns)
	f.File.Rows = int64(rows.Len())
	f.File.Bytes, f.File.Checksum, f.File.UploadID = file.Bytes, file.Checksum, file.UploadID
	return f, nil
}

// placeOf gives where the parts of a run are staged.
func (s *Stage) placeOf(ctx context.Context, o *ongoing) (*Place, error) {
	s.mu.Lock()
	p := o.place
	s.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := s.open(ctx, o.run)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.place = p
	return p, nil
}

// knownColumns gives the columns that files of a family have had so far, so that the next
// ones agree with them.
func (s *Stage) knownColumns(o *ongoing, family string) []dataset.Column {
	s.mu.Lock()
	defer s.mu.Unlock()
	return o.known[family]
}

func (s *Stage) setKnownColumns(o *ongoing, family string, columns []dataset.Column) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.known[family] = columns
}

// reveal makes the committed files visible. Failing to do so loses nothing: the
// orchestrator does it too.
func (s *Stage) reveal(a *assembly, place *Place, p *dataset.Part) {
	g, ctx := errgroup.WithContext(a.ctx)
	g.SetLimit(max(place.FilesAtOnce, 1))
	for i := range p.Families {
		f := &p.Families[i]
		g.Go(func() error {
			return place.Store.Reveal(ctx, p.Epoch, place.Token, p.Name, f.Family, f.File.Name,
				dataset.StagedFile{Bytes: f.File.Bytes, Checksum: f.File.Checksum, UploadID: f.File.UploadID})
		})
	}
	if err := g.Wait(); err != nil {
		s.log.Warn().Err(err).Str("run", a.run.ID).Str("part", p.Name).Msg("committed files are not visible yet; the orchestrator will see to it")
	}
}
