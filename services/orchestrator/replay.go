package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/route"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// replay sends dead letters through the system again: the run is opened again, the letters
// are published, and only then deleted.
func (s *Service) replay(ctx context.Context, j *job, r *broker.Request) (any, error) {
	sel, err := selection(r)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.publish()
	if j.rec.State == runs.Finalising {
		return nil, control.Errorf(control.CodeWrongState, "run %s is finalising; replay when it has ended", j.rec.Run)
	}
	letters, err := j.replayable(ctx, sel)
	if err != nil || len(letters) == 0 {
		return control.Replayed{Epoch: j.rec.Epoch}, err
	}
	if j.rec.State.Ended() {
		if err := j.openForReplay(ctx, letters); err != nil {
			return nil, err
		}
	}
	if err := j.resend(ctx, letters); err != nil {
		return nil, err
	}
	j.watch.quiet = 0
	j.hurry()
	return control.Replayed{Replayed: int64(len(letters)), Epoch: j.rec.Epoch}, nil
}

// replayable gives the letters that are selected and hold something to send again. Messages
// between the services that could not be read do not: their cells were found missing.
func (j *job) replayable(ctx context.Context, sel *control.Selection) ([]*control.Letter, error) {
	var letters []*control.Letter
	for l, err := range j.letters(ctx) {
		if err != nil {
			return nil, err
		}
		if sel.Matches(l) && (l.Kind == stage.KindCell || l.Stage == string(stage.Ingest)) {
			letters = append(letters, l)
		}
	}
	return letters, nil
}

func selection(r *broker.Request) (*control.Selection, error) {
	var sel control.Selection
	if err := json.Unmarshal(r.Data, &sel); err != nil {
		return nil, control.Errorf(control.CodeBadRequest, `the body must be {"sequences":[…]} or {"all":true} or filters stage, code, kind: %v`, err)
	}
	if err := sel.Check(); err != nil {
		return nil, control.Errorf(control.CodeBadRequest, "%v", err)
	}
	return &sel, nil
}

// openForReplay opens an ended run again. Its input was torn down, so what is asked for is
// the dataset's own list; batches and records that are sent again join it.
func (j *job) openForReplay(ctx context.Context, letters []*control.Letter) error {
	if j.rec.Teardown == runs.TeardownPending {
		if err := j.teardown(ctx); err != nil {
			return err
		}
	}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	list, err := j.requestedListName(ctx)
	if err != nil {
		return err
	}
	if list == "" {
		return control.Errorf(control.CodeWrongState, "the dataset of run %s has no list of what was asked for; run again instead", j.rec.Run)
	}
	replayed, err := replayedRecords(letters)
	if err != nil {
		return err
	}
	if err := j.claim(ctx, false); err != nil {
		return err
	}
	return j.open(ctx, func(r *runs.Record) {
		// Sealed when the letters have been published: see resend.
		r.Input = runs.Input{FromDataset: true, Records: r.Input.Records, Hash: r.Input.Hash}
		r.Round, r.Replayed = 0, replayed
	})
}

// maxReplayedBytes bounds the names of the bad records and batches of one replay: they are in
// the run's record, which must fit a message.
const maxReplayedBytes = 256 << 10

// replayedRecords names the bad records and batches among letters, as runs.Record does.
func replayedRecords(letters []*control.Letter) ([]string, error) {
	var names []string
	count, bytes := 0, 0
	for _, l := range letters {
		if l.Kind == stage.KindCell {
			continue
		}
		name := l.Kind + "\x00" + failureReason(l)
		if bytes += len(name); bytes <= maxReplayedBytes {
			count++
		}
		names = append(names, name)
	}
	if bytes > maxReplayedBytes {
		return nil, control.Errorf(control.CodeBadRequest, "%d bad records and batches are more than one replay takes; replay them in several, of at most %d by their sequences, or run again", len(names), count)
	}
	return names, nil
}

// failureReason gives the reason with which a bad record or batch stands in _failures.jsonl.
func failureReason(l *control.Letter) string {
	switch {
	case l.Stage != string(stage.Ingest) || l.Code == "after_seal":
		return l.Reason
	case l.Kind == stage.KindBatch:
		return fmt.Sprintf("batch %d: %s", l.Origin, l.Reason)
	}
	return fmt.Sprintf("batch %d, %s", l.Origin, l.Reason)
}

