package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// shrink bounds a stream to some bytes and messages of some bytes.
func shrink(t *testing.T, b *brokertest.Broker, stream string, maxBytes int64, maxMsg int32) {
	t.Helper()
	st, err := b.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxBytes, cfg.MaxMsgSize = maxBytes, maxMsg
	if _, err := b.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestPublishUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	shrink(t, b, streams.Parts, 64<<10, 2<<20)
	b.Publish("fff.parts.other", make([]byte, 60<<10))
	var why atomic.Value
	why.Store("nothing yet")
	published := make(chan error, 1)
	go func() {
		published <- b.PublishUntil(t.Context(), &nats.Msg{Subject: "fff.parts.demo", Data: make([]byte, 8<<10)}, func(s string) { why.Store(s) })
	}()
	brokertest.Await(t, "it says what it waits for", func() bool { return strings.Contains(why.Load().(string), "room on fff.parts.demo") })
	if _, err := streams.PurgeSubject(t.Context(), b.JS, streams.Parts, "fff.parts.other"); err != nil {
		t.Fatal(err)
	}
	if err := <-published; err != nil {
		t.Error(err)
	}
	if why.Load() != "" || b.Count(streams.Parts, "fff.parts.demo") != 1 {
		t.Errorf("published %d, waiting %q", b.Count(streams.Parts, "fff.parts.demo"), why.Load())
	}
}

func TestPublishUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	stopped := errors.New("the epoch has ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := b.PublishUntil(ctx, &nats.Msg{Subject: "fff.nobody.listens"}, func(string) { cancel(stopped) })
	if !errors.Is(err, stopped) {
		t.Errorf("%v, want the context's cause", err)
	}
}

func TestPublishUntilGivesUpOnWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	shrink(t, b, streams.Parts, 1<<20, 1<<10)
	for subject, size := range map[string]int{"fff.parts.demo": 2 << 10, "fff.dynamo.demo": broker.MaxPayload + 1} {
		err := b.PublishUntil(t.Context(), &nats.Msg{Subject: subject, Data: make([]byte, size)}, func(string) {})
		if !errors.Is(err, broker.ErrTooLarge) || !strings.Contains(err.Error(), subject) {
			t.Errorf("%d bytes on %s: %v, want ErrTooLarge", size, subject, err)
		}
	}
	closed := b.Connect()
	closed.NC.Close()
	if err := closed.PublishUntil(t.Context(), &nats.Msg{Subject: "fff.dynamo.demo"}, func(string) {}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("on a closed connection: %v", err)
	}
}

func TestPublishUntilOutlastsARestart(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect()
	b.Stop()
	waiting := make(chan struct{}, 100)
	published := make(chan error, 1)
	go func() {
		published <- c.PublishStaged(t.Context(), "demo", []byte("part"))
		waiting <- struct{}{}
	}()
	b.Restart()
	if err := <-published; err != nil {
		t.Error(err)
	}
	if n := b.Count(streams.Parts, "fff.parts.demo"); n != 1 {
		t.Errorf("%d parts are stored", n)
	}
}

func TestPublishedAsStagesAndProducersDo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if err := b.PublishWork(t.Context(), stage.FSFast, "demo", 7, []byte("block")); err != nil {
		t.Fatal(err)
	}
	if m := b.Stored(streams.FSFast, "fff.fs-fast.demo"); len(m) != 1 || string(m[0].Data) != "block" || m[0].Header.Get(streams.HeaderEpoch) != "7" {
		t.Errorf("work %v", m)
	}
	for range 2 {
		if err := b.PublishBatch(t.Context(), "demo", "application/x-ndjson", []byte("batch")); err != nil {
			t.Fatal(err)
		}
	}
	batches := b.Stored(streams.Ingest, "fff.ingest.demo")
	if len(batches) != 2 || batches[0].Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("batches %v", batches)
	}
	if one, other := batches[0].Header.Get(jetstream.MsgIDHeader), batches[1].Header.Get(jetstream.MsgIDHeader); one == "" || one == other {
		t.Errorf("ids %q and %q, want two", one, other)
	}
}

