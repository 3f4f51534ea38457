package input_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/input"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// read reads and gives the data of what was read.
func read(t *testing.T, b *brokertest.Broker, first, last uint64) (all []string, at uint64) {
	t.Helper()
	at, err := input.Read(t.Context(), b.Client, "demo", first, last, func(m *stage.Message) { all = append(all, string(m.Data)) })
	if err != nil {
		t.Fatal(err)
	}
	return all, at
}

func TestReadGivesTheBatchesBetweenInOrder(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	const batches = 150 // more than are asked for at a time
	var want []string
	for i := range batches { // sequences 2, 4, … are the run's
		b.Publish("fff.ingest.other", []byte("other"))
		b.Publish("fff.ingest.demo", fmt.Appendf(nil, "b%d", i))
		want = append(want, fmt.Sprint("b", i))
	}
	for _, tc := range []struct {
		first, last uint64
		want        []string
		at          uint64
	}{
		{0, 2 * batches, want, 2 * batches},
		{1, 1 << 40, want, 2 * batches},
		{4, 7, want[1:3], 6},
		{5, 6, want[2:3], 6},
		{6, 6, want[2:3], 6},
		{7, 7, nil, 0},
		{0, 1, nil, 0},
		{9, 8, nil, 0},
		{2*batches + 1, 1 << 40, nil, 0},
	} {
		got, at := read(t, b, tc.first, tc.last)
		if !slices.Equal(got, tc.want) || at != tc.at {
			t.Errorf("from %d to %d: %d batches up to %d, want %d up to %d", tc.first, tc.last, len(got), at, len(tc.want), tc.at)
		}
	}
	st, err := b.JS.Stream(t.Context(), streams.Ingest)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left behind", n)
	}
}

func TestReadTellsWhatTheProducerSaid(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Publish("fff.ingest.demo", []byte("line\n"), "Nats-Msg-Id", "x-1", "Content-Type", "application/x-ndjson")
	b.Publish("fff.ingest.demo", []byte("{}"))
	var got []stage.Message
	if _, err := input.Read(t.Context(), b.Client, "demo", 1, 2, func(m *stage.Message) { got = append(got, *m) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "x-1" || got[0].ContentType != "application/x-ndjson" || got[0].Sequence != 1 || got[1].ID != "" || got[1].Sequence != 2 {
		t.Errorf("read %+v", got)
	}
}

func TestReadLeavesOutWhatWasRemoved(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for i := range 4 {
		b.Publish("fff.ingest.demo", fmt.Appendf(nil, "b%d", i))
	}
	if err := streams.Delete(t.Context(), b.JS, streams.Ingest, 2); err != nil {
		t.Fatal(err)
	}
	if got, at := read(t, b, 1, 4); !slices.Equal(got, []string{"b0", "b2", "b3"}) || at != 4 {
		t.Errorf("read %q up to %d", got, at)
	}
}

func TestReadEndsWhenTheRestIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for range 100 {
		b.Publish("fff.ingest.demo", []byte("batch"))
	}
	n := 0
	_, err := input.Read(t.Context(), b.Client, "demo", 1, 100, func(*stage.Message) {
		if n++; n == 1 {
			if _, err := streams.PurgeSubject(t.Context(), b.JS, streams.Ingest, "fff.ingest.demo"); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || n == 0 || n == 100 {
		t.Errorf("%d batches were read (%v), want those that were on their way alone", n, err)
	}
}

func TestReadSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Publish("fff.ingest.demo", []byte("batch"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none := func(*stage.Message) { t.Error("a batch was read") }
	if _, err := input.Read(ctx, b.Client, "demo", 1, 1, none); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if err := b.JS.DeleteStream(t.Context(), streams.Ingest); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if _, err := input.Read(short, b.Client, "demo", 1, 1, none); err == nil {
		t.Error("a stream that is not there was read")
	}
}
