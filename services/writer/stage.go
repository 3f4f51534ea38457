// Package writer stages the cells of a run as Parquet files and sees them committed.
//
// It gathers packed cells of many messages, writes one file a family and the part's
// completion index, all durable and invisible, and hands the part to the orchestrator's
// leader. A message is done when the commit log says that its cells belong to the dataset.
package writer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Committer hands parts to the leader.
type Committer interface {
	// Commit returns what the commit log says of the part, and the entry that says it. It
	// waits for it, and hands the part over again if nothing is said for long.
	Commit(ctx context.Context, run *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error)
}

// Place is where a run's parts are staged.
type Place struct {
	Store dataset.Store
	Token string // of the epoch's staging area

	FilesAtOnce int   // of a part, that are written at the same time
	UploadBytes int64 // most that the store holds of a file on its way; 0 on disk
}

// Bounds of the writer.
type Bounds struct {
	EncodeBytes int64         // memory of what is encoded at the same time, over all runs
	PartBytes   int64         // packed cells of a part
	PartAge     time.Duration // a part is staged when its first cell has waited for so long
	Flushes     int           // parts of a run that are staged at the same time
}

// Stage implements stage.Stage for packed cells.
type Stage struct {
	bounds    Bounds
	instance  string
	open      func(context.Context, *stage.Run) (*Place, error)
	committer Committer
	log       zerolog.Logger

	encoding *room.Room

	mu      sync.Mutex
	runs    map[*stage.Run]*ongoing
	writing int // parts that are closed and not done
	counter uint64
}

// ongoing is what is kept of a run's epoch. Its fields are guarded by the stage's lock.
type ongoing struct {
	run     *stage.Run
	staging *semaphore.Weighted // of parts that are staged at this moment
	open    *assembly           // the part that is being gathered; nil = there is none
	added   time.Time           // when a message was last put into a part
	writing int                 // parts that are closed and not done
	known   map[string][]dataset.Column
	place   *Place // nil until it is first needed
}

// NewStage makes the stage. instance must be unique: part names are made of it. open finds
// the place of a run's epoch, which is kept until the epoch is over.
func NewStage(b Bounds, instance string, open func(context.Context, *stage.Run) (*Place, error), c Committer, log zerolog.Logger) *Stage {
	return &Stage{
		bounds: b, instance: instance, open: open, committer: c, log: log,
		encoding: room.NewStrict(b.EncodeBytes), runs: map[*stage.Run]*ongoing{},
	}
}

// ofLocked gives what is kept of a run's epoch.
func (s *Stage) ofLocked(run *stage.Run) *ongoing {
	o := s.runs[run]
	if o == nil {
		o = &ongoing{run: run, staging: semaphore.NewWeighted(int64(max(s.bounds.Flushes, 1))), known: map[string][]dataset.Column{}}
		s.runs[run] = o
	}
	return o
}

// Unit is a packed message, or cells of it that failed.
type Unit struct {
	message *packed.Message
	failed  *work.Block // set in verdicts
}

// Units implements stage.Stage.
func (s *Stage) Units(m *stage.Message) ([]*Unit, error) {
	var p packed.Message
	if err := packed.Decode(m.Data, &p); err != nil {
		return nil, failure.Permanent(failure.BadMessage, "packed cells: %w", err)
	}
	return []*Unit{{message: &p}}, nil
}

// Letter implements stage.Stage. Failed cells become requests, so that a replay fetches
// them again; a message that failed as a whole is kept as it is.
func (s *Stage) Letter(m *stage.Message, u *Unit) stage.Letter {
	if u.failed != nil {
		return stage.Letter{Kind: stage.KindCell, Data: u.failed.Encode(), ContentType: "application/json", Count: u.failed.Cells()}
	}
	cells := cellsOf(u.message)
	return stage.Letter{Kind: stage.KindCell, Data: cells.Encode(), ContentType: "application/json", Count: cells.Cells()}
}

// cellsOf gives the requests that would fetch the cells of a message again. Attributes did
// not travel this far.
func cellsOf(p *packed.Message) *work.Block {
	families := make([][]string, len(p.Samples))
	for i := range p.Blocks {
		for _, n := range p.Blocks[i].SampleOf {
			families[n] = append(families[n], p.Blocks[i].Family)
		}
	}
	var b work.Block
	for i, f := range families {
		if len(f) > 0 {
			b.Requests = append(b.Requests, work.Request{UserID: string(p.Samples[i].UserID), EpochMS: p.Samples[i].EpochMS, Families: f})
		}
	}
	return &b
}

// Weigh tells the bytes that a message takes until its cells are committed: itself, its
// views, and the entries of its cells in the part.
func Weigh(data []byte) (working, held int64) {
	const (
		perMessage = 8 << 10 // the goroutine that waits, and its lease
		perSample  = 96      // number and key in the part
		perRow     = 12      // pick, and bit in the part
	)
	f := packed.FootprintOf(data)
	n := perMessage + f.Bytes + perSample*int64(f.Samples) + perRow*int64(f.Rows)
	return n, n
}

