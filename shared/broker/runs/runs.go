// Package runs keeps the record of each run in the FFF_RUNS bucket: its run file, its
// state and its epoch. The orchestrator's leader writes it; every instance reads it.
package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// State is the state of a run.
type State string

// The states, in the order in which a run takes them.
const (
	Created               State = "created"
	WarmingUp             State = "warming_up"
	Running               State = "running"
	Draining              State = "draining" // the input is sealed; what is queued is worked off
	Finalising            State = "finalising"
	Completed             State = "completed"
	CompletedWithFailures State = "completed_with_failures"
	Failed                State = "failed"
	Cancelled             State = "cancelled"
)

// Ended tells whether the run has come to an end.
func (s State) Ended() bool {
	return s == Completed || s == CompletedWithFailures || s == Failed || s == Cancelled
}

// Working tells whether the stages are to work on the run.
func (s State) Working() bool { return s == Running || s == Draining }

// The states of the teardown.
const (
	TeardownPending = "pending"
	TeardownDone    = "done"
)

// Input tells what is known of the input of a run.
type Input struct {
	Sealed  bool   `json:"sealed"`
	LastSeq uint64 `json:"last_seq,omitempty"` // last sequence of the run's subject when it was sealed
	Records int64  `json:"records,omitempty"`  // records in distinct batches up to there
	Hash    string `json:"hash,omitempty"`     // of the records file, where the client named one
	// FromDataset says that the samples asked for are those of the dataset's own list,
	// because the epoch was opened by a replay after the input was torn down.
	FromDataset bool `json:"from_dataset,omitempty"`
}

// Epoch tells when an epoch was opened and sealed.
type Epoch struct {
	Epoch    uint64    `json:"epoch"`
	Hash     string    `json:"hash"` // of its run file
	OpenedAt time.Time `json:"opened_at"`
	SealedAt time.Time `json:"sealed_at,omitzero"`
}

// Usage is what a run uses of its budget, over all epochs.
type Usage struct {
	Worked    time.Duration                 `json:"worked_ns,omitempty"`
	ReadUnits map[string]map[string]float64 `json:"read_units,omitempty"` // by instance and table; "" = by the dataset's manifest
	// FreeWork and FreeUnits were used when the run was complete last: its budget began anew.
	FreeWork  time.Duration `json:"free_work_ns,omitempty"`
	FreeUnits float64       `json:"free_units,omitempty"`
}

