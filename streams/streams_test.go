package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

var update = flag.Bool("update", false, "write the golden files and docs/streams.md anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs from what the broker has; run `go generate ./streams` and look at the difference:\n%s", file, got)
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// TestTopology compares what a real broker has made of the files with what was looked at.
func TestTopology(t *testing.T) {
	b := brokertest.Start(t)
	if err := streams.OpenConsumers(t.Context(), b.JS, "demo", 0); err != nil {
		t.Fatal(err)
	}
	var topology struct {
		Streams   []jetstream.StreamConfig   `json:"streams"`
		Consumers []jetstream.ConsumerConfig `json:"consumers"`
	}
	for _, c := range streams.Configs() {
		st, err := b.JS.Stream(t.Context(), c.Name)
		if err != nil {
			t.Fatal(err)
		}
		topology.Streams = append(topology.Streams, plain(st.CachedInfo().Config))
	}
	for _, s := range streams.Stages() {
		cons, err := b.JS.Consumer(t.Context(), streams.Of(s), streams.ConsumerName(s, "demo"))
		if err != nil {
			t.Fatal(err)
		}
		cfg := cons.CachedInfo().Config
		cfg.Metadata = nil
		topology.Consumers = append(topology.Consumers, cfg)
	}
	golden(t, "testdata/topology.json", indented(t, topology))
}

// plain leaves out what the broker adds of itself: its version.
func plain(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Metadata = nil
	return c
}

func TestEnsureTwiceChangesNothing(t *testing.T) {
	b := brokertest.Start(t)
	b.Publish("fff.dynamo.demo", []byte("kept"))
	before := infos(t, b)
	if err := streams.Ensure(t.Context(), b.JS, 1); err != nil {
		t.Fatal(err)
	}
	if after := infos(t, b); !slices.Equal(after, before) {
		t.Errorf("after ensuring again:\n%s\nbefore:\n%s", after, before)
	}
}

func TestEnsureSetsRightWhatDiffers(t *testing.T) {
	b := brokertest.Start(t)
	before := infos(t, b)
	odd := streams.Configs()[0]
	odd.Replicas, odd.MaxMsgSize, odd.MaxAge, odd.Description = 1, 1<<20, time.Hour, "changed by hand"
	if _, err := b.JS.UpdateStream(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(infos(t, b), before) {
		t.Fatal("nothing was changed")
	}
	if err := streams.Ensure(t.Context(), b.JS, 0); err != nil {
		t.Fatal(err)
	}
	if after := infos(t, b); !slices.Equal(after, before) {
		t.Errorf("after ensuring:\n%s\nwant:\n%s", after, before)
	}
}

// What an operator has given to a stream survives the start of the services; it is told,
// and taken back by Reset alone.
func TestEnsureKeepsLimits(t *testing.T) {
	b := brokertest.Start(t)
	before := infos(t, b)
	if different, err := streams.Differing(t.Context(), b.JS); err != nil || len(different) > 0 {
		t.Errorf("new streams differ: %v, %v", different, err)
	}
	own := streams.Configs()[0]
	was := own.MaxBytes
	own.MaxBytes, own.Compression = 1<<20, jetstream.S2Compression
	if _, err := b.JS.UpdateStream(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	changed := infos(t, b)
	if err := streams.Ensure(t.Context(), b.JS, 1); err != nil {
		t.Fatal(err)
	}
	if after := infos(t, b); !slices.Equal(after, changed) {
		t.Errorf("after ensuring:\n%s\nwant:\n%s", after, changed)
	}
	want := fmt.Sprintf("[%s has max_bytes 1048576 instead of %d]", own.Name, was)
	if different, err := streams.Differing(t.Context(), b.JS); err != nil || fmt.Sprint(different) != want {
		t.Errorf("differing: %v, %v; want %s", different, err, want)
	}
	if err := streams.Reset(t.Context(), b.JS, 1); err != nil {
		t.Fatal(err)
	}
	if after := infos(t, b); !slices.Equal(after, before) {
		t.Errorf("after the reset:\n%s\nwant:\n%s", after, before)
	}
}

// infos words configuration and content of every stream.
func infos(t *testing.T, b *brokertest.Broker) []string {
	t.Helper()
	var all []string
	for _, c := range streams.Configs() {
		st, err := b.JS.Stream(t.Context(), c.Name)
		if err != nil {
			t.Fatal(err)
		}
		info := st.CachedInfo()
		all = append(all, fmt.Sprintf("%+v %d messages", plain(info.Config), info.State.Msgs))
	}
	return all
}

func TestEnsureOnASmallStoreSaysWhatToDo(t *testing.T) {
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: t.TempDir(), MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: server.URL()}, "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := streams.Ensure(t.Context(), js, 1); err == nil || !strings.Contains(err.Error(), "max_file_store") {
		t.Errorf("ensured on a store of 1 GiB: %v, want an error that names max_file_store", err)
	}
}