// Full closes parts because a message of the run waits for memory: the run's own, and the
// largest of all. Where some are being written already, theirs is awaited instead: else
// parts would become ever smaller.
func (s *Stage) Full(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeUnlessWritingLocked(run, func(*ongoing) bool { return true })
	if s.writing == 0 {
		s.closeLargestLocked()
	}
}

// Forget drops what is kept of a run's epoch that has ended.
func (s *Stage) Forget(run *stage.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, run)
}

// Do implements stage.Stage. It returns when the message's cells are committed.
func (s *Stage) Do(ctx context.Context, m *stage.Message, u *Unit, _ stage.Outputs) []stage.Verdict[*Unit] {
	a, turn, drift := s.add(m, u.message)
	var verdicts []stage.Verdict[*Unit]
	if drift != nil {
		verdicts = append(verdicts, *drift)
	}
	if err := a.wait(ctx, turn); err != nil {
		// Nothing is wrong with the cells: hold them until the disk or the leader is there.
		return append(verdicts, stage.Verdict[*Unit]{Rest: u, Err: failure.RetryAfter(time.Second, failure.Internal, "%w", err)})
	}
	return verdicts
}

// add puts a message into the run's open part and closes the part when it is full.
func (s *Stage) add(m *stage.Message, p *packed.Message) (*assembly, *turn, *stage.Verdict[*Unit]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.ofLocked(m.Run)
	a := o.open
	if a == nil {
		a = newAssembly(m.Run)
		o.open = a
		a.timer = time.AfterFunc(s.bounds.PartAge, func() { s.aged(o, a) })
	}
	o.added = time.Now()
	turn, drifted := a.add(p, m.Sequence, int64(len(m.Data)))
	if a.bytes >= s.bounds.PartBytes {
		s.closeLocked(o)
	}
	if drifted == nil {
		return a, turn, nil
	}
	return a, turn, &stage.Verdict[*Unit]{
		Rest: &Unit{message: p, failed: &drifted.cells},
		Err:  failure.Permanent(failure.TypeDrift, "feature %q of family %q has a value that does not fit its declared type; correct the declaration in `families` or the data", drifted.feature, drifted.family),
	}
}

// aged closes a part that is old enough. While another one of the run is being written it
// grows on, and is closed when that one is done: a slow disk gets larger parts, not more.
func (s *Stage) aged(o *ongoing, a *assembly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.open != a {
		return
	}
	if o.writing > 0 {
		a.due = true
		return
	}
	s.closeLocked(o)
}

// quiet is how long no message of a run comes before those in the queue are thought to be in
// other hands. On processors that are busy a message may take a tenth of that.
const quiet = time.Second

// Flush closes a run's open part if it has all the messages that are queued, because nothing more
// is on its way, or if none has come for a while: other writers have the rest. While another part
// of the run is being written, or acked, the hint is dropped: who gives it asks again, and parts
// would become ever smaller.
func (s *Stage) Flush(run string, queued uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeUnlessWritingLocked(run, func(o *ongoing) bool {
		return o.open.waiting.count() >= queued || time.Since(o.added) >= quiet
	})
}

// closeUnlessWritingLocked closes a run's open part if it is one to close, and no other of the
// run is being written.
func (s *Stage) closeUnlessWritingLocked(run string, is func(*ongoing) bool) {
	for r, o := range s.runs {
		if r.ID == run && o.open != nil && o.writing == 0 && is(o) {
			s.closeLocked(o)
		}
	}
}

// drainAge is how old a part grows while the writer stops.
const drainAge = 50 * time.Millisecond

// Drain closes all open parts, and lets those that messages in hand still open grow no
// older than they must: no more messages are coming.
func (s *Stage) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds.PartAge = min(s.bounds.PartAge, drainAge)
	for _, o := range s.runs {
		s.closeLocked(o)
	}
}

func (s *Stage) closeLargestLocked() {
	var largest *ongoing
	for _, o := range s.runs {
		if o.open != nil && (largest == nil || o.open.bytes > largest.open.bytes) {
			largest = o
		}
	}
	if largest != nil {
		s.closeLocked(largest)
	}
}

// closeLocked takes a run's open part, if there is one, and writes it in the background.
func (s *Stage) closeLocked(o *ongoing) {
	a := o.open
	if a == nil {
		return
	}
	o.open = nil
	a.timer.Stop()
	o.writing++
	s.writing++
	go func() {
		a.finish(s.write(o, a))
		s.mu.Lock()
		defer s.mu.Unlock()
		o.writing--
		s.writing--
		if o.writing == 0 && o.open != nil && o.open.due {
			s.closeLocked(o)
		}
	}()
}

// partName gives a name that no other part has.
func (s *Stage) partName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter++
	return fmt.Sprintf("%s-%d", s.instance, s.counter)
}
