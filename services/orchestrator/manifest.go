package orchestrator

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
)

// Sources as the manifest and progress name them.
const (
	sourceDynamoDB       = "dynamodb"
	sourceFeatureService = "feature_service"
)

// manifest describes the dataset as it stands.
func (j *job) manifest(ctx context.Context, proof *reconciliation, lost *completion.Cells, unaccounted bool, final map[string][]dataset.FinalColumn, outcome runs.State, now time.Time) (*dataset.Manifest, error) {
	m := &dataset.Manifest{
		Run: j.rec.Run, State: string(outcome), Broker: j.s.system, RunFile: j.rec.RunFile, RunFileHash: j.rec.Hash,
		StartedAt: j.rec.StartedAt, EndedAt: now, Versions: dataset.Versions(), ReadUnits: map[string]int64{}, Warnings: j.watch.heeded.warnings,
		Records: dataset.ManifestRecords{Seen: max(proof.records, j.rec.Input.Records), Failed: proof.badRecords + proof.lostRecords},
	}
	if err := j.history(ctx, m, now); err != nil {
		return nil, err
	}
	for table, units := range j.newestUnits(ctx) {
		m.ReadUnits[table] = int64(math.Ceil(units))
	}
	j.manifestFiles(m)
	if unaccounted {
		proof.byCode[string(failure.Unaccounted)] = lost.Count()
	}
	m.Cells.BySource, m.Cells.ByCode = map[string]int64{}, proof.byCode
	requested := proof.requested
	cache := j.cachedByFamily()
	for i := range j.file.Families {
		id := j.file.Families[i].ID
		f := dataset.ManifestFamily{Family: id, Columns: dataset.ManifestColumns(final[id])}
		f.Requested, f.Committed, f.Failed = requested.CountOf(id), j.committed.CountOf(id), proof.failed.CountOf(id)
		if unaccounted {
			f.Failed += lost.CountOf(id)
		}
		f.BySource = map[string]int64{sourceDynamoDB: cache[id], sourceFeatureService: f.Committed - cache[id]}
		m.Families = append(m.Families, f)
		m.Cells.Requested += f.Requested
		m.Cells.Committed += f.Committed
		m.Cells.Failed += f.Failed
		for s, n := range f.BySource {
			m.Cells.BySource[s] += n
		}
	}
	m.Records.Samples = requested.Samples()
	return m, nil
}

// manifestFiles lists the live files.
func (j *job) manifestFiles(m *dataset.Manifest) {
	j.commits.View(func(s *commitlog.State) {
		for _, f := range s.Files() {
			if _, ok := j.file.Family(f.Family); !ok {
				continue
			}
			m.Files = append(m.Files, dataset.ManifestFile{Family: f.Family, Name: f.Name, Rows: f.Rows, Bytes: f.Bytes, Checksum: f.Checksum})
		}
	})
}

func (j *job) cachedByFamily() map[string]int64 {
	byFamily := map[string]int64{}
	for id, n := range j.fromCache {
		byFamily[id.Family] += n
	}
	return byFamily
}

// history takes over the epochs from the manifest that was there before, and adds those of
// this time.
func (j *job) history(ctx context.Context, m *dataset.Manifest, now time.Time) error {
	data, err := j.store.Get(ctx, dataset.ManifestName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		old, err := dataset.DecodeManifest(data)
		if err != nil {
			j.log.Warn().Err(err).Msg("the manifest that was there is damaged; its history is lost")
			break
		}
		m.Epochs = old.Epochs
	}
	for i, e := range j.rec.Epochs {
		if slices.ContainsFunc(m.Epochs, func(o dataset.ManifestEpoch) bool { return o.Epoch == e.Epoch }) {
			continue
		}
		sealed := e.SealedAt
		if sealed.IsZero() {
			sealed = now
			if i+1 < len(j.rec.Epochs) {
				sealed = j.rec.Epochs[i+1].OpenedAt
			}
		}
		m.Epochs = append(m.Epochs, dataset.ManifestEpoch{Epoch: e.Epoch, RunFileHash: e.Hash, OpenedAt: e.OpenedAt, SealedAt: sealed})
	}
	return nil
}
