// Package journal keeps the undo journals of warm-ups in the FFF_WARMUP bucket, one for
// each run. Its compare-and-swap decides which of two instances goes on.
package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/streams"
)

const bucketStream = "KV_" + streams.WarmUpBucket

// callTimeout bounds one call: a broker that is away must not keep capacity up.
const callTimeout = 5 * time.Second

func key(run string) string { return "$KV." + streams.WarmUpBucket + "." + run }

// Store keeps the journal of one run for one keeper.
type Store struct {
	js       jetstream.JetStream
	run      string
	revision uint64 // that the entry is expected to have
}

var _ warmup.Store = (*Store)(nil)

// Open gives the store of a run. Each keeper needs one of its own.
func Open(js jetstream.JetStream, run string) *Store { return &Store{js: js, run: run} }

// Load reads the journal, and expects from now on that nobody else writes it.
func (s *Store) Load(ctx context.Context) (*warmup.Journal, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	j, revision, err := s.last(ctx)
	if err == nil {
		s.revision = revision
	}
	return j, err
}

func (s *Store) last(ctx context.Context) (*warmup.Journal, uint64, error) {
	st, err := s.js.Stream(ctx, bucketStream)
	if err != nil {
		return nil, 0, fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	msg, err := st.GetLastMsgForSubject(ctx, key(s.run))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	if len(msg.Data) == 0 { // a marker of a deletion
		return nil, msg.Sequence, nil
	}
	j, err := warmup.DecodeJournal(msg.Data)
	if err != nil {
		return nil, 0, fmt.Errorf("bucket %s, run %s: %w", streams.WarmUpBucket, s.run, err)
	}
	return j, msg.Sequence, nil
}

// Save writes the journal, if it is still as it was when it was last read or written.
func (s *Store) Save(ctx context.Context, j *warmup.Journal) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := s.put(ctx, j)
	if !errors.Is(err, warmup.ErrOvertaken) {
		return err
	}
	// It may be the answer to an earlier call that was lost, not the call.
	last, revision, looked := s.last(ctx)
	if looked != nil {
		return looked
	}
	if last == nil || last.Writer != j.Writer {
		return warmup.ErrOvertaken
	}
	s.revision = revision
	return s.put(ctx, j)
}

func (s *Store) put(ctx context.Context, j *warmup.Journal) error {
	data, err := warmup.EncodeJournal(j)
	if err != nil {
		return err
	}
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: key(s.run), Data: data},
		jetstream.WithExpectLastSequencePerSubject(s.revision), jetstream.WithRetryAttempts(0))
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return warmup.ErrOvertaken
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	s.revision = ack.Sequence
	if len(j.Entries) == 0 {
		return s.purge(ctx)
	}
	return nil
}

// purge removes the journal as it was last saved; one that somebody else has saved since
// stays.
func (s *Store) purge(ctx context.Context) error {
	st, err := s.js.Stream(ctx, bucketStream)
	if err == nil {
		err = st.Purge(ctx, jetstream.WithPurgeSubject(key(s.run)), jetstream.WithPurgeSequence(s.revision+1))
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	s.revision = 0
	return nil
}

// Runs names the runs that have something left to undo or to watch.
func Runs(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	st, err := js.Stream(ctx, bucketStream)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(key(">")))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.WarmUpBucket, err)
	}
	var runs []string
	for subject := range info.State.Subjects {
		runs = append(runs, strings.TrimPrefix(subject, key("")))
	}
	return runs, nil
}