func TestEverySubjectHasItsStream(t *testing.T) {
	b := brokertest.Start(t)
	for subject, want := range map[string]string{
		"fff.ingest.demo": streams.Ingest, "fff.dynamo.demo": streams.Dynamo, "fff.fs-fast.demo": streams.FSFast, "fff.fs-slow.demo": streams.FSSlow,
		"fff.writer.demo": streams.Writer, "fff.parts.demo": streams.Parts, "fff.commits.demo": streams.Commits, "fff.failed.demo.dynamo": streams.Failed,
		"$KV.FFF_RUNS.demo": "KV_FFF_RUNS", "$KV.FFF_WARMUP.demo": "KV_FFF_WARMUP", "$KV.FFF_LEASES.leader": "KV_FFF_LEASES",
	} {
		if got, err := b.JS.StreamNameBySubject(t.Context(), subject); got != want {
			t.Errorf("%s is kept by stream %q (%v), want %s", subject, got, err, want)
		}
	}
	for _, s := range streams.Stages() {
		if got, _ := b.JS.StreamNameBySubject(t.Context(), streams.Subject(s, "demo")); got == "" || got != streams.Of(s) {
			t.Errorf("stage %s reads %s, whose stream is %q, from stream %s", s, streams.Subject(s, "demo"), got, streams.Of(s))
		}
	}
	for _, subject := range []string{streams.CommitsSubject("demo"), streams.FailedSubject("demo", "writer")} {
		if _, err := b.JS.StreamNameBySubject(t.Context(), subject); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestExportGivesWhatTheToolsOfNATSTake(t *testing.T) {
	files := streams.Export()
	if want := len(streams.Configs()) + len(streams.Stages()); len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	for name, data := range files {
		var any struct{ Name, Stream_name string }
		if err := json.Unmarshal(data, &any); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if dir, file := filepath.Split(name); dir == "streams/" && file != any.Name+".json" || dir != "streams/" && dir != "consumers/" {
			t.Errorf("%s holds stream %q", name, any.Name)
		}
	}
}

func TestConsumersOfARun(t *testing.T) {
	b := brokertest.Start(t)
	for _, run := range []string{"one", "two"} {
		if err := streams.OpenConsumers(t.Context(), b.JS, run, 0); err != nil {
			t.Fatal(err)
		}
	}
	// One run's messages go to its own consumers alone. A consumer learns of a message
	// after its publisher has had the answer, so the one that is to see it is awaited.
	b.Publish("fff.dynamo.two", []byte("word"))
	brokertest.Await(t, "the message to be pending for run two", func() bool {
		n, err := streams.Pending(t.Context(), b.JS, stage.Dynamo, "two")
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	if n, err := streams.Pending(t.Context(), b.JS, stage.Dynamo, "one"); n != 0 || err != nil {
		t.Errorf("run one has %d messages pending (%v), want none", n, err)
	}
	for range 2 { // closing twice is as good
		if err := streams.CloseConsumers(t.Context(), b.JS, "one"); err != nil {
			t.Fatal(err)
		}
	}
	for run, want := range map[string]error{"one": jetstream.ErrConsumerNotFound, "two": nil} {
		for _, s := range streams.Stages() {
			if _, err := b.JS.Consumer(t.Context(), streams.Of(s), streams.ConsumerName(s, run)); !errors.Is(err, want) {
				t.Errorf("consumer %s: %v, want %v", streams.ConsumerName(s, run), err, want)
			}
		}
	}
	if _, err := streams.Pending(t.Context(), b.JS, stage.Dynamo, "one"); err == nil {
		t.Error("a run without consumers has a number of pending messages")
	}
}

// next takes the next message of a stage's consumer.
func next(t *testing.T, b *brokertest.Broker, s stage.Name) jetstream.Msg {
	t.Helper()
	cons, err := b.JS.Consumer(t.Context(), streams.Of(s), streams.ConsumerName(s, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheConsumersOfARunHaveItsAckWait(t *testing.T) {
	b := brokertest.Start(t)
	const wait = 7 * time.Second
	if err := streams.OpenConsumers(t.Context(), b.JS, "demo", wait); err != nil {
		t.Fatal(err)
	}
	if err := streams.Rewind(t.Context(), b.JS, "demo", 2, wait); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams.Stages() {
		cons, err := b.JS.Consumer(t.Context(), streams.Of(s), streams.ConsumerName(s, "demo"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cons.CachedInfo().Config.AckWait; got != wait {
			t.Errorf("%s waits %s for an ack, want %s", s, got, wait)
		}
	}
}

func TestRewindGivesTheInputAgain(t *testing.T) {
	b := brokertest.Start(t)
	if err := streams.OpenConsumers(t.Context(), b.JS, "demo", 0); err != nil {
		t.Fatal(err)
	}
	b.Publish("fff.ingest.demo", []byte("first"))
	b.Publish("fff.ingest.demo", []byte("second"))
	// The counts of a consumer follow what it has handed out and what was published.
	pending := func(want int64) {
		t.Helper()
		brokertest.Await(t, fmt.Sprintf("%d messages are pending", want), func() bool {
			n, err := streams.Pending(t.Context(), b.JS, stage.Ingest, "demo")
			if err != nil {
				t.Fatal(err)
			}
			return n == want
		})
	}
	pending(2)
	m := next(t, b, stage.Ingest)
	pending(2) // delivered, and not acked
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	pending(1)
	for range 2 { // also when its consumer is not there
		if err := streams.Rewind(t.Context(), b.JS, "demo", 2, 0); err != nil {
			t.Fatal(err)
		}
		pending(2)
		if got := string(next(t, b, stage.Ingest).Data()); got != "first" {
			t.Errorf("the input starts with %q", got)
		}
		cons, err := b.JS.Consumer(t.Context(), streams.Ingest, "ingest-demo")
		if err != nil {
			t.Fatal(err)
		}
		if got := streams.ConsumerEpoch(cons.CachedInfo()); got != 2 {
			t.Errorf("the consumer is of epoch %d, want 2", got)
		}
		if err := b.JS.DeleteConsumer(t.Context(), streams.Ingest, "ingest-demo"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPurgeEmptiesTheQueuesOfOneRun(t *testing.T) {
	b := brokertest.Start(t)
	if err := streams.OpenConsumers(t.Context(), b.JS, "demo", 0); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams.Stages() {
		for _, run := range []string{"demo", "other"} {
			b.Publish(streams.Subject(s, run), []byte("word"))
			b.Publish(streams.Subject(s, run), []byte("word"))
		}
	}
	next(t, b, stage.Dynamo) // one is in a stage's hand
	if err := streams.Purge(t.Context(), b.JS, "demo"); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams.Stages() {
		want := 0
		if s == stage.Ingest {
			want = 2 // the input stays: it is read again
		}
		if n := b.Count(streams.Of(s), streams.Subject(s, "demo")); n != want {
			t.Errorf("%d messages on %s, want %d", n, streams.Subject(s, "demo"), want)
		}
		if n := b.Count(streams.Of(s), streams.Subject(s, "other")); n != 2 {
			t.Errorf("%d messages of another run on %s, want 2", n, streams.Subject(s, "other"))
		}
	}
}

func TestSequencesAndDeletion(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	for _, run := range []string{"a", "b", "a", "b", "a"} { // sequences 1 to 5
		b.Publish("fff.ingest."+run, []byte(run))
	}
	last := func(run string) uint64 {
		t.Helper()
		n, err := streams.LastSequence(ctx, b.JS, streams.Ingest, "fff.ingest."+run)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if last("a") != 5 || last("b") != 4 || last("none") != 0 {
		t.Errorf("last sequences %d, %d, %d, want 5, 4, 0", last("a"), last("b"), last("none"))
	}
	for _, tc := range []struct {
		run        string
		from, want uint64
	}{{"a", 0, 1}, {"a", 1, 1}, {"a", 2, 3}, {"b", 1, 2}, {"b", 5, 0}, {"none", 1, 0}} {
		if n, err := streams.NextSequence(ctx, b.JS, streams.Ingest, "fff.ingest."+tc.run, tc.from); n != tc.want || err != nil {
			t.Errorf("from %d on run %s has its next message at %d (%v), want %d", tc.from, tc.run, n, err, tc.want)
		}
	}
	if subjects, err := streams.Subjects(ctx, b.JS, streams.Ingest, "fff.ingest.>"); err != nil || subjects["fff.ingest.a"] != 3 || subjects["fff.ingest.b"] != 2 {
		t.Errorf("subjects %v (%v)", subjects, err)
	}
	if err := streams.PurgeUpTo(ctx, b.JS, streams.Ingest, "fff.ingest.a", 3); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(streams.Ingest, "fff.ingest.a"); n != 1 {
		t.Errorf("%d messages after a purge up to sequence 3, want 1", n)
	}
	for _, sequence := range []uint64{5, 5, 1, 100} { // it may be gone already, or purged, or never have been
		if err := streams.Delete(ctx, b.JS, streams.Ingest, sequence); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Count(streams.Ingest, "fff.ingest.a"); n != 0 {
		t.Errorf("%d messages after all were deleted", n)
	}
	if n, err := streams.PurgeSubject(ctx, b.JS, streams.Ingest, "fff.ingest.b"); n != 2 || err != nil {
		t.Errorf("%d messages purged (%v), want 2", n, err)
	}
	if n, err := streams.PurgeSubject(ctx, b.JS, streams.Ingest, "fff.ingest.b"); n != 0 || err != nil {
		t.Errorf("%d messages purged of an empty subject (%v)", n, err)
	}
}

func TestFullBeforeTheLastByte(t *testing.T) {
	b := brokertest.Start(t)
	full := func(want bool) {
		t.Helper()
		if got, err := streams.Full(t.Context(), b.JS, streams.Failed); got != want || err != nil {
			t.Errorf("full: %v (%v), want %v", got, err, want)
		}
	}
	full(false)
	st, err := b.JS.Stream(t.Context(), streams.Failed)
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxBytes = 8*int64(cfg.MaxMsgSize) + 1<<10
	if _, err := b.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	full(false)
	b.Publish("fff.failed.demo.dynamo", make([]byte, 2<<10))
	full(true)
}

func TestCountIsOneQuestion(t *testing.T) {
	b := brokertest.Start(t)
	for _, run := range []string{"demo", "demo", "other"} {
		b.Publish(streams.Subject(stage.Dynamo, run), []byte("word"))
	}
	before := b.NC.Stats().OutMsgs
	for subject, want := range map[string]uint64{"fff.dynamo.demo": 2, "fff.dynamo.other": 1, "fff.dynamo.none": 0} {
		if n, err := streams.Count(t.Context(), b.JS, streams.Dynamo, subject); err != nil || n != want {
			t.Errorf("%s: %d messages, want %d (%v)", subject, n, want, err)
		}
	}
	if asked := b.NC.Stats().OutMsgs - before; asked != 3 {
		t.Errorf("three counts are %d questions", asked)
	}
}

func TestAStreamThatIsNotThereIsNamed(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	if err := b.JS.DeleteStream(ctx, streams.Dynamo); err != nil {
		t.Fatal(err)
	}
	count := func() error { _, err := streams.Count(ctx, b.JS, streams.Dynamo, "fff.dynamo.demo"); return err }
	last := func() error {
		_, err := streams.LastSequence(ctx, b.JS, streams.Dynamo, "fff.dynamo.demo")
		return err
	}
	open := func() error { return streams.OpenConsumers(ctx, b.JS, "demo", 0) }
	purge := func() error { return streams.Purge(ctx, b.JS, "demo") }
	for name, call := range map[string]func() error{"count": count, "last": last, "open": open, "purge": purge} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "dynamo") && !strings.Contains(err.Error(), streams.Dynamo) {
			t.Errorf("%s: %v, want an error that names the stream or consumer", name, err)
		}
	}
	if err := streams.CloseConsumers(ctx, b.JS, "demo"); err != nil {
		t.Errorf("closing consumers of a stream that is gone: %v", err)
	}
}

// TestDocuments writes and guards the table that the README links to.
func TestDocuments(t *testing.T) {
	golden(t, "../docs/streams.md", table())
}

// table words streams, subjects and consumers as Markdown.
func table() []byte {
	var b strings.Builder
	b.WriteString(`# Streams and subjects

Written by ` + "`go generate ./streams`" + ` from the files below [streams/data](../streams/data), which
` + "`fff streams show|apply|export`" + ` and the ` + "`nats`" + ` tool use too.

| stream | subjects | keeps | at most | what it holds |
|---|---|---|---|---|
`)
	for _, c := range streams.Configs() {
		keeps := "until it is purged"
		switch {
		case c.Retention == jetstream.WorkQueuePolicy:
			keeps = "until it is acked"
		case c.MaxMsgsPerSubject == 1:
			keeps = "the last of each subject"
		case c.MaxMsgsPerSubject > 1:
			keeps = fmt.Sprintf("the last %d of each subject", c.MaxMsgsPerSubject)
		}
		subjects := strings.Join(c.Subjects, "`, `")
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", c.Name, subjects, keeps, size(c.MaxBytes), c.Description)
	}
	b.WriteString(`
Every stream is stored in files and refuses what is above its bound (` + "`discard: new`" + `): who publishes
waits, and nothing is dropped. ` + "`<run>`" + ` is the id of a run.

Each stage has one durable consumer for each run. It is made when the run is opened and removed
at teardown; that of ingest is made anew for each epoch, which its metadata names (` + "`fff-epoch`" + `).

| consumer | stream | subject | acked within | in hand at most |
|---|---|---|---|---|
`)
	for _, s := range streams.Stages() {
		c := streams.Consumer(s, "<run>")
		fmt.Fprintf(&b, "| `%s` | `%s` | `%s` | %v | %d |\n", c.Durable, streams.Of(s), c.FilterSubject, c.AckWait, c.MaxAckPending)
	}
	b.WriteString("\nA message in hand is kept with `InProgress` for longer than its ack takes.\n")
	return []byte(b.String())
}

func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
