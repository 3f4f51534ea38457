package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/streams"
)

// serve answers requests for as long as this instance leads. Others are silent, so that
// who asks tries again until the leader answers.
func (s *Service) serve(ctx context.Context, g *errgroup.Group, granter *shares.Granter) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	add := func(end func(), err error) error {
		if err == nil {
			stops = append(stops, end)
		}
		return err
	}
	byRun := map[string]func(context.Context, string, *broker.Request) (any, error){
		control.SubjectOpen: func(ctx context.Context, run string, r *broker.Request) (any, error) {
			return s.open(ctx, g, run, r)
		},
		control.SubjectClose:    s.withJob(s.closeInput),
		control.SubjectStatus:   s.withJob(s.statusOf),
		control.SubjectCancel:   s.withJob(s.cancel),
		control.SubjectTeardown: s.tearDownAny,
		control.SubjectReplay:   s.withJob(s.replay),
		control.SubjectDrop:     s.drop,
	}
	for subject, fn := range byRun {
		err = errors.Join(err, add(s.d.Client.Serve(subject+".*", func(r *broker.Request) []byte {
			return s.answer(ctx, fn, r.Subject[len(subject)+1:], r)
		})))
	}
	err = errors.Join(err, add(s.d.Client.Serve(control.SubjectList, func(*broker.Request) []byte {
		return control.EncodeReply(s.list(ctx))
	})))
	err = errors.Join(err, add(desk.ServeDone(s.d.Client, s.done)))
	err = errors.Join(err, add(desk.ServeSpend(s.d.Client, s.grant)))
	var mu sync.Mutex
	err = errors.Join(err, add(desk.ServeShare(s.d.Client, func(data []byte) []byte {
		var r shares.Request
		if json.Unmarshal(data, &r) != nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		reply, _ := json.Marshal(granter.Grant(time.Now(), r)) // numbers and a bool
		return reply
	})))
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// answer runs a handler. While the leader is going it says nothing: the next one will.
func (s *Service) answer(ctx context.Context, fn func(context.Context, string, *broker.Request) (any, error), run string, r *broker.Request) []byte {
	if !runs.ValidID(run) {
		return control.EncodeReply(nil, control.Errorf(control.CodeBadRequest, "%q cannot name a run; use lower-case letters, digits and -, at most 63", run))
	}
	reply, err := fn(ctx, run, r)
	if ctx.Err() != nil {
		return nil
	}
	return control.EncodeReply(reply, err)
}

func (s *Service) withJob(fn func(context.Context, *job, *broker.Request) (any, error)) func(context.Context, string, *broker.Request) (any, error) {
	return func(ctx context.Context, run string, r *broker.Request) (any, error) {
		j := s.job(run)
		if j == nil {
			return nil, control.Errorf(control.CodeUnknownRun, "there is no run %s; see `fff runs list`", run)
		}
		return fn(ctx, j, r)
	}
}

func (s *Service) statusOf(_ context.Context, j *job, _ *broker.Request) (any, error) {
	return j.view(), nil
}

func (s *Service) list(ctx context.Context) ([]*control.Status, error) {
	all := []*control.Status{}
	s.mu.Lock()
	for _, j := range s.jobs {
		all = append(all, j.view())
	}
	s.mu.Unlock()
	for _, t := range s.orphans() {
		up, waiting := t.view()
		all = append(all, &control.Status{Run: t.run, State: control.Stray, WarmUp: up, Waiting: waiting,
			Reason: "the run is gone, and what it had scaled up is brought down"})
	}
	strays, err := s.strays(ctx, func(j *job) bool { return j == nil })
	if err != nil {
		return nil, err
	}
	// More than this are there for half a minute only, and the reply must fit a message.
	names := slices.Sorted(maps.Keys(strays))
	for _, run := range names[:min(len(names), maxStrayRuns)] {
		n := strays[run]
		all = append(all, &control.Status{Run: run, State: control.Stray, Reason: fmt.Sprintf("%d batches wait for the run to be opened; `fff failed drop %s --all` drops them", n, run)})
	}
	return all, nil
}

