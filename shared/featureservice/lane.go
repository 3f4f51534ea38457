package featureservice

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Slots gives leave to send requests. [shares.Holder] does.
type Slots interface {
	// Acquire waits for a slot. Its error is the context's.
	Acquire(ctx context.Context, w shares.Want) error
	Release(w shares.Want, o shares.Outcome)
	// PauseUntil holds new requests of the run on the key until t.
	PauseUntil(w shares.Want, t time.Time)
}

// Limits picks a lane's limits from the run file.
type Limits func(*runfile.FeatureService) runfile.LaneLimits

// Timed is told how long an answer took for families of a run that leaves lanes to be found.
type Timed func(run string, families []string, took time.Duration)

// Lane is the stage of one lane. Its unit is a request, which becomes one HTTP request.
type Lane struct {
	client  *Client
	slots   Slots
	lane    runfile.Lane
	limits  Limits
	timed   Timed
	answers sync.Pool // of *answer
}

var _ stage.Stage[work.Request] = (*Lane)(nil)

// NewLane gives the stage of a lane. timed may be nil.
func NewLane(client *Client, slots Slots, lane runfile.Lane, limits Limits, timed Timed) *Lane {
	return &Lane{client: client, slots: slots, lane: lane, limits: limits, timed: timed}
}

// Units splits a block into its requests, and a request with more families than one may
// carry into several of about the same size.
func (l *Lane) Units(m *stage.Message) ([]work.Request, error) {
	block, err := work.Decode(m.Data)
	if err != nil {
		return nil, failure.Permanent(failure.BadMessage, "%w", err)
	}
	service := m.Run.File.FeatureService
	if service == nil {
		return nil, failure.Permanent(failure.BadMessage, "the run file has no feature_service to ask")
	}
	most := l.limits(service).MaxFamilies
	units := make([]work.Request, 0, len(block.Requests))
	for i := range block.Requests {
		r := &block.Requests[i]
		families := distinct(slices.Concat(r.Families, r.Direct))
		for part := range slices.Chunk(families, partSize(len(families), most)) {
			units = append(units, r.With(part))
		}
	}
	return units, nil
}

