package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/streams"
)

// maxRuns bounds the runs that work at the same time: each costs every instance memory.
const maxRuns = 32

// open opens a run, or resumes one. The same run file for a run that works already changes
// nothing; another one that may be resumed with opens the next epoch.
func (s *Service) open(ctx context.Context, g *errgroup.Group, run string, r *broker.Request) (any, error) {
	file, err := parse(run, r.Data)
	if err != nil {
		return nil, err
	}
	takeOver := r.Header(control.HeaderTakeOver) == "true"
	j, err := s.jobToOpen(ctx, g, file, r.Data)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.publish()
	return j.openFor(ctx, file, r.Data, takeOver)
}

func parse(run string, data []byte) (*runfile.File, error) {
	file, err := runfile.Parse("run file", data)
	if err == nil {
		_, err = (&runs.Record{Run: run, RunFile: string(data)}).File()
	}
	if bad, ok := errors.AsType[*runfile.Error](err); ok {
		return nil, &control.Error{Code: control.CodeBadRunFile, Field: bad.Field, Message: bad.Error()}
	}
	if err != nil {
		return nil, control.Errorf(control.CodeBadRunFile, "%v", err)
	}
	if file.Run != run {
		return nil, &control.Error{Code: control.CodeBadRunFile, Field: "run", Message: fmt.Sprintf("the run file is for run %q, the request for %q; make them equal", file.Run, run)}
	}
	return file, nil
}

// jobToOpen gives the job of a run, a new one if there is none.
func (s *Service) jobToOpen(ctx context.Context, g *errgroup.Group, file *runfile.File, source []byte) (*job, error) {
	limit, err := streams.Limit(ctx, s.d.Client.JS, streams.Ingest)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropping == file.Run {
		return nil, control.Errorf(control.CodeTryAgain, "batches that waited for run %s too long are being dropped; open it again", file.Run)
	}
	if j := s.jobs[file.Run]; j != nil {
		return j, nil
	}
	working, reserved := 0, file.Input.MaxBytes
	for _, j := range s.jobs {
		if st := j.status.Load(); !st.Ended() {
			working++
			reserved += j.maxInput.Load()
		}
	}
	if working >= maxRuns || limit >= 0 && reserved > limit {
		return nil, control.Errorf(control.CodeOverCapacity, "%d runs work already, and with this one %d bytes of input would be reserved of %d; wait for one to end, or lower input.max_bytes", working, reserved, limit)
	}
	j := newJob(s, &runs.Record{Run: file.Run, State: runs.Created, RunFile: string(source), Hash: file.Hash(), CreatedAt: time.Now().UTC()})
	j.idle = true
	s.jobs[file.Run] = j
	g.Go(func() error { j.loop(ctx); return nil })
	g.Go(func() error { j.warm.loop(ctx); return nil })
	return j, nil
}

func (j *job) openFor(ctx context.Context, file *runfile.File, source []byte, takeOver bool) (any, error) {
	opened := func() control.Opened { return control.Opened{Run: j.rec.Run, Epoch: j.rec.Epoch} }
	fresh := j.rec.Revision == 0
	if !fresh {
		if err := checkResume(j.rec.RunFile, file); err != nil {
			return nil, err
		}
	}
	working := !fresh && !j.rec.State.Ended()
	if working && j.rec.State != runs.Finalising && j.rec.Hash == file.Hash() {
		return opened(), nil
	}
	if j.rec.State == runs.Finalising { // killed on its last steps, it takes them before it is run again
		return nil, control.Errorf(control.CodeTryAgain, "run %s is finalising; open it again when it has ended", j.rec.Run)
	}
	if j.rec.Teardown == runs.TeardownPending {
		if err := j.teardown(ctx); err != nil {
			return nil, err
		}
	}
	previous := *j.rec
	j.rec.RunFile, j.rec.Hash = string(source), file.Hash()
	err := j.openAs(ctx, takeOver, working)
	if err != nil {
		if j.rec.Revision == previous.Revision {
			*j.rec = previous
		}
		if fresh {
			j.s.forget(j)
		}
		return nil, err
	}
	j.idle = false
	j.hurry()
	return opened(), nil
}

// openAs opens the next epoch. What failed before is tried again. When the run works already
// its input goes on; otherwise the producers send it again.
func (j *job) openAs(ctx context.Context, takeOver, working bool) error {
	if err := j.prepare(ctx); err != nil {
		return control.Errorf(control.CodeBadRunFile, "%v", err)
	}
	if err := j.checkManifest(ctx); err != nil { // the first look at the dataset
		if s3, ok := errors.AsType[*awss3.Error](err); ok && s3.Reason.Setting() {
			return &control.Error{Code: control.CodeBadRunFile, Field: "output.s3", Message: s3.Error()}
		}
		return err
	}
	if err := j.legible(ctx, takeOver); err != nil {
		return err
	}
	if err := j.beginUsage(ctx); err != nil {
		return err
	}
	if err := j.claim(ctx, takeOver); err != nil {
		return err
	}
	if _, err := streams.PurgeSubject(ctx, j.s.d.Client.JS, streams.Failed, streams.FailedSubject(j.rec.Run, "*")); err != nil {
		return err
	}
	return j.open(ctx, func(r *runs.Record) {
		r.FailedFrom = r.Epoch
		if working && r.Input.Sealed {
			r.State = runs.Draining
		}
		if warms(j.file) {
			r.State = runs.WarmingUp
		}
		if working {
			return
		}
		r.Input, r.Round, r.Replayed = runs.Input{}, 0, nil
		r.StartedAt = time.Now().UTC()
	})
}

// checkResume refuses a run file that changes what must stay as it was in another one.
func checkResume(before string, file *runfile.File) error {
	old, err := runfile.Parse(file.Run, []byte(before))
	if err == nil {
		err = runfile.CheckResume(old, file)
	}
	if err == nil {
		return nil
	}
	e := control.Errorf(control.CodeResumeRefused, "%v", err)
	if bad, ok := errors.AsType[*runfile.Error](err); ok {
		e.Field = bad.Field
	}
	return e
}

// checkManifest is checkResume for the run file that made the dataset: the run's record is
// gone when the broker's store is.
func (j *job) checkManifest(ctx context.Context) error {
	m, err := j.oldManifest(ctx)
	if err != nil || m == nil {
		return err
	}
	file, err := runfile.Parse(j.rec.Run, []byte(j.rec.RunFile)) // unexpanded, as the manifest's
	if err != nil {
		return err
	}
	return checkResume(m.RunFile, file)
}

// forget drops a job that never came to be.
func (s *Service) forget(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[j.rec.Run] == j {
		delete(s.jobs, j.rec.Run)
	}
	j.gone = true
}