// closeInput seals the input if as many records came as the producer says.
func (s *Service) closeInput(ctx context.Context, j *job, r *broker.Request) (any, error) {
	var req control.CloseRequest
	if err := json.Unmarshal(r.Data, &req); err != nil || req.Records < 0 {
		return nil, control.Errorf(control.CodeBadRequest, `the body must be {"records":N}, the number of records published`)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.rec.Input.Sealed {
		return control.Closed{Sealed: req.Records == j.rec.Input.Records, RecordsSeen: j.rec.Input.Records}, nil
	}
	if !j.rec.State.Working() && j.rec.State != runs.WarmingUp {
		return nil, control.Errorf(control.CodeWrongState, "run %s is %s; its input cannot be closed", j.rec.Run, j.rec.State)
	}
	if !j.restored {
		return nil, control.Errorf(control.CodeTryAgain, "run %s is being taken up; try again", j.rec.Run)
	}
	if err := j.readInput(ctx); err != nil {
		return nil, err
	}
	if j.watch.records != req.Records {
		j.publish()
		return control.Closed{RecordsSeen: j.watch.records}, nil
	}
	err := j.put(ctx, func(r *runs.Record) {
		if r.State.Working() {
			r.State = runs.Draining
		}
		r.Input = runs.Input{Sealed: true, LastSeq: j.watch.lastRead, Records: req.Records, Hash: req.InputHash}
	})
	if err != nil {
		return nil, err
	}
	j.publish()
	return control.Closed{Sealed: true, RecordsSeen: j.watch.records}, nil
}

func (s *Service) cancel(ctx context.Context, j *job, _ *broker.Request) (any, error) {
	j.hurried.Store(true)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hurried.Store(false)
	if j.rec.State.Ended() {
		return nil, control.Errorf(control.CodeWrongState, "run %s has ended already: %s", j.rec.Run, j.rec.State)
	}
	if err := j.stop(ctx, runs.Cancelled, "cancelled on request"); err != nil {
		return nil, err
	}
	j.publish()
	return struct{}{}, nil
}

// tearDownAny takes down what is left of a run, be it known or not.
func (s *Service) tearDownAny(ctx context.Context, run string, r *broker.Request) (any, error) {
	for _, t := range s.orphans() {
		if t.run == run && !t.isDown() {
			return nil, t.stillUp()
		} else if t.run == run {
			return struct{}{}, nil
		}
	}
	return s.withJob(s.tearDown)(ctx, run, r)
}

// tearDown takes down what an ended run has left behind: its dead letters and its record.
func (s *Service) tearDown(ctx context.Context, j *job, _ *broker.Request) (any, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.rec.State.Ended() {
		return nil, control.Errorf(control.CodeWrongState, "run %s is %s; cancel it first", j.rec.Run, j.rec.State)
	}
	if !j.cooled() {
		return nil, j.warm.stillUp()
	}
	if j.rec.Teardown == runs.TeardownPending {
		if err := j.teardown(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := streams.PurgeSubject(ctx, s.d.Client.JS, streams.Failed, streams.FailedSubject(j.rec.Run, "*")); err != nil {
		return nil, err
	}
	j.publish()
	return struct{}{}, nil
}

// doneTimeout bounds the reading of dead letters for an answer to ingest.
const doneTimeout = 5 * time.Second

// done answers ingest: which cells are committed, or have failed in this epoch.
func (s *Service) done(run string, epoch uint64, keys []sample.Key) ([][]uint64, error) {
	j := s.job(run)
	if j == nil {
		return nil, errNoLongerLeading
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.restored || j.rec.Epoch != epoch || j.watch.failedCells == nil {
		return nil, fmt.Errorf("run %s is not at epoch %d here, or is being written up", run, epoch)
	}
	ctx, cancel := context.WithTimeout(context.Background(), doneTimeout)
	defer cancel()
	if err := j.readLetters(ctx); err != nil {
		return nil, err
	}
	failed := j.watch.failedCells
	sets := make([][]uint64, len(keys))
	for i, k := range keys {
		sets[i] = make([]uint64, (len(j.file.Families)+63)/64)
		n, ok := j.samples.Find(k)
		if !ok {
			continue
		}
		for f := range j.file.Families {
			if id := j.file.Families[f].ID; j.committed.Has(id, n) || failed.Has(id, n) {
				sets[i][f/64] |= 1 << (f % 64)
			}
		}
	}
	return sets, nil
}
