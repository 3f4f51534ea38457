package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// finalise seals the epoch, proves what was fetched and writes it up. It may be repeated
// from any point: each step looks at what is there.
func (j *job) finalise(ctx context.Context) error {
	defer j.living(ctx)()
	if err := j.mine(ctx); err != nil {
		return err
	}
	if why, err := j.stillOwned(ctx); err != nil {
		return err
	} else if why != "" {
		return j.reopen(ctx, why)
	}
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	if j.commits.Rollbacks() != j.rolls {
		return j.reopen(ctx, putBack)
	}
	// From a fresh reading: what this process remembers proves nothing.
	j.commits = commits.New(j.s.d.Client, j.rec.Run, j.base)
	j.rolls = 0
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	epoch := uint64(0)
	j.commits.View(func(s *commitlog.State) { epoch = s.Epoch })
	if epoch != j.rec.Epoch {
		return j.reopen(ctx, fmt.Sprintf("the run's record is at epoch %d, its commit log at %d", j.rec.Epoch, epoch))
	}
	if err := j.seal(ctx, string(j.rec.Outcome)); err != nil {
		return err
	}
	sealed := false
	j.commits.View(func(s *commitlog.State) { sealed = s.Sealed && s.Epoch == j.rec.Epoch })
	if !sealed { // the log was purged, or put back, while it was read
		j.restored = false
		return errMoved
	}
	if err := j.preempt(ctx); err != nil {
		return err
	}
	if err := j.removeSuccess(ctx, j.rec.Epoch+1); err != nil {
		return err // of an earlier try: what it says is to be proved again
	}
	if err := j.store.BeginEpoch(ctx, j.rec.Epoch, j.rec.Token); err != nil {
		return err // made anew: the last try may have removed it
	}
	if err := j.rollForward(ctx); err != nil {
		return err
	}
	j.watch.ledger, j.watch.failedCells = nil, nil // made of what is forgotten now: the proof has its own
	if err := j.load(ctx); err != nil {
		return err
	}
	proof, err := j.reconcile(ctx)
	if err != nil {
		return err
	}
	if j.rec.Outcome == "" && proof.missing.Count() > 0 && j.rec.Round < maxRounds {
		return j.repair(ctx, proof)
	}
	final, err := j.settleTypes(ctx)
	if err != nil {
		return err
	}
	if err := j.merge(ctx, final); err != nil {
		return err
	}
	return j.writeUp(ctx, proof, final)
}

// repair opens the next epoch, in which ingest sends again what is in no list.
func (j *job) repair(ctx context.Context, proof *reconciliation) error {
	j.log.Warn().Int64("cells", proof.missing.Count()).Int("round", j.rec.Round+1).Msg("cells are neither committed nor failed; they are sent again")
	return j.open(ctx, func(r *runs.Record) { r.Round++; r.SkipDone = true; r.State = runs.Draining })
}

// rollForward makes visible what is committed, removes what is visible and is not, and
// voids committed files that are lost.
func (j *job) rollForward(ctx context.Context) error {
	if err := j.sweepVisible(ctx); err != nil {
		return err
	}
	visible, err := j.store.ListVisible(ctx)
	if err != nil {
		return err
	}
	there := make(map[commitlog.FileID]int64, len(visible))
	for _, v := range visible {
		there[commitlog.FileID{Family: v.Family, Name: v.Name}] = v.Bytes
	}
	files, indexes := j.liveFiles(), indexCache{store: j.store}
	var hidden []commitlog.File
	for i := range files {
		if _, seen := there[files[i].ID()]; !seen {
			hidden = append(hidden, files[i])
		}
	}
	shown, err := j.ensureAllVisible(ctx, hidden, func(commitlog.File) []string { return []string{j.rec.Token} })
	if err != nil {
		return err
	}
	for i := range files {
		f := &files[i]
		bytes, seen := there[f.ID()]
		whole := seen && bytes == f.Bytes || shown[f.ID()]
		_, _, ierr := indexes.of(ctx, f)
		if ierr != nil && !errors.Is(ierr, fs.ErrNotExist) {
			return ierr
		}
		if whole && ierr == nil {
			continue
		}
		if err := j.voidFile(ctx, f, "the file is lost"); err != nil {
			return err
		}
	}
	return nil
}

// voidFile takes a committed file out of the dataset.
func (j *job) voidFile(ctx context.Context, f *commitlog.File, why string) error {
	j.log.Warn().Str("family", f.Family).Str("file", f.Name).Str("why", why).Msg("a committed file is lost; its cells are fetched again")
	entry := &commitlog.Entry{Type: commitlog.Void, Epoch: j.rec.Epoch, Family: f.Family, Remove: []string{f.Name}, Reason: why}
	if err := j.append(ctx, entry); err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	return j.store.RemoveVisible(ctx, f.Family, f.Name)
}