func TestADeadLetterAlwaysFits(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := &broker.Letter{
		Run: "demo", Stage: "ingest", Kind: stage.KindBatch, Code: "bad_batch", Reason: strings.Repeat("no\nJSON ", 1000),
		Subject: "fff.ingest.demo", Sequence: 42, Attempts: 1, Count: 1, Epoch: 3, Service: "ingest.one", ContentType: "text/plain",
	}
	for _, size := range []int{768 << 10, broker.MaxPayload - 100} {
		l.Data = make([]byte, size)
		if err := b.PublishLetter(t.Context(), l, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	letters := b.Stored(streams.Failed, "fff.failed.demo.ingest")
	if len(letters) != 2 || len(letters[0].Data) != 768<<10 || len(letters[1].Data) != 0 {
		t.Fatalf("%d letters", len(letters))
	}
	for i, m := range letters {
		if reason := m.Header.Get(streams.HeaderReason); len(reason) > 1000 || strings.Contains(reason, "\n") || !strings.HasPrefix(reason, "no JSON") {
			t.Errorf("letter %d has a reason of %d bytes: %s", i, len(reason), reason)
		}
	}
	if reason := letters[1].Header.Get(streams.HeaderReason); !strings.Contains(reason, "message 42 on fff.ingest.demo") {
		t.Errorf("the letter without data says %q", reason)
	}
}

func TestHeaderText(t *testing.T) {
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"}, {" trimmed\r\n", 20, "trimmed"}, {"two\nlines\tand more", 20, "two lines and more"},
		{"broken \xff byte", 20, "broken   byte"}, {"exactly", 7, "exactly"}, {"one more", 7, "one …"}, {"äöüäöü", 8, "äö…"}, {"", 5, ""},
	} {
		if got := broker.HeaderText(tc.in, tc.limit); got != tc.want {
			t.Errorf("HeaderText(%q, %d) is %q, want %q", tc.in, tc.limit, got, tc.want)
		}
	}
}

func FuzzHeaderText(f *testing.F) {
	f.Add("two\nlines", 5)
	f.Add("\xff\xfe…", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 3 + max(limit, -limit, 0)%1000 // room for the ellipsis at least
		got := broker.HeaderText(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("HeaderText(%q, %d) is %q", s, limit, got)
		}
	})
}

func TestRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	slow := make(chan struct{})
	stop, err := b.Serve("fff.ask.*", func(r *broker.Request) []byte {
		switch string(r.Data) {
		case "slow":
			<-slow
		case "nothing":
			return nil
		}
		return []byte(r.Subject + " " + r.Header("Name"))
	})
	if err != nil {
		t.Fatal(err)
	}
	c := b.Connect()
	held := make(chan error, 1)
	go func() {
		_, err := c.NC.Request("fff.ask.slow", []byte("slow"), 30*time.Second)
		held <- err
	}()
	m, err := c.NC.RequestMsg(&nats.Msg{Subject: "fff.ask.demo", Header: nats.Header{"Name": {"value"}}}, 10*time.Second)
	if err != nil || string(m.Data) != "fff.ask.demo value" {
		t.Errorf("answered %v (%v); one that is slow must not hold up others", m, err)
	}
	close(slow)
	if err := <-held; err != nil {
		t.Error(err)
	}
	if _, err := c.NC.Request("fff.ask.demo", []byte("nothing"), 50*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("no answer gives %v", err)
	}
	stop()
	if _, err := c.NC.Request("fff.ask.demo", nil, 10*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestFlushHintsNameTheirRun(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	asked := make(chan string, 1)
	stop, err := b.OnFlush(func(run string, queued uint64) { asked <- fmt.Sprint(run, " ", queued) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b.AskFlush("demo", 7)
	if run := <-asked; run != "demo 7" {
		t.Errorf("asked to flush %q", run)
	}
}
