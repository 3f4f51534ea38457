package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Purge removes the messages of a run from the work queues, upstream first, until two
// passes found nothing: a stage that was in the middle of a message may still publish.
func Purge(ctx context.Context, js jetstream.JetStream, run string) error {
	for clean := 0; clean < 2; {
		found := uint64(0)
		for _, s := range Stages() {
			if s == stage.Ingest {
				continue
			}
			n, err := PurgeSubject(ctx, js, Of(s), Subject(s, run))
			if err != nil {
				return err
			}
			found += n
		}
		clean++
		if found > 0 {
			clean = 0
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// PurgeSubject removes all messages of one subject and tells how many there were.
func PurgeSubject(ctx context.Context, js jetstream.JetStream, stream, subject string) (uint64, error) {
	n, err := Count(ctx, js, stream, subject)
	if err != nil || n == 0 {
		return 0, err
	}
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		return 0, fmt.Errorf("purge %s of stream %s: %w", subject, stream, err)
	}
	return n, nil
}

// Count tells how many messages a stream stores for a subject. On a work queue these are
// the pending and the ack-pending ones together. It is asked very often, so it is one
// question to the broker; a handle of the stream would make it two.
func Count(ctx context.Context, js jetstream.JetStream, stream, subject string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, js.Options().DefaultTimeout)
	defer cancel()
	question, err := json.Marshal(map[string]string{"subjects_filter": subject})
	if err != nil {
		return 0, err
	}
	answer, err := js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.INFO."+stream, question)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	var info struct {
		Error *jetstream.APIError   `json:"error"`
		State jetstream.StreamState `json:"state"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return 0, fmt.Errorf("stream %s: the broker's answer: %w", stream, err)
	}
	if info.Error != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, info.Error)
	}
	var n uint64
	for _, c := range info.State.Subjects {
		n += c
	}
	return n, nil
}

// Pending counts the messages that the consumer of a stage has not settled for a run:
// those not delivered and those delivered and not acked. It serves streams that keep what
// is acked.
func Pending(ctx context.Context, js jetstream.JetStream, s stage.Name, run string) (int64, error) {
	cons, err := js.Consumer(ctx, Of(s), ConsumerName(s, run))
	if err != nil {
		return 0, fmt.Errorf("consumer %s: %w", ConsumerName(s, run), err)
	}
	info := cons.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending), nil
}

// LastSequence gives the sequence of the last message of a subject, 0 if there is none.
func LastSequence(ctx context.Context, js jetstream.JetStream, stream, subject string) (uint64, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	msg, err := st.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return msg.Sequence, nil
}

// NextSequence gives the sequence of the first message of a subject from a sequence on, 0
// if there is none.
func NextSequence(ctx context.Context, js jetstream.JetStream, stream, subject string, from uint64) (uint64, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	msg, err := st.GetMsg(ctx, max(from, 1), jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return msg.Sequence, nil
}

// Full tells whether a stream has less room left than one of its largest messages needs
// to be sure of its place.
func Full(ctx context.Context, js jetstream.JetStream, stream string) (bool, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", stream, err)
	}
	info := st.CachedInfo()
	headroom := uint64(8 * info.Config.MaxMsgSize)
	return info.Config.MaxBytes > 0 && info.State.Bytes+headroom > uint64(info.Config.MaxBytes), nil
}

// PurgeUpTo removes the messages of a subject up to a sequence.
func PurgeUpTo(ctx context.Context, js jetstream.JetStream, stream, subject string, last uint64) error {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(last+1)); err != nil {
		return fmt.Errorf("purge %s of stream %s: %w", subject, stream, err)
	}
	return nil
}

// Delete removes one message; it may be gone already.
func Delete(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	err = st.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // which hides the server's reason
		if _, gerr := st.GetMsg(ctx, sequence); errors.Is(gerr, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("delete message %d of stream %s: %w", sequence, stream, err)
	}
	return nil
}

// Subjects gives the subjects of a stream that match a filter, with their messages.
func Subjects(ctx context.Context, js jetstream.JetStream, stream, filter string) (map[string]uint64, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	return info.State.Subjects, nil
}

// LastTime gives the time of the last message of a subject, zero if there is none.
func LastTime(ctx context.Context, js jetstream.JetStream, stream, subject string) (time.Time, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	msg, err := st.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	return msg.Time, nil
}

// PurgeKeep removes the oldest messages of a subject but for the newest keep.
func PurgeKeep(ctx context.Context, js jetstream.JetStream, stream, subject string, keep uint64) error {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(subject)}
	if keep > 0 {
		opts = append(opts, jetstream.WithPurgeKeep(keep))
	}
	if err := st.Purge(ctx, opts...); err != nil {
		return fmt.Errorf("purge %s of stream %s: %w", subject, stream, err)
	}
	return nil
}
