package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// partsStage decides on staged parts. It implements stage.Stage, so that the runner feeds
// it as it feeds every other stage.
type partsStage struct{ s *Service }

// Units implements stage.Stage.
func (p *partsStage) Units(m *stage.Message) ([]*commitlog.Staged, error) {
	staged, err := commitlog.DecodeStaged(m.Data)
	if err != nil {
		return nil, failure.Permanent(failure.BadMessage, "%w", err)
	}
	return []*commitlog.Staged{staged}, nil
}

// Letter implements stage.Stage.
func (p *partsStage) Letter(m *stage.Message, _ *commitlog.Staged) stage.Letter {
	return stage.Letter{Kind: stage.KindBatch, Data: m.Data, ContentType: "application/json", Count: 1}
}

// Do implements stage.Stage.
func (p *partsStage) Do(ctx context.Context, m *stage.Message, staged *commitlog.Staged, _ stage.Outputs) []stage.Verdict[*commitlog.Staged] {
	j := p.s.job(m.Run.ID)
	err := errNoLongerLeading
	if j != nil {
		err = j.decide(ctx, staged)
	}
	if err == nil {
		return nil
	}
	return []stage.Verdict[*commitlog.Staged]{{Rest: staged, Err: failure.RetryAfter(200*time.Millisecond, failure.Internal, "%w", err)}}
}

// decide appends the verdict on a part to the commit log, unless it stands there.
func (j *job) decide(ctx context.Context, staged *commitlog.Staged) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.restored {
		return errors.New("the run is being taken up")
	}
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	if j.commits.Rollbacks() != j.rolls {
		return errors.New("the broker's store was put back; the run is being opened again")
	}
	if err := j.stands(); err != nil {
		return err // another leader has committed cells that j.committed lacks
	}
	why, err := j.fencedOff(ctx)
	if err != nil {
		return err
	}
	if why != "" { // what is staged is gone, the part's files too
		j.restored = false
		return errors.New(why)
	}
	err = j.decideOnce(ctx, staged)
	if errors.Is(err, commits.ErrConflict) {
		j.restored = false
	}
	return err
}

func (j *job) decideOnce(ctx context.Context, staged *commitlog.Staged) error {
	var outcome commitlog.Outcome
	entry := &commitlog.Entry{Type: commitlog.Commit, Prev: j.last, Epoch: staged.Epoch, Part: staged.Part}
	void := ""
	j.commits.View(func(s *commitlog.State) {
		outcome, _ = s.Part(staged.Epoch, staged.Part)
		void = s.Check(entry)
	})
	switch {
	case outcome != "":
		return nil
	case void != "":
		entry.Type, entry.Reason = commitlog.Void, "the part cannot be committed: "+void
		return j.append(ctx, entry)
	}
	part, err := (&indexCache{store: j.store}).read(ctx, dataset.IndexName(staged.Epoch, staged.Part))
	if errors.Is(err, fs.ErrNotExist) {
		entry.Type, entry.Reason = commitlog.Void, fmt.Sprintf("its completion index is not in the dataset (%v); do writer and orchestrator see the same dataset (output.dir, or output.s3 with its endpoint)?", err)
		return j.append(ctx, entry)
	}
	if err != nil {
		return err
	}
	var families []string
	var rejected [][]uint64
	for i := range part.Families {
		f := &part.Families[i]
		if both := j.committed.Overlap(j.samples, part, f); both != nil {
			families, rejected = append(families, f.Family), append(rejected, both)
		}
	}
	if len(families) > 0 {
		entry.Type, entry.Reason = commitlog.Reject, "it holds cells that are committed already"
		entry.Rejected = commitlog.PackRejected(families, rejected, commitlog.MaxRejectedBytes)
		return j.append(ctx, entry)
	}
	entry.Files = commitlog.FilesOf(part)
	if err := j.append(ctx, entry); err != nil {
		return err
	}
	j.took(part)
	return nil
}

// took notes the cells of a part that was committed.
func (j *job) took(part *dataset.Part) {
	j.watch.heeded.committed(part)
	for i := range part.Families {
		f := &part.Families[i]
		j.committed.AddPart(j.samples, part, f)
		j.fromCache[commitlog.FileID{Family: f.Family, Name: f.File.Name}] = f.FromDynamoDB
		j.watch.files++
		j.watch.bytes += f.File.Bytes
		j.watch.committed += f.File.Rows
		j.watch.fromCache += f.FromDynamoDB
	}
}