// sweepVisible removes visible files that do not belong to the dataset. The log is read
// after the files were listed, and must be the one that this job has worked on: a leader
// that was overtaken must not remove what its successor has committed.
func (j *job) sweepVisible(ctx context.Context) error {
	visible, err := j.store.ListVisible(ctx)
	if err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	for _, v := range visible {
		epoch, ours := epochOf(v)
		if !ours {
			continue // the proof of the dataset names it
		}
		sweep := false
		j.commits.View(func(s *commitlog.State) {
			sweep = s.Sweepable(commitlog.FileID{Family: v.Family, Name: v.Name}, epoch)
		})
		if !sweep {
			continue
		}
		j.log.Info().Str("file", v.Path).Msg("removing a file that no commit names")
		if err := j.store.RemoveVisible(ctx, v.Family, v.Name); err != nil {
			return err
		}
	}
	return nil
}

// writeUp writes the lists and the manifest, and ends the run.
func (j *job) writeUp(ctx context.Context, proof *reconciliation, final map[string][]dataset.FinalColumn) error {
	unaccounted := j.rec.Outcome == "" && proof.missing.Count() > 0
	outcome := proof.ended(j.rec)
	lost := proof.missing.Without()
	if err := j.leading(ctx); err != nil {
		return err
	}
	if err := j.writeRequestedList(ctx, proof); err != nil {
		return err
	}
	if err := j.writeFailures(ctx, proof, unaccounted); err != nil {
		return err
	}
	if outcome == runs.Completed && proof.badRecords > 0 { // carried over by a replay
		outcome = runs.CompletedWithFailures
	}
	now := time.Now().UTC()
	m, err := j.manifest(ctx, proof, lost, unaccounted, final, outcome, now)
	if err != nil {
		return err
	}
	data, err := dataset.EncodeManifest(m)
	if err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	// Before the manifest: what it names is durable by then.
	if err := j.store.EndEpoch(ctx, j.rec.Epoch, j.rec.Token); err != nil {
		return err
	}
	if err := j.store.Put(ctx, dataset.ManifestName, data); err != nil {
		return err
	}
	if err := j.store.Put(ctx, dataset.SchemaName, dataset.SchemaYAML(j.rec.Run, schemas(j.file, final))); err != nil {
		return err
	}
	// Once more, now that nobody can make a file of this epoch visible any more.
	if err := j.sweepVisible(ctx); err != nil {
		return err
	}
	if err := j.sweepIndexes(ctx); err != nil {
		return err
	}
	if outcome == runs.Completed {
		if err := j.leading(ctx); err != nil {
			return err
		}
		if err := j.store.Put(ctx, dataset.SuccessName, fmt.Appendf(nil, "%d\n", j.rec.Epoch)); err != nil {
			return err
		}
	}
	j.watch.requested, j.watch.failed = m.Cells.Requested, m.Cells.ByCode
	j.watch.bad, j.watch.records, j.watch.samples = m.Records.Failed, m.Records.Seen, int(m.Records.Samples)
	j.watch.countLive(j)
	return j.put(ctx, func(r *runs.Record) {
		r.State, r.Teardown, r.EndedAt = outcome, runs.TeardownPending, now
		if n := len(r.Epochs); n > 0 {
			r.Epochs[n-1].SealedAt = now
		}
	})
}

// sweepIndexes removes the completion indexes that no live file needs. The lists that the
// log's epochs started with stay as long as the log: whoever reads it needs them.
func (j *job) sweepIndexes(ctx context.Context) error {
	names, err := j.store.ListIndexes(ctx)
	if err != nil {
		return err
	}
	needed := map[string]bool{dataset.IndexName(j.rec.Epoch, requestedList): true}
	j.commits.View(func(s *commitlog.State) {
		for _, f := range s.Files() {
			if name, ok := indexName(f.Name); ok {
				needed[name] = true
			}
		}
		for _, n := range names {
			needed[n] = needed[n] || s.Base(n)
		}
	})
	for _, n := range names {
		epoch, _, err := dataset.ParseIndexName(n)
		if needed[n] || err != nil || epoch > j.rec.Epoch {
			continue
		}
		if err := j.store.RemoveIndex(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func schemas(file *runfile.File, final map[string][]dataset.FinalColumn) []dataset.FamilySchema {
	var all []dataset.FamilySchema
	for i := range file.Families {
		if cols, ok := final[file.Families[i].ID]; ok {
			all = append(all, dataset.FamilySchema{Family: file.Families[i].ID, Columns: cols})
		}
	}
	return all
}
