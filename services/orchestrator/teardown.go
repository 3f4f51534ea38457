package orchestrator

import (
	"context"
	"errors"
	"strings"

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
// queues, its input, its commit log and, behind everything, its ownership of the dataset.
// Dead letters stay: they are replayed from where they are.
func (j *job) teardown(ctx context.Context) error {
	note := ""
	for _, step := range []func() error{
		func() error { return j.takeDown(ctx) },
		func() (err error) { note, err = j.copyHome(ctx); return err },
		func() error { return j.disown(ctx) },
	} {
		// Another leader may have opened the run again meanwhile: what it has put up is not
		// ours to take down.
		if err := j.mine(ctx); err != nil {
			j.endCopy()
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	err := j.put(ctx, func(r *runs.Record) {
		r.Teardown = runs.TeardownDone
		if note != "" {
			r.Reason = strings.TrimPrefix(r.Reason+"; "+note, "; ")
		}
	})
	if err != nil {
		return err
	}
	j.endCopy()
	j.forget() // what it kept in memory; its counts stay, for who asks
	j.watch.ledger, j.watch.failedCells, j.restored = nil, nil, false
	return nil
}

// takeDown is the part of teardown at the broker. The commit log goes only when the dataset
// was seen: before that, nothing else may know what is committed.
func (j *job) takeDown(ctx context.Context) error {
	if j.copy != nil {
		return nil // it is done
	}
	js := j.s.d.Client.JS
	for _, step := range []func() error{
		func() error { return streams.CloseConsumers(ctx, js, j.rec.Run) },
		func() error { return streams.Purge(ctx, js, j.rec.Run) },
		func() error { return j.tearInput(ctx) },
		func() error {
			if known, err := j.known(ctx); !known || err != nil {
				return err
			}
			if ours, err := j.ours(ctx); !ours && !errors.Is(err, errTakenOver) {
				return err
			}
			_, err := streams.PurgeSubject(ctx, js, streams.Commits, streams.CommitsSubject(j.rec.Run))
			return err
		},
	} {
		if err := j.mine(ctx); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// known opens the dataset if need be. It is not known where the run file cannot be used by
// this instance: then the dataset and its log stay as they are, for the next opening.
func (j *job) known(ctx context.Context) (bool, error) {
	if j.store != nil {
		return true, nil
	}
	err := j.prepare(ctx)
	if errors.Is(err, errRunFile) {
		j.log.Warn().Err(err).Msg("the run's dataset and commit log are left as they are")
		return false, nil
	}
	return err == nil, err
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
	if known, err := j.known(ctx); !known || err != nil {
		return err
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
