// Package stage is the contract between a service's work and the runner that feeds it.
//
// A stage is pure: it turns a message into outputs and verdicts. It knows no broker,
// no ack, no retry, no metric. The runner alone fetches, keeps the lease, publishes,
// acks, retries, dead-letters, counts and logs.
package stage

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Name is the name of a stage, as subjects, consumers and dead letters carry it.
type Name string

// The stages.
const (
	Ingest Name = "ingest"
	Dynamo Name = "dynamo"
	FSFast Name = "fs-fast"
	FSSlow Name = "fs-slow"
	Writer Name = "writer"
	Parts  Name = "parts"
)

// Run is an opened run as a stage sees it.
type Run struct {
	ID    string
	Epoch uint64
	File  *runfile.File // expanded: no ${ENV} is left in it
	Lanes *Lanes        // of its families whose lane is auto; nil = none of them was measured yet
}

// Lane gives the lane of a family as it stands.
func (r *Run) Lane(f *runfile.Family) runfile.Lane { return r.Lanes.Of(f.ID, f.Lane) }

// Lanes says which of the families whose lane is auto were found to be fast. The leader
// finds that out while the run goes on.
type Lanes struct{ fast atomic.Pointer[[]string] }

// Set takes what was found, in place of what was found before.
func (l *Lanes) Set(fast []string) { l.fast.Store(&fast) }

// Of gives the lane of a family. One that is auto is slow until it was found fast: alone in
// its request it holds nobody up, and the time that it takes can be seen.
func (l *Lanes) Of(family string, lane runfile.Lane) runfile.Lane {
	if lane != runfile.LaneAuto {
		return lane
	}
	if l != nil {
		if fast := l.fast.Load(); fast != nil && slices.Contains(*fast, family) {
			return runfile.LaneFast
		}
	}
	return runfile.LaneSlow
}

// Message is one delivered message.
type Message struct {
	Run         *Run
	ID          string // Nats-Msg-Id, or ""
	ContentType string // Content-Type, or ""
	Sequence    uint64 // in its stream
	Data        []byte // valid until the message is settled
}

// Verdict tells what became of a part of a unit. What no verdict mentions is done.
// Err decides as package failure says: a plain error is tried again with Rest,
// a permanent one makes Rest a dead letter, RetryAfter holds Rest for a while.
type Verdict[U any] struct {
	Rest U
	Err  error
}

// Letter is what a unit looks like as a dead letter.
type Letter struct {
	Kind        string // "cell", "record" or "batch"
	Data        []byte
	ContentType string
	Count       int // cells, records or 1
}

// Kinds of dead letters and failures.
const (
	KindCell   = "cell"
	KindRecord = "record"
	KindBatch  = "batch"
)

// Stage turns messages into outputs. U is its unit of work: what is tried again or
// dead-lettered by itself.
type Stage[U any] interface {
	// Units splits a message. An error makes the whole message a dead letter.
	Units(m *Message) ([]U, error)
	// Do works on one unit and returns a verdict for each part of it that is not done.
	// It blocks while the limits of its backend make it wait; units of many messages
	// run at the same time.
	Do(ctx context.Context, m *Message, u U, out Outputs) []Verdict[U]
	// Letter gives the dead letter of a unit of m.
	Letter(m *Message, u U) Letter
}

// Outputs collects what a stage makes of a message. The runner gathers outputs of many
// messages, publishes them, and acks a message only after the broker has acknowledged
// all that was made from it. Methods may be called at the same time.
type Outputs interface {
	// Cells lends fn a message of packed cells on its way to the run's writer. fn has
	// it for itself, and leaves it as it was when it returns an error. Cells returns
	// fn's error, or the context's while it waits for room.
	Cells(ctx context.Context, src packed.Source, fn func(*packed.Builder) error) error
	// Request sends a request to a stage: Dynamo, FSFast or FSSlow.
	Request(ctx context.Context, to Name, r work.Request) error
}
