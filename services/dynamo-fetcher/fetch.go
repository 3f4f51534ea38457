package dynamofetcher

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/answer"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/goroutine"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// usualAnswer is room for a usual answer, which a call has before it is made. A buffer
// that has grown beyond it is not kept for other calls.
const usualAnswer = 256 << 10

// fetch is the work on one block. The calls change only their own keys' cells.
type fetch struct {
	stage *Stage
	of    *stage.Run
	run   *run
	plan  *plan.Plan
	out   stage.Outputs

	mu       sync.Mutex
	verdicts []stage.Verdict[*work.Block]
}

// lookUp makes the plan's calls and waits for them.
func (f *fetch) lookUp(ctx context.Context) {
	for _, unfit := range f.plan.Unfit {
		f.verdict([]int32{unfit.Cell}, failure.Permanent(failure.DynamoDBError, "no key can be made: %s", unfit.Reason))
	}
	var wg sync.WaitGroup
	for i := range f.plan.Calls {
		goroutine.Go(&wg, func() {
			if err := f.call(ctx, int32(i)); err != nil {
				f.verdict(f.pending(f.plan.Calls[i].Keys), err)
			}
		})
	}
	wg.Wait()
}

// call looks the keys of a call up until none is left unprocessed. Waiting holds no
// slot, so that other calls go on meanwhile.
func (f *fetch) call(ctx context.Context, number int32) (err error) {
	defer func() {
		if p := recover(); p != nil { // the runner does not see what happens in our goroutines
			if f.stage.cfg.Panicked != nil {
				f.stage.cfg.Panicked(p, debug.Stack())
			}
			err = failure.Retry(failure.Internal, "panic in a look-up: %v", p)
		}
	}()
	table := f.plan.Run.Tables[f.plan.Calls[number].Table]
	keys := f.plan.Calls[number].Keys
	var p pause
	for {
		o, err := f.exchange(ctx, number, keys)
		switch {
		case err != nil && !isThrottled(err):
			return classify(table, err)
		case err != nil:
		case len(o.unprocessed) == 0:
			return nil
		default:
			p.answered(o.settled, len(keys))
			keys = o.unprocessed
			if o.cutBySize {
				continue // there is no reason to wait
			}
		}
		if err := p.wait(ctx, table, len(keys), err); err != nil {
			return err
		}
	}
}

// outcome is what one exchange leaves to be done.
type outcome struct {
	unprocessed []int32
	settled     int  // keys that are answered
	cutBySize   bool // the answer was so large that its size is why keys are unprocessed
}

// sizeLimit is what DynamoDB returns at most from one partition, and in all sixteen
// times as much. As JSON it is longer.
const sizeLimit = 1 << 20

// buffers are the bodies of one exchange.
type buffers struct {
	request, answer []byte

	stage  *Stage
	run    string
	room   int64 // that they have of the stage's
	beyond bool  // the answer may grow beyond the room
}

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

// newBuffers gives buffers when there is room for a request and a usual answer.
func (s *Stage) newBuffers(ctx context.Context, run string, request int) (*buffers, error) {
	n := int64(request + usualAnswer)
	if err := s.answers.Take(ctx, run, n); err != nil {
		return nil, err
	}
	b := bufferPool.Get().(*buffers)
	b.stage, b.run, b.room = s, run, n
	return b, nil
}

