// Package ingest turns record batches into requests: it checks records, leaves out what is
// asked for already or done already, and sends each family on its way.
package ingest

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/route"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Desk is what the stage asks the orchestrator and the broker.
type Desk interface {
	// Standing tells how the run stands at this moment.
	Standing(ctx context.Context, run *stage.Run) (Standing, error)
	// Undone leaves out of requests the cells that are committed, or have failed.
	Undone(ctx context.Context, run *stage.Run, requests []work.Request) ([]work.Request, error)
	// History gives the batches of the run's input between two sequences, both excluded, in
	// order: what an earlier holder of the run's ingest has decided, and what was lost on
	// its way and comes again later.
	History(ctx context.Context, run *stage.Run, after, before uint64, take func(*stage.Message)) error
}

// Standing is what the work on a batch depends on.
type Standing struct {
	Sealed   bool   // the input is
	LastSeq  uint64 // the last sequence that belongs to a sealed input
	SomeDone bool   // cells may be committed, or have failed, already
}

// Stage implements stage.Stage for record batches. A run's batches are worked on one at a
// time and by one instance: which of two batches asked first for a cell follows from their
// order.
type Stage struct {
	desk Desk

	mu      sync.Mutex
	ledgers map[string]*runLedger
}

type runLedger struct {
	run    *stage.Run
	mu     sync.Mutex
	ledger *intake.Ledger
	taken  uint64 // sequence up to which the run's batches are in the ledger
}

// NewStage makes the stage.
func NewStage(d Desk) *Stage { return &Stage{desk: d, ledgers: map[string]*runLedger{}} }

// Unit is a batch, or a record of it that is bad.
type Unit struct {
	bad *record.Bad
}

// Units implements stage.Stage.
func (s *Stage) Units(*stage.Message) ([]*Unit, error) { return []*Unit{{}}, nil }

// Letter implements stage.Stage. A bad record becomes a batch of one, ready to be corrected
// and sent again.
func (s *Stage) Letter(m *stage.Message, u *Unit) stage.Letter {
	if u.bad == nil {
		return stage.Letter{Kind: stage.KindBatch, Data: m.Data, ContentType: m.ContentType, Count: 1}
	}
	if m.ContentType == record.NDJSON || !json.Valid(u.bad.Raw) {
		return stage.Letter{Kind: stage.KindRecord, Data: u.bad.Raw, ContentType: record.NDJSON, Count: 1}
	}
	data := append([]byte(`{"records":[`), u.bad.Raw...)
	return stage.Letter{Kind: stage.KindRecord, Data: append(data, "]}"...), ContentType: "application/json", Count: 1}
}

// Do implements stage.Stage.
func (s *Stage) Do(ctx context.Context, m *stage.Message, u *Unit, out stage.Outputs) []stage.Verdict[*Unit] {
	now, err := s.desk.Standing(ctx, m.Run)
	if err != nil {
		return []stage.Verdict[*Unit]{{Rest: u, Err: err}}
	}
	if now.Sealed && m.Sequence > now.LastSeq {
		return []stage.Verdict[*Unit]{{Rest: u, Err: failure.Permanent(failure.AfterSeal, intake.LateReason)}}
	}
	b, err := s.take(ctx, m)
	if err == nil {
		err = b.Err
	}
	if err != nil {
		return []stage.Verdict[*Unit]{{Rest: u, Err: err}}
	}
	requests := b.Requests
	if now.SomeDone && len(requests) > 0 {
		if requests, err = s.desk.Undone(ctx, m.Run, requests); err != nil {
			return []stage.Verdict[*Unit]{{Rest: u, Err: err}}
		}
	}
	for i := range requests {
		if err := route.Send(ctx, m.Run, &requests[i], out); err != nil {
			return []stage.Verdict[*Unit]{{Rest: u, Err: err}}
		}
	}
	var verdicts []stage.Verdict[*Unit]
	for i := range b.Bad {
		bad := &b.Bad[i]
		verdicts = append(verdicts, stage.Verdict[*Unit]{Rest: &Unit{bad: bad}, Err: failure.Permanent(failure.BadRecord, "%s", intake.Place(bad))})
	}
	return verdicts
}

// take has the run's ledger decide on a batch, after all batches that stand before it in
// the stream: whoever reads the stream comes to the same decisions.
func (s *Stage) take(ctx context.Context, m *stage.Message) (intake.Batch, error) {
	s.mu.Lock()
	l := s.ledgers[m.Run.ID]
	if l == nil || l.run != m.Run { // of an earlier epoch, or of an earlier time that we had the run
		l = &runLedger{run: m.Run, ledger: intake.NewLedger(m.Run.File)}
		s.ledgers[m.Run.ID] = l
	}
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Sequence > l.taken+1 {
		err := s.desk.History(ctx, m.Run, l.taken, m.Sequence, func(old *stage.Message) {
			l.ledger.Take(old)
			l.taken = old.Sequence
		})
		if err != nil {
			return intake.Batch{}, err
		}
	}
	l.taken = max(l.taken, m.Sequence)
	return l.ledger.Take(m), nil
}

// Forget drops what is kept of a run that has ended.
func (s *Stage) Forget(run string) {
	s.mu.Lock()
	delete(s.ledgers, run)
	s.mu.Unlock()
}
