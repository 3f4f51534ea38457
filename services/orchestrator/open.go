package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/streams"
)

// reopen opens the next epoch of a run that goes on: what is missing is sent again.
// A run that was being stopped stays so.
func (j *job) reopen(ctx context.Context, why string) error {
	j.log.Info().Str("why", why).Msg("opening the next epoch")
	outcome, reason, warming := j.rec.Outcome, j.rec.Reason, j.rec.State == runs.WarmingUp
	return j.open(ctx, func(r *runs.Record) {
		switch {
		case outcome != "":
			r.State, r.Outcome, r.Reason = runs.Finalising, outcome, reason
		case warming:
			r.State = runs.WarmingUp
		case r.Input.Sealed:
			r.State = runs.Draining
		}
	})
}

// relog begins the commit log anew, when what it says can no longer be told: the visible
// files and their indexes say what is committed, as after the loss of the broker's store.
// Most often another system has the dataset now, and has swept what it did not know.
//
// A dataset that does not say that it is ours may be another place than the one the log
// speaks of, such as a bucket of the same name at another endpoint. The run ends then, and
// the log stays.
func (j *job) relog(ctx context.Context, why error) error {
	j.restored = false
	if err := j.mine(ctx); err != nil {
		return err
	}
	ours, err := j.ours(ctx)
	if err != nil {
		return err
	}
	if !ours {
		return j.fail(ctx, j.notOurs(why))
	}
	if err := j.purgeLog(ctx, why); err != nil {
		return err
	}
	return j.reopen(ctx, why.Error())
}

// legible makes sure, before a run is opened, that its log can be understood or may go:
// because the dataset is ours, or because who opens it takes it over.
func (j *job) legible(ctx context.Context, takeOver bool) error {
	why := j.commits.CatchUp(ctx)
	if !errors.Is(why, commits.ErrBase) {
		return why
	}
	if !takeOver {
		ours, err := j.ours(ctx)
		if err != nil {
			return err
		}
		if !ours {
			return control.Errorf(control.CodeOwned, "%v", j.notOurs(why))
		}
	}
	return j.purgeLog(ctx, why)
}

func (j *job) notOurs(why error) error {
	return fmt.Errorf("the commit log cannot be understood with what is at %s (%w), and nothing there says that it is the dataset of this run; is it the right output.dir or bucket, and AWS_ENDPOINT_URL_S3, for this orchestrator? The log is left as it is; if the dataset is lost, run again with --take-over", j.rec.Dataset, why)
}

func (j *job) purgeLog(ctx context.Context, why error) error {
	j.log.Error().Err(why).Msg("the commit log cannot be understood any more; it is begun anew from the dataset")
	_, err := streams.PurgeSubject(ctx, j.s.d.Client.JS, streams.Commits, streams.CommitsSubject(j.rec.Run))
	return err
}

const putBack = "the broker's store was put back to an earlier state"

// open opens an epoch above every epoch that the log or the dataset knows. change is
// applied to the run's record as the epoch begins.
func (j *job) open(ctx context.Context, change func(*runs.Record)) error {
	defer j.living(ctx)()
	j.restored = false
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	if err := j.mine(ctx); err != nil {
		return err
	}
	if err := j.seal(ctx, "the next epoch is opened"); err != nil {
		return err
	}
	if err := j.preempt(ctx); err != nil {
		return err
	}
	if err := streams.Purge(ctx, j.s.d.Client.JS, j.rec.Run); err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	base, err := j.recoverBase(ctx)
	if err != nil {
		return err
	}
	epoch, err := j.nextEpoch(ctx)
	if err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	if err := j.hold(ctx, epoch); err != nil {
		return err
	}
	if err := j.begin(ctx, epoch, base); err != nil {
		return err
	}
	if err := j.fence(ctx, epoch); err != nil {
		return err
	}
	j.rolls = j.commits.Rollbacks()
	first := j.rec.Epoch == 0
	if first {
		if err := j.rewind(ctx, epoch); err != nil {
			return err
		}
	}
	if err := streams.OpenConsumers(ctx, j.s.d.Client.JS, j.rec.Run, j.s.cfg.AckWait); err != nil {
		return err
	}
	j.order = nil
	now := time.Now().UTC()
	err = j.put(ctx, func(r *runs.Record) {
		r.Epoch, r.Token, r.State, r.Outcome, r.Reason, r.Teardown = epoch, j.s.system, runs.Running, "", "", ""
		r.SkipDone = len(base) > 0 || r.Round > 0
		r.EndedAt = time.Time{}
		r.Epochs = append(slices.Clone(r.Epochs), runs.Epoch{Epoch: epoch, Hash: r.Hash, OpenedAt: now})
		change(r)
	})
	if err != nil {
		return err
	}
	// Only now, when no instance adopts the old epoch any more: one that did could ack
	// batches that the new epoch has to see.
	if !first {
		if err := j.leading(ctx); err != nil {
			return err
		}
		if err := j.rewind(ctx, epoch); err != nil {
			return err
		}
	}
	j.restored = true
	j.watch.reset(j)
	j.watch.countLive(j)
	return nil
}

