package broker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
)

// BenchmarkAcks stores messages as large as those of packed cells in a work queue, takes
// them all and acks them, in their order and in the reverse.
func BenchmarkAcks(b *testing.B) {
	const messages, size = 128, 448 << 10
	for _, reverse := range []bool{false, true} {
		b.Run(map[bool]string{false: "in order", true: "in reverse"}[reverse], func(b *testing.B) {
			js := brokertest.Start(b).Connect().JS
			ctx := b.Context()
			if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "Q", Subjects: []string{"q"}, Retention: jetstream.WorkQueuePolicy, MaxBytes: 1 << 30}); err != nil {
				b.Fatal(err)
			}
			c, err := js.CreateConsumer(ctx, "Q", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: messages})
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, size)
			for b.Loop() {
				for range messages {
					if _, err := js.Publish(ctx, "q", data); err != nil {
						b.Fatal(err)
					}
				}
				batch, err := c.Fetch(messages, jetstream.FetchMaxWait(time.Minute))
				if err != nil {
					b.Fatal(err)
				}
				taken := make([]jetstream.Msg, 0, messages)
				for m := range batch.Messages() {
					taken = append(taken, m)
				}
				if reverse {
					slices.Reverse(taken)
				}
				for _, m := range taken {
					if err := m.DoubleAck(ctx); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
