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
	Flushes     int           // parts written at the same time
}

// Stage implements stage.Stage for packed cells.
type Stage struct {
	bounds    Bounds
	instance  string
	place     func(context.Context, *stage.Run) (*Place, error)
	committer Committer
	log       zerolog.Logger

	flushes  *semaphore.Weighted
	encoding *semaphore.Weighted

	mu      sync.Mutex
	open    map[*stage.Run]*assembly
	writing map[string]int // parts that are closed and not done, by run
	known   map[*stage.Run]map[string][]dataset.Column
	counter uint64
}

// NewStage makes the stage. instance must be unique: part names are made of it.
func NewStage(b Bounds, instance string, place func(context.Context, *stage.Run) (*Place, error), c Committer, log zerolog.Logger) *Stage {
	return &Stage{
		bounds: b, instance: instance, place: place, committer: c, log: log,
		flushes: semaphore.NewWeighted(int64(b.Flushes)), encoding: semaphore.NewWeighted(b.EncodeBytes),
		open: map[*stage.Run]*assembly{}, writing: map[string]int{}, known: map[*stage.Run]map[string][]dataset.Column{},
	}
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
// largest of all. Where some are being written already, theirs is awaited instead: else a
// slow disk would get ever smaller parts.
func (s *Stage) Full(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[run] == 0 {
		s.closeRunLocked(run)
	}
	if len(s.writing) == 0 {
		s.closeLargestLocked()
	}
}

// Do implements stage.Stage. It returns when the message's cells are committed.
func (s *Stage) Do(ctx context.Context, m *stage.Message, u *Unit, _ stage.Outputs) []stage.Verdict[*Unit] {
	a, drift := s.add(m.Run, u.message, int64(len(m.Data)))
	var verdicts []stage.Verdict[*Unit]
	if drift != nil {
		verdicts = append(verdicts, *drift)
	}
	if err := a.wait(ctx); err != nil {
		// Nothing is wrong with the cells: hold them until the disk or the leader is there.
		return append(verdicts, stage.Verdict[*Unit]{Rest: u, Err: failure.RetryAfter(time.Second, failure.Internal, "%w", err)})
	}
	return verdicts
}

// add puts a message into the run's open part and closes the part when it is full.
func (s *Stage) add(run *stage.Run, p *packed.Message, size int64) (*assembly, *stage.Verdict[*Unit]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.open[run]
	if a == nil {
		a = newAssembly(run)
		s.open[run] = a
		a.timer = time.AfterFunc(s.bounds.PartAge, func() { s.flush(a) })
	}
	drifted := a.add(p, size)
	if a.bytes >= s.bounds.PartBytes {
		s.closeLocked(a)
	}
	if drifted == nil {
		return a, nil
	}
	return a, &stage.Verdict[*Unit]{
		Rest: &Unit{message: p, failed: &drifted.cells},
		Err:  failure.Permanent(failure.TypeDrift, "feature %q of family %q has a value that does not fit its declared type; correct the declaration in `families` or the data", drifted.feature, drifted.family),
	}
}

// Flush closes a run's open part, because nothing more of it is on its way. While another
// part of the run is being written the hint is dropped: who gives it asks again, and a slow
// disk would get ever smaller parts.
func (s *Stage) Flush(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[run] == 0 {
		s.closeRunLocked(run)
	}
}

func (s *Stage) closeRunLocked(run string) {
	for r, a := range s.open {
		if r.ID == run {
			s.closeLocked(a)
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
	for _, a := range s.open {
		s.closeLocked(a)
	}
}

func (s *Stage) closeLargestLocked() {
	var largest *assembly
	for _, a := range s.open {
		if largest == nil || a.bytes > largest.bytes {
			largest = a
		}
	}
	if largest != nil {
		s.closeLocked(largest)
	}
}

func (s *Stage) flush(a *assembly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(a)
}

// closeLocked takes a part off the open ones and writes it in the background.
func (s *Stage) closeLocked(a *assembly) {
	if s.open[a.run] != a {
		return
	}
	delete(s.open, a.run)
	a.timer.Stop()
	s.writing[a.run.ID]++
	go func() {
		a.finish(s.write(a))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.writing[a.run.ID]--; s.writing[a.run.ID] == 0 {
			delete(s.writing, a.run.ID)
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