// resend publishes letters to where they belong by the run file as it is now, then deletes
// them: nobody else has their cells.
func (j *job) resend(ctx context.Context, letters []*control.Letter) error {
	client := j.s.d.Client
	out := &resender{j: j}
	var errs error
	var sent []uint64
	for _, l := range letters {
		switch {
		case l.Kind == stage.KindCell:
			b, err := work.Decode(l.Data)
			if err != nil {
				errs = errors.Join(errs, control.Errorf(control.CodeBadRequest, "dead letter %d cannot be read (%v); drop it, and run again to fetch its cells", l.Sequence, err))
				continue
			}
			for i := range b.Requests {
				if err := out.send(ctx, l, &b.Requests[i]); err != nil {
					return err
				}
			}
		case l.Stage == string(stage.Ingest) && !j.rec.Input.Sealed:
			if err := client.PublishBatch(ctx, j.rec.Run, l.ContentType, l.Data); err != nil {
				return err
			}
		default:
			errs = errors.Join(errs, control.Errorf(control.CodeWrongState, "dead letter %d is of the input, which is closed; replay it when the run has ended", l.Sequence))
			continue
		}
		sent = append(sent, l.Sequence)
	}
	if err := out.flush(ctx); err != nil {
		return err
	}
	for _, sequence := range sent {
		if err := streams.Delete(ctx, client.JS, streams.Failed, sequence); err != nil {
			return err
		}
	}
	return errors.Join(errs, j.sealReplay(ctx))
}

// sealReplay seals the input of a replay: what was sent again is all of it.
func (j *job) sealReplay(ctx context.Context) error {
	if !j.rec.Input.FromDataset || j.rec.Input.Sealed {
		return nil
	}
	last, err := streams.LastSequence(ctx, j.s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, j.rec.Run))
	if err != nil {
		return err
	}
	return j.put(ctx, func(r *runs.Record) {
		r.Input.Sealed, r.Input.LastSeq, r.State = true, last, runs.Draining
	})
}

// resender publishes requests of dead letters, gathered by stage. It implements
// stage.Outputs, so that package route serves here too.
type resender struct {
	j      *job
	blocks map[stage.Name]*work.Block
}

// Cells implements stage.Outputs; a replay has no cells yet.
func (o *resender) Cells(context.Context, packed.Source, func(*packed.Builder) error) error {
	return errors.New("a replay sends requests, not cells")
}

// Request implements stage.Outputs.
func (o *resender) Request(ctx context.Context, to stage.Name, r work.Request) error {
	if o.blocks == nil {
		o.blocks = map[stage.Name]*work.Block{}
	}
	b := o.blocks[to]
	if b == nil {
		b = &work.Block{}
		o.blocks[to] = b
	}
	b.Requests = append(b.Requests, r)
	if len(b.Requests) >= work.MaxRequestsPerLane {
		return o.publish(ctx, to)
	}
	return nil
}

// send sends the cells of a request where they failed; cells that failed at the writer are
// fetched anew.
func (o *resender) send(ctx context.Context, l *control.Letter, r *work.Request) error {
	families := slices.Concat(r.Families, r.Direct)
	switch stage.Name(l.Stage) {
	case stage.FSFast, stage.FSSlow:
		return o.toLanes(ctx, r, families)
	}
	q := r.With(families)
	return route.Send(ctx, o.j.run(), &q, o)
}

// toLanes sends families to the feature service, on the lane that the run file names now.
func (o *resender) toLanes(ctx context.Context, r *work.Request, families []string) error {
	var fast []string
	run := o.j.run()
	for _, id := range families {
		f, ok := run.File.Family(id)
		switch {
		case !ok:
		case route.Lane(run, f) == stage.FSFast:
			fast = append(fast, id)
		default:
			if err := o.Request(ctx, stage.FSSlow, r.With([]string{id})); err != nil {
				return err
			}
		}
	}
	if len(fast) == 0 {
		return nil
	}
	return o.Request(ctx, stage.FSFast, r.With(fast))
}

func (o *resender) flush(ctx context.Context) error {
	for to, b := range o.blocks {
		if len(b.Requests) > 0 {
			if err := o.publish(ctx, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *resender) publish(ctx context.Context, to stage.Name) error {
	b := o.blocks[to]
	o.blocks[to] = &work.Block{}
	return o.j.s.d.Client.PublishWork(ctx, to, o.j.rec.Run, o.j.rec.Epoch, b.Encode())
}

// drop deletes dead letters, or the batches of a run that nobody opened.
func (s *Service) drop(ctx context.Context, run string, r *broker.Request) (any, error) {
	sel, err := selection(r)
	if err != nil {
		return nil, err
	}
	if s.job(run) == nil && sel.All {
		n, err := streams.PurgeSubject(ctx, s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, run))
		return control.Dropped{Dropped: int64(n)}, err
	}
	return s.withJob(func(ctx context.Context, j *job, _ *broker.Request) (any, error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		var n int64
		for l, err := range j.letters(ctx) {
			if err != nil {
				return nil, err
			}
			if !sel.Matches(l) {
				continue
			}
			if err := streams.Delete(ctx, s.d.Client.JS, streams.Failed, l.Sequence); err != nil {
				return nil, err
			}
			n++
		}
		return control.Dropped{Dropped: n}, nil
	})(ctx, run, r)
}
