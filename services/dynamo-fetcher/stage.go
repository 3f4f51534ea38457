// Package dynamofetcher is the stage that looks cached families up in DynamoDB: hits go
// to the writer, misses to the lanes of the feature service.
//
// A block of requests becomes full BatchGetItem calls (package plan), whose answers are
// read from their bytes straight into packed columns (package answer). What DynamoDB
// leaves unprocessed is asked for again until it is answered, and never taken for a miss.
package dynamofetcher

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/answer"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// DefaultMaxInFlight is how many calls a process makes at the same time.
const DefaultMaxInFlight = 64

// Bounds of a process's memory, in bytes over all runs.
const (
	// AnswerBytes is what requests and answers take for each call that may be made at the
	// same time. One answer more is read beyond them, so that a large one always gets
	// through.
	AnswerBytes = 1 << 20
	// PlanBytes is what the plans of blocks take.
	PlanBytes = 32 << 20

	// minAnswers is for how many calls there is room even when fewer are made.
	minAnswers = 16
	// maxUnitCells bounds the cells that are planned together.
	maxUnitCells = 10_000
)

// answerBytes is the room for so many calls.
func answerBytes(calls int) int64 { return max(int64(calls), minAnswers) * AnswerBytes }

// maxRuns is how many runs are remembered. A run beyond them makes the stage forget
// the others, which costs only that they are compiled again.
const maxRuns = 64

// BatchGetter makes BatchGetItem calls. It sends one request for one table, as AWS JSON
// 1.0, and appends the body of the answer, whose integrity it has checked, to dst, which
// it gives back even with an error. grow is asked before dst gets more than its capacity,
// and its wait does not count as the call's time. An error that DynamoDB answered has the methods
// ErrorCode() string and HTTPStatus() int; every other means that there is no answer.
type BatchGetter interface {
	BatchGet(ctx context.Context, table string, request, dst []byte, grow func(ctx context.Context, size int) error) ([]byte, error)
}

// StageConfig sets up a stage. Its zero value is useful.
type StageConfig struct {
	MaxInFlight int                                               // calls at the same time; default 64
	Consumed    func(run *stage.Run, table string, units float64) // is told the read units of each answer; nil = nobody
	Purse       func(run *stage.Run) *budget.Purse                // gives what is left of a run's budget; nil, or a nil purse = it has none
	Panicked    func(value any, stack []byte)                     // is told of a panic in a call, which counts as a failed attempt; nil = nobody
	Now         func() time.Time                                  // for ttl; time.Now unless given
}

// Stage looks blocks of requests up. It implements stage.Stage.
type Stage struct {
	getter BatchGetter
	cfg    StageConfig
	slots  slots // of the process

	plans   *room.Room
	answers *room.Room
	beyond  chan struct{} // for one answer that the room is too small for

	mu   sync.Mutex
	runs map[*stage.Run]*run
}

var _ stage.Stage[*work.Block] = (*Stage)(nil)

// run is what is kept of a run.
type run struct {
	plan     *plan.Run
	slots    slots     // of the run
	scanners sync.Pool // of *answer.Scanner
}

// NewStage gives a stage that makes its calls with getter.
func NewStage(getter BatchGetter, cfg StageConfig) *Stage {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	calls := cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight)
	return &Stage{
		getter: getter,
		cfg:    cfg,
		slots:  newSlots(calls),
		plans:  room.New(PlanBytes), answers: room.New(answerBytes(calls)),
		beyond: make(chan struct{}, 1),
		runs:   map[*stage.Run]*run{},
	}
}

// Units decodes the message's block, which is one unit unless it has very many cells.
func (s *Stage) Units(m *stage.Message) ([]*work.Block, error) {
	b, err := work.Decode(m.Data)
	if err != nil {
		return nil, failure.Permanent(failure.BadMessage, "%w", err)
	}
	var units []*work.Block
	first, cells := 0, 0
	for i := range b.Requests {
		n := b.Requests[i].Cells()
		if i > first && cells+n > maxUnitCells {
			units = append(units, &work.Block{Requests: b.Requests[first:i:i]})
			first, cells = i, 0
		}
		cells += n
	}
	return append(units, &work.Block{Requests: b.Requests[first:]}), nil
}

// Letter gives a block as a dead letter, which can be published again as it is.
func (s *Stage) Letter(_ *stage.Message, b *work.Block) stage.Letter {
	return stage.Letter{Kind: stage.KindCell, Data: b.Encode(), ContentType: "application/json", Count: b.Cells()}
}

// Do looks a block up. Each cell goes to exactly one place: to the writer, to a lane, or
// into one verdict.
func (s *Stage) Do(ctx context.Context, m *stage.Message, b *work.Block, out stage.Outputs) []stage.Verdict[*work.Block] {
	r := s.run(m.Run)
	memory := plan.Footprint(r.plan, b.Requests)
	if err := s.plans.Take(ctx, m.Run.ID, memory); err != nil {
		return []stage.Verdict[*work.Block]{{Rest: b, Err: err}} // the context's, which the runner knows
	}
	defer s.plans.Give(m.Run.ID, memory)
	p, err := plan.New(r.plan, b.Requests)
	if err != nil {
		return []stage.Verdict[*work.Block]{{Rest: b, Err: failure.Permanent(failure.BadMessage, "%w", err)}}
	}
	f := &fetch{stage: s, of: m.Run, run: r, plan: p, out: out}
	f.lookUp(ctx)
	f.sendMisses(ctx)
	return f.verdicts
}

// run gives what is kept of a run.
func (s *Stage) run(of *stage.Run) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.runs[of]; ok {
		return r
	}
	if len(s.runs) >= maxRuns {
		clear(s.runs)
	}
	r := &run{plan: plan.Compile(of.File)}
	if d := of.File.DynamoDB; d != nil {
		r.slots = newSlots(d.MaxInFlight)
		layout := answer.NewLayout(d)
		r.scanners.New = func() any { return answer.NewScanner(layout) }
	}
	s.runs[of] = r
	return r
}
