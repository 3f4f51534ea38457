package orchestrator

import (
	"maps"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// publish makes the run's status anew from what the leader sees.
func (j *job) publish() {
	r, w := j.rec, &j.watch
	st := &control.Status{
		Run: r.Run, Epoch: r.Epoch, State: string(r.State), Teardown: r.Teardown, Reason: r.Reason, Round: r.Round,
		InputSealed: r.Input.Sealed, InputHash: r.Input.Hash,
		RecordsSeen: w.records, BadRecords: w.bad, Records: w.records - w.bad, Samples: int64(w.samples),
		Requested: w.requested, Committed: w.committed,
		BySource:     map[string]int64{sourceDynamoDB: w.fromCache, sourceFeatureService: w.committed - w.fromCache},
		FailedByCode: maps.Clone(w.failed),
		ReadUnits:    j.readUnits(),
		Lanes:        j.lanes(),
		Warnings:     slices.Clone(w.heeded.warnings),
		Files:        w.files, Bytes: w.bytes, Dataset: r.Dataset, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
	}
	if w.failedCells != nil && !r.State.Ended() {
		st.Failed = w.failedCells.Without(j.committed).Count()
	} else {
		for _, n := range w.failed {
			st.Failed += n
		}
	}
	st.Stages = j.stages()
	if w.trouble != "" && st.Reason == "" {
		st.Reason = w.trouble
	}
	j.status.Store(st)
}

// view gives the status as last published.
func (j *job) view() *control.Status {
	st := *j.status.Load()
	st.WarmUp, st.Waiting = j.warm.view()
	if text := j.atWork.Load(); text != nil && st.Waiting == "" {
		st.Waiting = *text
	}
	return &st
}

var services = map[stage.Name]string{
	stage.Ingest: "ingest", stage.Dynamo: "dynamo-fetcher", stage.FSFast: "fs-fast", stage.FSSlow: "fs-slow", stage.Writer: "writer",
}

// stages adds up what the instances say of themselves.
func (j *job) stages() []control.StageStatus {
	var beats []fleet.Beat
	if j.s.beats != nil {
		beats = j.s.beats.Beats()
	}
	var all []control.StageStatus
	for _, name := range []stage.Name{stage.Ingest, stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer} {
		st := control.StageStatus{Name: string(name), Lag: j.watch.lags[name]}
		for _, b := range beats {
			if b.Service != services[name] {
				continue
			}
			if b.Alive() {
				st.Instances++
			}
			run, ok := b.Runs[j.rec.Run]
			if !ok || run.Epoch != j.rec.Epoch {
				continue
			}
			st.CellsIn += run.In
			st.CellsOut += run.Out
			st.CellsFailed += run.Failed
			if run.Waiting != "" && b.Alive() {
				st.Waiting = run.Waiting
			}
		}
		if name == stage.Writer {
			st.CellsOut = j.watch.committed
		}
		all = append(all, st)
	}
	return all
}