// grow is asked before the answer takes so many bytes. When there is no room for that it
// waits until the answer may be the one that needs none: what waits here holds room, so
// waiting for more of it could be for ever.
func (b *buffers) grow(ctx context.Context, size int) error {
	more := int64(size) - b.room
	switch {
	case b.beyond || more <= 0:
	case b.stage.answers.Try(b.run, more):
		b.room += more
	default:
		select {
		case b.stage.beyond <- struct{}{}:
			b.beyond = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (b *buffers) release() {
	if cap(b.answer) > usualAnswer {
		b.answer = nil
	}
	if cap(b.request) > usualAnswer {
		b.request = nil
	}
	if b.beyond {
		b.beyond = false
		<-b.stage.beyond
	}
	s, run, n := b.stage, b.run, b.room
	b.stage = nil
	bufferPool.Put(b)
	s.answers.Give(run, n)
}

// exchange makes one BatchGetItem call and hands on what its answer holds.
func (f *fetch) exchange(ctx context.Context, number int32, keys []int32) (o outcome, err error) {
	if err := f.run.slots.take(ctx); err != nil {
		return o, err
	}
	defer f.run.slots.give()
	if err := f.stage.slots.take(ctx); err != nil {
		return o, err
	}
	defer f.stage.slots.give()
	b, err := f.stage.newBuffers(ctx, f.of.ID, f.plan.RequestBytes(keys))
	if err != nil {
		return o, err
	}
	defer b.release()
	spent := spending{}
	if err := spent.begin(ctx, f, len(keys)); err != nil {
		return o, err
	}
	defer func() { spent.end(o.settled) }()
	table := f.plan.Calls[number].Table
	b.request = f.plan.AppendRequest(b.request[:0], table, keys)
	b.answer, err = f.stage.getter.BatchGet(ctx, f.plan.Run.Tables[table], b.request, b.answer[:0], b.grow)
	if err != nil {
		return o, err
	}
	scanner := f.run.scanners.Get().(*answer.Scanner)
	defer f.run.scanners.Put(scanner)
	var result answer.Result
	var emitErr error
	err = scanner.Scan(b.answer, f.plan, number, keys, f.stage.cfg.Now(), func(fn func(*packed.Builder) error) error {
		emitErr = f.out.Cells(ctx, packed.DynamoDB, fn)
		return emitErr
	}, &result)
	spent.units = result.Units
	if f.stage.cfg.Consumed != nil && result.Units > 0 {
		f.stage.cfg.Consumed(f.of, f.plan.Run.Tables[table], result.Units)
	}
	for _, bad := range result.Bad {
		f.verdict(f.cells([]int32{bad.Key}, plan.Failed), failure.Permanent(bad.Code, "%w", bad.Err))
	}
	if emitErr != nil {
		return o, &outputError{emitErr}
	}
	return outcome{
		unprocessed: result.Unprocessed,
		settled:     result.Settled,
		cutBySize:   result.Settled > 0 && len(b.answer) >= sizeLimit,
	}, err
}

// verdict notes that cells are not done. It may be called at the same time.
func (f *fetch) verdict(cells []int32, err error) {
	if len(cells) == 0 {
		return
	}
	v := stage.Verdict[*work.Block]{Rest: f.block(cells), Err: err}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verdicts = append(f.verdicts, v)
}

func (f *fetch) pending(keys []int32) []int32 { return f.cells(keys, plan.Pending) }

// cells gives the cells of keys that are in a state, in the order of the block.
func (f *fetch) cells(keys []int32, state plan.State) []int32 {
	var cells []int32
	for _, key := range keys {
		for c := f.plan.Keys[key].First; c >= 0; c = f.plan.Cells[c].Next {
			if f.plan.Cells[c].State == state {
				cells = append(cells, c)
			}
		}
	}
	slices.Sort(cells)
	return cells
}

// block gives the block restricted to cells, which are in its order.
func (f *fetch) block(cells []int32) *work.Block {
	b := &work.Block{}
	last := int32(-1)
	for _, c := range cells {
		cell := &f.plan.Cells[c]
		if cell.Request != last {
			last = cell.Request
			b.Requests = append(b.Requests, f.plan.Requests[last].With(nil))
		}
		r := &b.Requests[len(b.Requests)-1]
		r.Families = append(r.Families, f.plan.Run.Families[cell.Family].ID)
	}
	return b
}

// sendMisses asks the feature service for what is not cached: a sample's fast families
// in one request, with those that were never to be looked up, and each slow family in a
// request of its own. What cannot be sent becomes a verdict.
func (f *fetch) sendMisses(ctx context.Context) {
	var err error
	unsent := &work.Block{}
	next := 0 // cell
	for i := range f.plan.Requests {
		r := &f.plan.Requests[i]
		m := misses{direct: r.Direct}
		for range r.Families {
			if cell := &f.plan.Cells[next]; cell.State == plan.Missed {
				m.add(f.of, &f.plan.Run.Families[cell.Family])
			}
			next++
		}
		if err == nil {
			err = f.send(ctx, r, &m)
		}
		if rest := r.With(slices.Concat(m.fast, m.slow)); err != nil && len(rest.Families)+len(m.direct) > 0 {
			rest.Direct = m.direct
			unsent.Requests = append(unsent.Requests, rest)
		}
	}
	if err != nil && len(unsent.Requests) > 0 {
		f.verdicts = append(f.verdicts, stage.Verdict[*work.Block]{Rest: unsent, Err: err})
	}
}

// misses are the families of one sample that the feature service is to be asked for.
type misses struct{ fast, slow, direct []string }

// add sorts a family into its lane.
func (m *misses) add(run *stage.Run, family *plan.Family) {
	if run.Lanes.Of(family.ID, family.Lane) == runfile.LaneSlow {
		m.slow = append(m.slow, family.ID)
	} else {
		m.fast = append(m.fast, family.ID)
	}
}

// send sends the requests for one sample's misses, and takes out of m what was sent.
func (f *fetch) send(ctx context.Context, r *work.Request, m *misses) error {
	if fast := slices.Concat(m.fast, m.direct); len(fast) > 0 {
		if err := f.out.Request(ctx, stage.FSFast, r.With(fast)); err != nil {
			return err
		}
		m.fast, m.direct = nil, nil
	}
	for len(m.slow) > 0 {
		if err := f.out.Request(ctx, stage.FSSlow, r.With(m.slow[:1:1])); err != nil {
			return err
		}
		m.slow = m.slow[1:]
	}
	return nil
}