// distinct drops repeated families, which only a block that was edited by hand has.
func distinct(families []string) []string {
	kept := families[:0]
	for _, f := range families {
		if !slices.Contains(kept, f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// partSize gives the size of equal parts of n that are not above most.
func partSize(n, most int) int {
	if most <= 0 || n <= most {
		return n
	}
	parts := (n + most - 1) / most
	return (n + parts - 1) / parts
}

// Letter gives a block with the request alone.
func (l *Lane) Letter(_ *stage.Message, r work.Request) stage.Letter {
	block := work.Block{Requests: []work.Request{r}}
	return stage.Letter{
		Kind:        stage.KindCell,
		Data:        block.Encode(),
		ContentType: contentTypeJS,
		Count:       r.Cells(),
	}
}

// Do asks for the families of one request. Families with values go on; the others come
// back as verdicts, one for each different error.
func (l *Lane) Do(ctx context.Context, m *stage.Message, r work.Request, out stage.Outputs) []stage.Verdict[work.Request] {
	b, err := l.ask(ctx, m.Run, &r)
	if err != nil {
		return l.unanswered(r, err)
	}
	defer b.free()
	a, _ := l.answers.Get().(*answer)
	if a == nil {
		a = newAnswer()
	}
	defer func() {
		a.forget()
		l.answers.Put(a)
	}()
	if err := a.deliver(ctx, b.data, &r, out); err != nil {
		return whole(r, err)
	}
	l.client.Counters.Unasked.Add(int64(a.unasked))
	return a.verdicts(r)
}

// ask takes a slot and sends the request.
func (l *Lane) ask(ctx context.Context, run *stage.Run, r *work.Request) (*body, error) {
	service := run.File.FeatureService
	e, err := l.client.endpoint(service.URL)
	if err != nil {
		return nil, failure.Permanent(failure.Unreachable, "%w", err)
	}
	limits := l.limits(service)
	want := shares.Want{
		Key: shares.Key{URL: e.name, Lane: l.lane},
		Run: run.ID,
		Max: limits.MaxInFlight,
	}
	if err := l.slots.Acquire(ctx, want); err != nil {
		return nil, stopped(err)
	}
	begin := time.Now()
	b, err := l.client.ask(ctx, e, limits.Timeout, run.ID, r)
	if err == nil {
		l.slots.Release(want, shares.Answered)
		if l.timed != nil && run.File.HasAuto() {
			l.timed(run.ID, r.Families, time.Since(begin))
		}
		return b, nil
	}
	f := failure.As(err)
	if f.Action == failure.HoldOn {
		l.slots.PauseUntil(want, time.Now().Add(f.Delay))
	}
	l.slots.Release(want, outcome(f))
	return nil, err
}

// outcome tells what a failed request says of the service's load: what it answers for good
// is an answer like any other.
func outcome(f *failure.Error) shares.Outcome {
	switch f.Action {
	case failure.HoldOn:
		return shares.Refused
	case failure.GiveUp:
		return shares.Answered
	default:
		return shares.Lost
	}
}

// unanswered gives the verdicts on a request that got no answer. One that took too long
// or whose answer was too large is asked again in halves.
func (l *Lane) unanswered(r work.Request, err error) []stage.Verdict[work.Request] {
	f := failure.As(err)
	half := len(r.Families) / 2
	if half == 0 || f.Code != failure.Timeout && f.Code != failure.TooLarge {
		return whole(r, err)
	}
	l.client.Counters.Halved.Add(1)
	err = failure.Retry(f.Code, "%w", f.Err)
	return []stage.Verdict[work.Request]{
		{Rest: r.With(r.Families[:half:half]), Err: err},
		{Rest: r.With(r.Families[half:]), Err: err},
	}
}

// whole gives the same verdict on all of a request.
func whole(r work.Request, err error) []stage.Verdict[work.Request] {
	return []stage.Verdict[work.Request]{{Rest: r, Err: err}}
}

// deliver reads an answer into rows and hands them on, in as many messages as it takes.
// Its error concerns all families.
func (a *answer) deliver(ctx context.Context, body []byte, r *work.Request, out stage.Outputs) error {
	var broken error
	read := false
	for {
		err := out.Cells(ctx, packed.FeatureService, func(b *packed.Builder) error {
			if !read {
				read = true
				if broken = a.read(body, r.Families, b); broken != nil {
					return broken
				}
			}
			return a.closeRows(r, b)
		})
		switch {
		case broken != nil:
			return broken
		case !read:
			return stopped(err)
		case err != nil && !errors.Is(err, errNoRows):
			a.giveUp(stopped(err))
			return nil
		case !a.rest():
			return nil
		}
	}
}

// rest tells whether cells are left of which nothing is known to be wrong.
func (a *answer) rest() bool {
	return slices.ContainsFunc(a.cells, func(c cell) bool { return !c.done && c.err == nil })
}

// giveUp gives an error to the cells that have neither one nor a row.
func (a *answer) giveUp(err error) {
	for i := range a.cells {
		if c := &a.cells[i]; !c.done && c.err == nil {
			c.err = err
		}
	}
}

// verdicts groups the failed cells by their errors.
func (a *answer) verdicts(r work.Request) []stage.Verdict[work.Request] {
	var verdicts []stage.Verdict[work.Request]
	for i := range a.cells {
		c := &a.cells[i]
		if c.err == nil {
			continue
		}
		at := slices.IndexFunc(verdicts, func(v stage.Verdict[work.Request]) bool { return same(v.Err, c.err) })
		if at < 0 {
			at = len(verdicts)
			verdicts = append(verdicts, stage.Verdict[work.Request]{Rest: r.With(nil), Err: c.err})
		}
		rest := &verdicts[at].Rest
		rest.Families = append(rest.Families, c.family)
	}
	return verdicts
}

// same tells whether two errors would be the same to a person and to the runner.
func same(a, b error) bool {
	x, y := failure.As(a), failure.As(b)
	return x.Code == y.Code && x.Action == y.Action && x.Error() == y.Error()
}