// rewind has the input read from its start in an epoch.
func (j *job) rewind(ctx context.Context, epoch uint64) error {
	return streams.Rewind(ctx, j.s.d.Client.JS, j.rec.Run, epoch, j.s.cfg.AckWait)
}

// rewound makes sure that the input is read in the run's epoch: who opened it may have been
// killed, or had no answer, before the ingest's consumer was made for it.
func (j *job) rewound(ctx context.Context) error {
	if j.rec.State == runs.Finalising {
		return nil
	}
	epoch, readable, err := streams.InputEpoch(ctx, j.s.d.Client.JS, j.rec.Run)
	if err != nil {
		return err
	}
	if readable && (epoch == 0 || epoch >= j.rec.Epoch) { // 0: made by an older version
		return nil
	}
	j.log.Warn().Msg("the input is read from its start: who opened the epoch did not get so far")
	return j.rewind(ctx, j.rec.Epoch)
}

// fence ends what was before the epoch: the word that the dataset is complete, the staging
// areas, and then, now that nobody can make a file of an ended epoch visible any more and
// before anybody commits in this one, what is visible and does not belong.
func (j *job) fence(ctx context.Context, epoch uint64) error {
	if err := j.removeSuccess(ctx, epoch); err != nil {
		return err
	}
	if err := j.leading(ctx); err != nil {
		return err
	}
	if err := j.sweepStaging(ctx, epoch); err != nil {
		return err
	}
	return j.sweepVisible(ctx)
}

// removeSuccess takes back that the dataset is complete, unless a later epoch says so: then
// this leader was overtaken.
func (j *job) removeSuccess(ctx context.Context, epoch uint64) error {
	data, err := j.store.Get(ctx, dataset.SuccessName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if said, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil && said >= epoch {
		return nil
	}
	return j.store.Remove(ctx, dataset.SuccessName)
}

// seal ends the open epoch, if one is open: from here on nothing commits.
func (j *job) seal(ctx context.Context, reason string) error {
	for {
		j.note()
		opened := false
		entry := &commitlog.Entry{Type: commitlog.Seal, Reason: reason}
		j.commits.View(func(s *commitlog.State) { opened, entry.Epoch = s.Opened(), s.Epoch })
		if !opened {
			return nil
		}
		err := j.append(ctx, entry)
		if !errors.Is(err, commits.ErrConflict) {
			return err
		}
	}
}

// nextEpoch gives an epoch above all that the record, the log, the manifest, the owner and
// the names in the dataset know: each of them alone may have been put back.
func (j *job) nextEpoch(ctx context.Context) (uint64, error) {
	epoch := j.rec.Epoch
	j.commits.View(func(s *commitlog.State) { epoch = max(epoch, s.Epoch) })
	if data, err := j.store.Get(ctx, dataset.ManifestName); err == nil {
		if m, err := dataset.DecodeManifest(data); err == nil {
			for _, e := range m.Epochs {
				epoch = max(epoch, e.Epoch)
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if o, err := j.owner(ctx); err == nil && o != nil {
		epoch = max(epoch, o.Epoch)
	} else if err != nil {
		return 0, err
	}
	names, err := j.store.ListIndexes(ctx)
	if err != nil {
		return 0, err
	}
	for _, n := range names {
		if e, _, err := dataset.ParseIndexName(n); err == nil {
			epoch = max(epoch, e)
		}
	}
	dirs, err := j.store.ListStaging(ctx)
	if err != nil {
		return 0, err
	}
	for _, n := range dirs {
		if e, _, err := dataset.ParseStagingName(n); err == nil {
			epoch = max(epoch, e)
		}
	}
	return epoch + 1, nil
}

// begin makes the epoch's staging area, writes down the files it starts with and appends
// the Open entry.
func (j *job) begin(ctx context.Context, epoch uint64, base []commitlog.File) error {
	if err := j.store.BeginEpoch(ctx, epoch, j.s.system); err != nil {
		return err
	}
	entry := &commitlog.Entry{Type: commitlog.Open, Epoch: epoch, RunFileHash: j.rec.Hash, Families: j.file.FamilyIDs(), Token: j.s.system}
	if len(base) > 0 {
		data, err := json.Marshal(base)
		if err != nil {
			return fmt.Errorf("files at the start of epoch %d: %w", epoch, err)
		}
		// Unique, so that of two leaders that open the same epoch the one that loses
		// cannot overwrite what the other's entry names.
		entry.Base, entry.BaseSum = dataset.IndexName(epoch, "open-"+service.NewInstance()), checksum(data)
		if err := j.store.PutIndex(ctx, entry.Base, data); err != nil {
			return err
		}
	}
	return j.append(ctx, entry)
}

// sweepStaging removes the staging areas of earlier epochs and of other systems, which
// fences whoever still works for them. A later epoch is a successor's.
func (j *job) sweepStaging(ctx context.Context, keep uint64) error {
	dirs, err := j.store.ListStaging(ctx)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if epoch, _, err := dataset.ParseStagingName(d); err != nil || epoch > keep || d == dataset.StagingName(keep, j.s.system) {
			continue
		}
		if err := j.store.RemoveStaging(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
