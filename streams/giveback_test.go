package streams_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// What dead processes held is given out again although its ack wait, ten minutes, is not
// over; what they acked is not, and deliveries go on being counted.
func TestGiveBack(t *testing.T) {
	b := brokertest.Start(t)
	for _, run := range []string{"one", "two"} {
		if err := streams.OpenConsumers(t.Context(), b.JS, run, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []stage.Name{stage.Ingest, stage.Dynamo} {
		for i := range 6 {
			for _, run := range []string{"one", "two"} {
				if _, err := b.JS.Publish(t.Context(), streams.Subject(s, run), fmt.Appendf(nil, "%s %d", run, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, run := range []string{"one", "two"} {
			for i, m := range take(t, b, s, run, 5) {
				if i == 0 || i == 2 {
					if err := m.DoubleAck(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if err := streams.GiveBack(t.Context(), b.JS); err != nil {
		t.Fatal(err)
	}
	for _, s := range []stage.Name{stage.Ingest, stage.Dynamo} {
		for _, run := range []string{"one", "two"} {
			var got []string
			for _, m := range take(t, b, s, run, 4) {
				meta, err := m.Metadata()
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s x%d", m.Data(), meta.NumDelivered))
			}
			want := fmt.Sprint([]string{run + " 1 x2", run + " 3 x2", run + " 4 x2", run + " 5 x1"})
			if fmt.Sprint(got) != want {
				t.Errorf("%s: got %v, want %s", s, got, want)
			}
		}
	}
}

// A system where nobody holds anything has nothing to give back.
func TestGiveBackOfNothing(t *testing.T) {
	b := brokertest.Start(t)
	if err := streams.OpenConsumers(t.Context(), b.JS, "one", 0); err != nil {
		t.Fatal(err)
	}
	if err := streams.GiveBack(t.Context(), b.JS); err != nil {
		t.Fatal(err)
	}
}

// take gets the next messages of a stage and a run.
func take(t *testing.T, b *brokertest.Broker, s stage.Name, run string, n int) []jetstream.Msg {
	t.Helper()
	cons, err := b.JS.Consumer(t.Context(), streams.Of(s), streams.ConsumerName(s, run))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cons.Fetch(n, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var all []jetstream.Msg
	for m := range batch.Messages() {
		all = append(all, m)
	}
	if err := batch.Error(); err != nil || len(all) != n {
		t.Fatalf("%s of %s: %d messages, want %d: %v", s, run, len(all), n, err)
	}
	return all
}
