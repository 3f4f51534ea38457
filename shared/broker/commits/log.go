// Package commits reads and appends the commit log of a run on fff.commits.<run>.
package commits

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/streams"
)

// ErrConflict says that another entry was appended first: decide again on the new state.
var ErrConflict = errors.New("another entry was appended to the commit log first")

// ErrBase says that the log cannot be read on: the list of files that one of its epochs
// began with is gone or damaged, and with it nobody can tell what the log means. A Base
// answers it; reading again does not help.
var ErrBase = errors.New("the list of files that an epoch began with cannot be had")

// RefusedError says that the log's own rules refuse an entry, so it was not appended.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "the commit log refuses the entry: " + e.Why }

// Base gives the live files that an Open entry starts with; ErrBase if they are lost.
type Base = func(*commitlog.Entry) ([]commitlog.File, error)

// Log follows the commit log of one run and, at the leader, appends to it.
//
// What it knows advances by reading alone, never by its own appends, and each reading
// first checks that the last entry it has seen still stands where it stood: a broker whose
// store was put back to an earlier copy has a different log, which is then read afresh.
type Log struct {
	c       *broker.Client
	run     string
	subject string
	base    Base

	mu        sync.Mutex
	stream    jetstream.Stream // nil until it was asked for; it only carries the name
	state     *commitlog.State
	lastSeq   uint64 // of the last message read, void ones included
	lastID    string // of the entry in it
	rollbacks int
}

// New gives the log of a run. Nothing is read before the first CatchUp. With a nil base the
// log tells verdicts on parts and keeps no files.
func New(c *broker.Client, run string, base Base) *Log {
	l := &Log{c: c, run: run, subject: streams.CommitsSubject(run), base: base}
	l.clear()
	return l
}

func (l *Log) clear() {
	l.state, l.lastSeq, l.lastID = &commitlog.State{VerdictsOnly: l.base == nil}, 0, ""
}

// View calls fn with the state as last read. fn must not keep it.
func (l *Log) View(fn func(*commitlog.State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l.state)
}

// Rollbacks counts how often the log was found to be another than the one read before.
func (l *Log) Rollbacks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rollbacks
}

// CatchUp reads what was appended since the last reading.
func (l *Log) CatchUp(ctx context.Context) error {
	_, err := l.catchUp(ctx, "")
	return err
}

// found is what a reading saw of one entry.
type found struct {
	seen bool
	void string // why it is void, "" = valid
}

// catchUp reads on and tells what became of the entry with the id.
func (l *Log) catchUp(ctx context.Context, id string) (found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream == nil {
		st, err := l.c.JS.Stream(ctx, streams.Commits)
		if err != nil {
			return found{}, fmt.Errorf("commit log of %s: %w", l.run, err)
		}
		l.stream = st
	}
	if err := l.checkPlace(ctx, l.stream); err != nil {
		return found{}, err
	}
	var f found
	for {
		msg, err := l.stream.GetMsg(ctx, l.lastSeq+1, jetstream.WithGetMsgSubject(l.subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("commit log of %s: %w", l.run, err)
		}
		e, err := commitlog.Decode(msg.Data)
		if err != nil { // not ours: nothing that the leader writes is undecodable
			l.lastSeq, l.lastID = msg.Sequence, ""
			continue
		}
		void, err := l.state.Apply(e, l.base)
		if err != nil {
			return f, err
		}
		if e.ID == id {
			f = found{seen: true, void: void}
		}
		l.lastSeq, l.lastID = msg.Sequence, e.ID
	}
}

// checkPlace starts over when the last message read is no longer where it was.
func (l *Log) checkPlace(ctx context.Context, st jetstream.Stream) error {
	if l.lastSeq == 0 {
		return nil
	}
	msg, err := st.GetMsg(ctx, l.lastSeq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return fmt.Errorf("commit log of %s: %w", l.run, err)
	case msg.Subject == l.subject:
		if e, err := commitlog.Decode(msg.Data); (err == nil && e.ID == l.lastID) || (err != nil && l.lastID == "") {
			return nil
		}
	}
	l.rollbacks++
	l.clear()
	return nil
}

// Append appends an entry after the one that e.Prev names, and returns once it has been
// read back. e.Prev is the last entry of the state that the caller has decided on: if
// anything was appended since, the answer is ErrConflict. ID and At are set here. A lost
// answer is settled by reading on; a broker that is away is waited for. What it will not take
// (broker.ErrTooLarge, or a stream that is full) is for the caller to report. After any other error than ErrConflict and a
// RefusedError the entry may stand in the log all the same.
func (l *Log) Append(ctx context.Context, e *commitlog.Entry) error {
	e.ID, e.At = nuid.Next(), time.Now().UTC()
	l.mu.Lock()
	expect, moved := l.lastSeq, e.Prev != l.state.Last
	why := l.state.Check(e)
	l.mu.Unlock()
	if moved {
		return ErrConflict
	}
	if why != "" {
		return &RefusedError{Why: why}
	}
	data, err := e.Encode()
	if err != nil {
		return err
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, perr := l.c.JS.PublishMsg(try, &nats.Msg{Subject: l.subject, Data: data},
			jetstream.WithExpectLastSequencePerSubject(expect), jetstream.WithRetryAttempts(0))
		cancel()
		f, err := l.catchUp(ctx, e.ID)
		switch {
		case err == nil && f.seen && f.void == "":
			l.announce()
			return nil
		case err == nil && f.seen:
			return &RefusedError{Why: f.void}
		case err == nil && l.moved(expect):
			return ErrConflict
		case errors.Is(err, ErrBase):
			return err
		case err == nil && broker.TooLarge(perr):
			return fmt.Errorf("commit log of %s: a %s entry of %d bytes: %w (%w)", l.run, e.Type, len(data), broker.ErrTooLarge, perr)
		case err == nil && full(perr):
			return fmt.Errorf("commit log of %s: stream %s takes no more: %w", l.run, streams.Commits, perr)
		case perr == nil && err == nil:
			return fmt.Errorf("commit log of %s: the broker acknowledged an entry that is not there; its store was put back", l.run)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("commit log of %s: append: %w", l.run, errors.Join(perr, err, context.Cause(ctx)))
		case <-time.After(wait):
		}
	}
}

// storeFailed is the server's code for a message that its stream cannot store.
const storeFailed = 10077

func full(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == storeFailed
}

func (l *Log) moved(expect uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastSeq != expect
}

func hint(run string) string { return "fff.changed.commits." + run }

// announce tells the writers that there is something to read; they poll as well.
func (l *Log) announce() { _ = l.c.NC.Publish(hint(l.run), nil) }

// Follow reads on after each hint and every interval, and calls fn after each reading,
// until ctx ends.
func (l *Log) Follow(ctx context.Context, interval time.Duration, fn func(error)) error {
	changed := make(chan *nats.Msg, 256)
	sub, err := l.c.NC.ChanSubscribe(hint(l.run), changed)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", hint(l.run), err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		read, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := l.CatchUp(read)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		fn(err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changed:
		}
	}
}