// Record is what the bucket keeps of a run.
type Record struct {
	Run      string  `json:"run"`
	Epoch    uint64  `json:"epoch"`
	Token    string  `json:"token"` // of the system that owns the dataset; names its staging area
	State    State   `json:"state"`
	Outcome  State   `json:"outcome,omitempty"` // while finalising: what the run will be, unless cells are missing
	Reason   string  `json:"reason,omitempty"`
	Teardown string  `json:"teardown,omitempty"`
	RunFile  string  `json:"run_file"` // as given, ${ENV} unexpanded
	Hash     string  `json:"hash"`
	Input    Input   `json:"input"`
	Round    int     `json:"round"`               // rounds of repair made since the run was opened
	SkipDone bool    `json:"skip_done,omitempty"` // cells may be committed or failed already: ingest asks the leader
	Dataset  string  `json:"dataset"`
	Epochs   []Epoch `json:"epochs,omitempty"` // opened since the run's record was made
	// Replayed names the bad records and batches that the epoch's replay has sent again, as
	// kind, a zero byte and reason: they are no failures any more, unless they fail again.
	Replayed []string `json:"replayed,omitempty"`
	// FailedFrom is the epoch whose opening tried everything again. Dead letters of older
	// ones are void: they may still come, from requests that were in hand at that moment.
	FailedFrom uint64 `json:"failed_from,omitempty"`

	// Fast names the families of the lane auto that were found to be fast, in the order of
	// the run file.
	Fast []string `json:"fast,omitempty"`

	// Usage is what the run has used so far, a few seconds late.
	Usage Usage `json:"usage,omitzero"`

	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`

	Revision uint64 `json:"-"` // of the bucket's entry
}

// File parses the record's run file and expands it with the process's environment.
func (r *Record) File() (*runfile.File, error) {
	f, err := runfile.Parse(r.Run, []byte(r.RunFile))
	if err != nil {
		return nil, err
	}
	return f.Expand(os.LookupEnv)
}

// Stage gives the run as stages see it.
func (r *Record) Stage(file *runfile.File) *stage.Run {
	run := &stage.Run{ID: r.Run, Epoch: r.Epoch, File: file, Lanes: new(stage.Lanes)}
	run.Lanes.Set(r.Fast)
	return run
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ValidID tells whether an id can name a run.
func ValidID(id string) bool { return validID.MatchString(id) }

// ErrNotFound says that there is no such run.
var ErrNotFound = errors.New("no such run")

// ErrConflict says that somebody else has written the record meanwhile.
var ErrConflict = errors.New("the run's record was changed by somebody else")

// hint is the core subject on which a change of a record is announced. Readers poll as
// well: a hint may be lost.
const hint = "fff.changed.run"

const bucketStream = "KV_" + streams.RunsBucket

// Bucket reads and writes run records.
//
// It reads by polling last messages, never by watching: a watcher that has seen
// revision 90 stays silent after the broker's store was put back to revision 40.
type Bucket struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	opened atomic.Pointer[jetstream.Stream] // once it was found: to look for it is a request of its own
}

// Open gives access to the bucket, which must exist.
func Open(nc *nats.Conn, js jetstream.JetStream) *Bucket { return &Bucket{nc: nc, js: js} }

func key(run string) string { return "$KV." + streams.RunsBucket + "." + run }

// stream gives the stream that the bucket is.
func (b *Bucket) stream(ctx context.Context) (jetstream.Stream, error) {
	if st := b.opened.Load(); st != nil {
		return *st, nil
	}
	st, err := b.js.Stream(ctx, bucketStream)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.RunsBucket, err)
	}
	b.opened.Store(&st)
	return st, nil
}

// Get reads the record of a run.
func (b *Bucket) Get(ctx context.Context, run string) (*Record, error) {
	st, err := b.stream(ctx)
	if err != nil {
		return nil, err
	}
	return get(ctx, st, key(run))
}

func get(ctx context.Context, st jetstream.Stream, subject string) (*Record, error) {
	msg, err := st.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && len(msg.Data) == 0) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.RunsBucket, err)
	}
	var r Record
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return nil, fmt.Errorf("bucket %s, %s: %w", streams.RunsBucket, subject, err)
	}
	r.Revision = msg.Sequence
	return &r, nil
}

// List reads all records.
func (b *Bucket) List(ctx context.Context) ([]*Record, error) {
	st, err := b.stream(ctx)
	if err != nil {
		return nil, err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(key(">")))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.RunsBucket, err)
	}
	var all []*Record
	for subject := range info.State.Subjects {
		if !ValidID(strings.TrimPrefix(subject, key(""))) {
			continue
		}
		r, err := get(ctx, st, subject)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Put writes a record, expecting that it is still at r.Revision (0 = not there), and
// sets the new revision.
func (b *Bucket) Put(ctx context.Context, r *Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of run %s: %w", r.Run, err)
	}
	msg := &nats.Msg{Subject: key(r.Run), Data: data}
	ack, err := b.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(r.Revision))
	if err != nil {
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return fmt.Errorf("record of run %s: %w", r.Run, ErrConflict)
		}
		return fmt.Errorf("record of run %s: %w", r.Run, err)
	}
	r.Revision = ack.Sequence
	_ = b.nc.Publish(hint, []byte(r.Run)) // readers poll: a lost hint costs a moment
	return nil
}

// Delete removes the record of a run.
func (b *Bucket) Delete(ctx context.Context, run string) error {
	_, err := streams.PurgeSubject(ctx, b.js, bucketStream, key(run))
	_ = b.nc.Publish(hint, []byte(run))
	return err
}

// Follow calls fn with all records, at once, after each hint, each value on now (which may
// be nil) and every interval, until ctx ends. A read that fails is reported with nil
// records: what is known stays true.
func (b *Bucket) Follow(ctx context.Context, interval time.Duration, now <-chan struct{}, fn func([]*Record, error)) error {
	changed, stop, err := b.Changes()
	if err != nil {
		return err
	}
	defer stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		read, cancel := context.WithTimeout(ctx, 5*time.Second)
		all, err := b.List(read)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		fn(all, err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-now:
		case <-changed:
		}
	}
}

// Changes gives a value soon after a record may have changed, as far as hints arrive, until
// stop is called or the connection ends. Several changes may be one value.
func (b *Bucket) Changes() (changed <-chan struct{}, stop func(), err error) {
	c := make(chan struct{}, 1)
	sub, err := b.nc.Subscribe(hint, func(*nats.Msg) {
		select {
		case c <- struct{}{}:
		default: // it is told already
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to %s: %w", hint, err)
	}
	return c, func() { _ = sub.Unsubscribe() }, nil
}

// SystemID gives the id of the system behind this broker: eight hexadecimal digits that
// were made with its store and live as long as it. It names the owner of a dataset.
func (b *Bucket) SystemID(ctx context.Context, fresh func() string) (string, error) {
	subject := key("_system")
	st, err := b.stream(ctx)
	if err != nil {
		return "", err
	}
	msg, err := st.GetLastMsgForSubject(ctx, subject)
	if err == nil {
		return string(msg.Data), nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", fmt.Errorf("bucket %s: %w", streams.RunsBucket, err)
	}
	id := fresh()
	_, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(id)}, jetstream.WithExpectLastSequencePerSubject(0))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return b.SystemID(ctx, fresh)
	}
	if err != nil {
		return "", fmt.Errorf("bucket %s: %w", streams.RunsBucket, err)
	}
	return id, nil
}
