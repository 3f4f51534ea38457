package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/input"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// teardown takes down what the run has put up: what was warmed up, its consumers, its
// queues, its input, its commit log and its ownership of the dataset. Dead letters stay:
// they are replayed from where they are.
func (j *job) teardown(ctx context.Context) error {
	js := j.s.d.Client.JS
	for _, step := range []func() error{
		func() error { return j.copyHome(ctx) },
		func() error { return streams.CloseConsumers(ctx, js, j.rec.Run) },
		func() error { return streams.Purge(ctx, js, j.rec.Run) },
		func() error { return j.tearInput(ctx) },
		func() error {
			_, err := streams.PurgeSubject(ctx, js, streams.Commits, streams.CommitsSubject(j.rec.Run))
			return err
		},
		func() error { return j.disown(ctx) },
	} {
		// Another leader may have opened the run again meanwhile: what it has put up is not
		// ours to take down.
		if err := j.mine(ctx); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	if err := j.put(ctx, func(r *runs.Record) { r.Teardown = runs.TeardownDone }); err != nil {
		return err
	}
	j.forget() // what it kept in memory; its counts stay, for who asks
	j.watch.ledger, j.watch.failedCells, j.restored = nil, nil, false
	return nil
}

// copyHome copies the finished dataset from S3 to output.dir of this machine, if that is
// asked for. It comes with the teardown, when nothing can change the dataset any more; what
// fails, such as a full disk, is tried again and does not touch the dataset.
func (j *job) copyHome(ctx context.Context) error {
	if j.file == nil {
		if err := j.prepare(ctx); err != nil {
			return nil //nolint:nilerr // the run file cannot be used here, so nothing was made with it
		}
	}
	out := &j.file.Output
	if out.S3 == nil || !out.S3.LocalCopy {
		return nil
	}
	_, err := j.store.Get(ctx, dataset.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was stopped before there was a manifest
	}
	var disk *dataset.Disk
	if err == nil {
		disk, err = dataset.OpenDisk(dataset.RunDir(out.Dir, j.rec.Run))
	}
	if err == nil {
		err = dataset.Copy(ctx, j.store, disk)
	}
	if err != nil {
		return fmt.Errorf("output.s3.local_copy: %w", err)
	}
	j.log.Info().Str("to", disk.Dir()).Msg("the dataset was copied")
	return nil
}

// tearInput drops the input. Batches that came after it was sealed are dead letters by
// then; what comes from now on waits for the next opening.
func (j *job) tearInput(ctx context.Context) error {
	js := j.s.d.Client.JS
	subject := streams.Subject(stage.Ingest, j.rec.Run)
	newest, err := streams.LastSequence(ctx, js, streams.Ingest, subject)
	if err != nil || newest == 0 {
		return err
	}
	if j.rec.Input.Sealed && newest > j.rec.Input.LastSeq {
		if err := j.lateBatches(ctx, newest); err != nil {
			return err
		}
	}
	return streams.PurgeUpTo(ctx, js, streams.Ingest, subject, newest)
}

// lateBatches makes a dead letter of each batch that came after the seal and that ingest
// did not get to.
func (j *job) lateBatches(ctx context.Context, newest uint64) error {
	told := map[uint64]bool{}
	for l, err := range j.letters(ctx) {
		if err != nil {
			return err
		}
		if l.Code == string(failure.AfterSeal) {
			told[l.Origin] = true
		}
	}
	var failed error
	_, err := input.Read(ctx, j.s.d.Client, j.rec.Run, j.rec.Input.LastSeq+1, newest, func(m *stage.Message) {
		if failed == nil && !told[m.Sequence] {
			failed = j.s.d.Client.PublishLetter(ctx, &broker.Letter{
				Run: j.rec.Run, Stage: string(stage.Ingest), Kind: stage.KindBatch, Code: string(failure.AfterSeal),
				Reason: intake.LateReason, Subject: streams.Subject(stage.Ingest, j.rec.Run), Sequence: m.Sequence,
				Attempts: 1, Count: 1, Epoch: j.rec.Epoch, Service: "orchestrator." + j.s.d.Instance,
				ContentType: m.ContentType, Data: m.Data,
			}, func(string) {})
		}
	})
	return errors.Join(err, failed)
}

func (j *job) disown(ctx context.Context) error {
	if j.store == nil {
		if err := j.prepare(ctx); err != nil {
			return nil // the run file cannot be used here, so nothing was owned by us
		}
	}
	o, err := j.owner(ctx)
	if err != nil || o == nil || o.Broker != j.s.system {
		return err
	}
	return j.store.Remove(ctx, dataset.OwnerName)
}

// abandon gives up a run whose dataset another system has taken over: nothing of the
// dataset is touched any more.
func (j *job) abandon(ctx context.Context) error {
	j.log.Error().Msg("another system has taken the dataset over; this run ends here")
	js := j.s.d.Client.JS
	err := errors.Join(j.leaveJournal(ctx), streams.CloseConsumers(ctx, js, j.rec.Run), streams.Purge(ctx, js, j.rec.Run))
	if err != nil {
		return err
	}
	if _, err := streams.PurgeSubject(ctx, js, streams.Commits, streams.CommitsSubject(j.rec.Run)); err != nil {
		return err
	}
	return j.put(ctx, func(r *runs.Record) {
		r.State, r.Teardown = runs.Failed, runs.TeardownDone
		r.Reason = "another system has taken the dataset over; follow the run there"
	})
}
