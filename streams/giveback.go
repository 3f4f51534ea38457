package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// giveBackTimeout bounds the wait for a consumer's word on what was given back.
const giveBackTimeout = 10 * time.Second

// GiveBack has the broker give out again, at once, every message that somebody holds. Else it
// waits until their ack wait is over, because it cannot know that whoever held them is dead:
// who calls GiveBack must know it. What is acked stays acked, and deliveries stay counted,
// so a message that kills its process is known by its number all the same. That is why the
// consumers are not made anew.
func GiveBack(ctx context.Context, js jetstream.JetStream) error {
	for _, s := range Stages() {
		st, err := js.Stream(ctx, Of(s))
		if err != nil {
			return fmt.Errorf("stream %s: %w", Of(s), err)
		}
		first := st.CachedInfo().State.FirstSeq
		consumers := st.ListConsumers(ctx)
		for info := range consumers.Info() {
			if err := giveBack(ctx, js.Conn(), first, info); err != nil {
				return fmt.Errorf("consumer %s: %w", info.Name, err)
			}
		}
		if err := consumers.Err(); err != nil {
			return fmt.Errorf("consumers of stream %s: %w", Of(s), err)
		}
	}
	return nil
}

// giveBack naks each message that a consumer may have given out. The broker does not tell
// which ones are not acked, and minds no word on the others. first is the stream's first
// message: what was before it is done.
func giveBack(ctx context.Context, nc *nats.Conn, first uint64, info *jetstream.ConsumerInfo) error {
	if info.NumAckPending == 0 {
		return nil
	}
	last := info.Delivered.Stream
	for seq := max(info.AckFloor.Stream+1, first); seq < last; seq++ {
		if err := nc.Publish(ackSubject(info, seq), nak); err != nil {
			return err
		}
	}
	// The broker takes words on messages in their order: its answer to the last is one to all.
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	_, err := nc.RequestWithContext(ctx, ackSubject(info, last), nak)
	return err
}

var nak = []byte("-NAK")

// ackSubject is where words on a message are sent: stream, consumer, times delivered, place in
// the stream and in the deliveries, time, messages after it. Of these the broker looks at the
// place in the stream, and whether there was such a delivery.
func ackSubject(info *jetstream.ConsumerInfo, seq uint64) string {
	return fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", info.Stream, info.Name, seq, info.Delivered.Consumer)
}
