package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Ensure makes every stream that is missing and sets right those that differ. replicas is
// 1 on a single server, 3 on a cluster; streams are made with their final number. Limits
// that somebody has set stay as they are: max_bytes, more replicas, placement and
// compression. Differing lists them.
func Ensure(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return each(ctx, func(ctx context.Context, c jetstream.StreamConfig) error {
		c.Replicas = max(replicas, 1)
		st, err := js.Stream(ctx, c.Name)
		switch {
		case err == nil:
			keep(&c, &st.CachedInfo().Config)
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			return err
		}
		_, err = js.CreateOrUpdateStream(ctx, c)
		return err
	})
}

// keep takes into c what an operator may have set. Not max_age and max_msgs: those would
// drop what is not done yet.
func keep(c, have *jetstream.StreamConfig) {
	c.MaxBytes, c.Replicas = have.MaxBytes, max(c.Replicas, have.Replicas)
	c.Placement, c.Compression = have.Placement, have.Compression
}

// Reset is Ensure that keeps no limit that somebody has set.
func Reset(ctx context.Context, js jetstream.JetStream, replicas int) error {
	return each(ctx, func(ctx context.Context, c jetstream.StreamConfig) error {
		c.Replicas = max(replicas, 1)
		_, err := js.CreateOrUpdateStream(ctx, c)
		return err
	})
}

func each(ctx context.Context, fn func(context.Context, jetstream.StreamConfig) error) error {
	for _, c := range Configs() {
		if err := askAgain(ctx, func(ctx context.Context) error { return fn(ctx, c) }); err != nil {
			return fmt.Errorf("stream %s: %w%s", c.Name, err, remedy(err))
		}
	}
	return nil
}

// askAgain asks again when no answer comes. A cluster answers one only of those that make or
// change the same stream at the same moment, as orchestrators do that start together; the
// others would wait in vain, and for a long time, and meet again at the next stream. So the
// first tries are short, and of random length.
func askAgain(ctx context.Context, ask func(context.Context) error) error {
	for wait := time.Second; ; wait *= 2 {
		try, cancel := context.WithTimeout(ctx, wait+rand.N(wait))
		err := ask(try)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || wait >= 8*time.Second {
			return err
		}
	}
}

// Differing tells in words which streams may hold more or less than they are made with.
func Differing(ctx context.Context, js jetstream.JetStream) (all []string, err error) {
	err = each(ctx, func(ctx context.Context, c jetstream.StreamConfig) error {
		n, err := Limit(ctx, js, c.Name)
		if err == nil && n != c.MaxBytes {
			all = append(all, fmt.Sprintf("%s has max_bytes %d instead of %d", c.Name, n, c.MaxBytes))
		}
		return err
	})
	return all, err
}

// Limit gives the bytes that a stream may hold, -1 if there is no limit.
func Limit(ctx context.Context, js jetstream.JetStream, stream string) (int64, error) {
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	return st.CachedInfo().Config.MaxBytes, nil
}

func remedy(err error) string {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == 10047 || api.ErrorCode == 10023) {
		return " (the sum of all streams' max_bytes must fit max_file_store of the server; raise that)"
	}
	return ""
}

// OpenConsumers makes the durable consumers of a run, one a stage. A consumer that is
// there already keeps its place and gets these settings; the ingest's is left to Rewind. ackWait is how long a message that
// is not acked and not worked on stays with whoever has it; 0 leaves it as it is in the data.
func OpenConsumers(ctx context.Context, js jetstream.JetStream, run string, ackWait time.Duration) error {
	for _, s := range Stages() {
		if s == stage.Ingest {
			_, readable, err := InputEpoch(ctx, js, run)
			if err != nil {
				return err
			}
			if readable {
				continue
			}
		}
		if err := putConsumer(ctx, js, s, Consumer(s, run), ackWait); err != nil {
			return err
		}
	}
	return nil
}

func putConsumer(ctx context.Context, js jetstream.JetStream, s stage.Name, c jetstream.ConsumerConfig, ackWait time.Duration) error {
	if ackWait > 0 {
		c.AckWait = ackWait
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, Of(s), c); err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	return nil
}

// CloseConsumers removes the durable consumers of a run.
func CloseConsumers(ctx context.Context, js jetstream.JetStream, run string) error {
	for _, s := range Stages() {
		err := js.DeleteConsumer(ctx, Of(s), ConsumerName(s, run))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("consumer %s: %w", ConsumerName(s, run), err)
		}
	}
	return nil
}

// epochKey names the epoch in the metadata of a consumer that was made for it.
const epochKey = "fff-epoch"

// Rewind makes the ingest of a run read its input from the start again, for an epoch.
// ackWait is as for OpenConsumers.
func Rewind(ctx context.Context, js jetstream.JetStream, run string, epoch uint64, ackWait time.Duration) error {
	c := Consumer(stage.Ingest, run)
	if err := js.DeleteConsumer(ctx, Ingest, c.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	c.Metadata = map[string]string{epochKey: strconv.FormatUint(epoch, 10)}
	return putConsumer(ctx, js, stage.Ingest, c, ackWait)
}

// InputEpoch gives the epoch in which a run's input is read, as ConsumerEpoch does; readable is
// false where nobody can read it, for want of a consumer.
func InputEpoch(ctx context.Context, js jetstream.JetStream, run string) (epoch uint64, readable bool, err error) {
	name := ConsumerName(stage.Ingest, run)
	cons, err := js.Consumer(ctx, Ingest, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("consumer %s: %w", name, err)
	}
	return ConsumerEpoch(cons.CachedInfo()), true, nil
}

// ConsumerEpoch gives the epoch that a consumer was made for by Rewind; 0 for others.
func ConsumerEpoch(info *jetstream.ConsumerInfo) uint64 {
	n, _ := strconv.ParseUint(info.Config.Metadata[epochKey], 10, 64)
	return n
}
