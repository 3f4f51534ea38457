package allinone_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// The stand-ins are small and quick here, and miss often enough for every path to be used.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"FFF_HTTP_ADDR":                   settings.HTTPOff,
		"FFF_SANDBOX_FEATURES_PER_FAMILY": "10",
		"FFF_SANDBOX_HIT_RATIO":           "0.6",
		"FFF_SANDBOX_FAST_MAX":            "0s",
		"FFF_SANDBOX_SLOW_MIN":            "0s",
		"FFF_SANDBOX_SLOW_MAX":            "0s",
		"FFF_SHUTDOWN_GRACE":              "10m", // nothing in hand is given up before a test's patience ends
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// The tests wait more than they work: for fsync, for back-off, for what is to time out.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// Bounds of the usual job: every way that a cell can take, two families each.
const (
	users      = 60
	batchOf    = 20
	families   = 8
	cellsOfJob = users * families
)

// job is what a run file says. What is left out is as in the usual job.
type job struct {
	run      string // "job"
	families string // lines
	dynamodb string // the block's inside
	url      string // of the feature service
	lanes    string // settings of both lanes of the feature service
	more     string // further lines
}

const usualFamilies = `
  - {id: fast_a}
  - {id: fast_b}
  - {id: slow_a, lane: slow}
  - {id: slow_b, lane: slow}
  - {id: direct_a, cached: false}
  - {id: direct_b, cached: false}
  - {id: late_a, lane: slow, cached: false}
  - {id: late_b, lane: slow, cached: false}`

const usualDynamoDB = `table: features, partition_key: {name: user_id, value: "{user_id}"}, sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}`

// source gives the run file.
func (j job) source(url, out string) []byte {
	return fmt.Appendf(nil, "run: %s\nfamilies: %s\ndynamodb: {%s}\nfeature_service: {url: %q, fast: {%s}, slow: {%s}}\noutput: {dir: %q}\n%s\n",
		cmp.Or(j.run, "job"), cmp.Or(j.families, usualFamilies), cmp.Or(j.dynamodb, usualDynamoDB), cmp.Or(j.url, url), j.lanes, j.lanes, out, j.more)
}

// system is a whole system in this process, with the stand-ins.
type system struct {
	*allinone.System
	t       *testing.T
	control *control.Client
	js      jetstream.JetStream
	store   string
	out     string
	log     *syncBuffer
	stopped bool
}

// syncBuffer is a buffer that services write to at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a system whose stand-ins serve a job; other jobs may be run too, if they
// have its tables. It is stopped, and its log shown if the test failed, at the test's end.
func start(t *testing.T, serves job) *system {
	t.Helper()
	t.Parallel()
	return startOn(t, serves, t.TempDir(), t.TempDir())
}

// startOn starts a system with a store and an output directory that may have been used.
func startOn(t *testing.T, serves job, store, out string) *system {
	t.Helper()
	s := &system{t: t, store: store, out: out, log: new(syncBuffer)}
	known := s.parse(serves.source("http://127.0.0.1:1/", s.out))
	var err error
	s.System, err = allinone.Start(t.Context(), allinone.Options{
		Store: store, Sandbox: true, Job: known,
		Log: zerolog.New(zerolog.ConsoleWriter{Out: s.log, NoColor: true}).Level(zerolog.DebugLevel).With().Timestamp().Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("log of the services:\n%s", s.log)
		}
	})
	s.control, s.js = control.NewClient(s.Client), s.Client.JS
	// Once there is a leader nobody makes streams any more: tests may change them.
	if _, err := s.control.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// end stops the system, if it has not been stopped. What is in hand is finished, not given
// up.
func (s *system) end() {
	s.t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		s.t.Errorf("stop: %v", err)
	}
}

func (s *system) parse(source []byte) *runfile.File {
	s.t.Helper()
	f, err := runfile.Parse("run.yaml", source)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// run is a run of a job and what was asked for in it.
type run struct {
	*system
	id      string
	epoch   uint64
	file    *runfile.File
	source  []byte
	records []record.Record
}

// open opens a run.
func (s *system) open(j job) *run {
	s.t.Helper()
	r := &run{system: s}
	r.reopen(j)
	return r
}

// reopen opens the run again with a run file, which may be another one.
func (r *run) reopen(j job) {
	r.t.Helper()
	r.source = j.source(r.FeatureService, r.out)
	r.file = r.parse(r.source)
	r.id = r.file.Run
	opened, err := r.control.Open(r.t.Context(), r.id, r.source, false)
	if err != nil {
		r.t.Fatal(err)
	}
	r.epoch = opened.Epoch
}

// start of 2025; the users' points in time are an hour apart.
const firstMS = 1_735_689_600_000

// usual gives the records of the usual job: users u000, u001, …
func usual() []record.Record { return recordsOf("u") }

// recordsOf gives as many records of other users.
func recordsOf(prefix string) []record.Record {
	records := make([]record.Record, users)
	for i := range records {
		records[i] = record.Record{UserID: fmt.Sprintf("%s%03d", prefix, i), EpochMS: firstMS + int64(i)*3_600_000}
	}
	return records
}

// batch gives records in the form in which producers send them.
func batch(records []record.Record) []byte {
	data := []byte(`{"records":[`)
	for i := range records {
		if i > 0 {
			data = append(data, ',')
		}
		data = record.AppendJSON(data, &records[i])
	}
	return append(data, "]}"...)
}

// publish publishes records in batches and notes that they were asked for.
func (r *run) publish(records []record.Record) {
	r.t.Helper()
	for from := 0; from < len(records); from += batchOf {
		r.send("", batch(records[from:min(from+batchOf, len(records))]))
	}
	r.asked(records)
}

// asked notes that records were asked for, each once.
func (r *run) asked(records []record.Record) {
	for i := range records {
		known := slices.ContainsFunc(r.records, func(k record.Record) bool { return k.UserID == records[i].UserID })
		if !known {
			r.records = append(r.records, records[i])
		}
	}
}

// send publishes a batch with an id, or without one, and gives its sequence.
func (r *run) send(id string, data []byte) uint64 {
	r.t.Helper()
	m := &nats.Msg{Subject: streams.Subject(stage.Ingest, r.id), Data: data, Header: nats.Header{}}
	if id != "" {
		m.Header.Set(jetstream.MsgIDHeader, id)
	}
	ack, err := r.js.PublishMsg(r.t.Context(), m)
	if err != nil {
		r.t.Fatal(err)
	}
	return ack.Sequence
}

// close seals the input, which has that many records.
func (r *run) close(records int) {
	r.t.Helper()
	closed, err := r.control.Close(r.t.Context(), r.id, int64(records), "")
	if err != nil {
		r.t.Fatal(err)
	}
	if !closed.Sealed {
		r.t.Fatalf("closed with %d records, %d were seen", records, closed.RecordsSeen)
	}
}

// submit publishes records and seals the input.
func (r *run) submit(records []record.Record) {
	r.t.Helper()
	r.publish(records)
	r.close(len(records))
}

// patience is how long a test waits for what must come. It is long, because the machine
// may be busy; nothing that goes well takes it.
const patience = 90 * time.Second

// await waits until a condition holds.
func (s *system) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			all, err := s.control.List(s.t.Context())
			stands, _ := json.MarshalIndent(all, "", "  ") // of numbers and texts
			s.t.Fatalf("it never came to pass that %s; the runs stand thus (%v):\n%s", what, err, stands)
		}
	}
}

// status asks how the run stands.
func (r *run) status() *control.Status {
	r.t.Helper()
	st, err := r.control.Status(r.t.Context(), r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

// ends waits for the run's end and its teardown, and checks how it ended.
func (r *run) ends(state string) *control.Status {
	r.t.Helper()
	var st *control.Status
	r.await("run "+r.id+" ends", func() bool { st = r.status(); return st.TornDown() })
	if st.State != state {
		r.t.Errorf("run %s is %s (%s), want %s; failed cells %v", r.id, st.State, st.Reason, state, st.FailedByCode)
	}
	return st
}

// stream gives a stream.
func (s *system) stream(name string) jetstream.Stream {
	s.t.Helper()
	st, err := s.js.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// update changes the configuration of a stream.
func (s *system) update(name string, change func(*jetstream.StreamConfig)) {
	s.t.Helper()
	cfg := s.stream(name).CachedInfo().Config
	change(&cfg)
	if _, err := s.js.UpdateStream(s.t.Context(), cfg); err != nil {
		s.t.Fatal(err)
	}
}

// pause has a stage of the run get no more messages, so that they stay in its queue.
func (r *run) pause(st stage.Name) (resume func()) {
	r.t.Helper()
	name := streams.ConsumerName(st, r.id)
	if _, err := r.js.PauseConsumer(r.t.Context(), streams.Of(st), name, time.Now().Add(time.Hour)); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		r.t.Helper()
		if _, err := r.js.ResumeConsumer(r.t.Context(), streams.Of(st), name); err != nil {
			r.t.Fatal(err)
		}
	}
}

// waiting gives the messages that are in the queue of a stage of the run.
func (r *run) waiting(st stage.Name) []*jetstream.RawStreamMsg {
	r.t.Helper()
	stream := r.stream(streams.Of(st))
	var all []*jetstream.RawStreamMsg
	for from := uint64(1); ; {
		m, err := stream.GetMsg(r.t.Context(), from, jetstream.WithGetMsgSubject(streams.Subject(st, r.id)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all, from = append(all, m), m.Sequence+1
	}
}

// remove removes a message behind the system's back.
func (r *run) remove(st stage.Name, m *jetstream.RawStreamMsg) {
	r.t.Helper()
	if err := r.stream(streams.Of(st)).DeleteMsg(r.t.Context(), m.Sequence); err != nil {
		r.t.Fatal(err)
	}
}

// lose has the broker lose what is published to a stage of a run: it acknowledges the
// messages, and stores them where nobody looks.
func (s *system) lose(st stage.Name, run string) (find func()) {
	s.t.Helper()
	s.update(streams.Of(st), func(c *jetstream.StreamConfig) {
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: streams.Subject(st, run), Destination: streams.Subject(st, "nowhere")}
	})
	return func() {
		s.t.Helper()
		s.update(streams.Of(st), func(c *jetstream.StreamConfig) { c.SubjectTransform = nil })
	}
}

// letters gives the run's dead letters.
func (r *run) letters() []*control.Letter {
	r.t.Helper()
	var all []*control.Letter
	for l, err := range r.control.Letters(r.t.Context(), r.id, 1) {
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// dir is where the run's dataset is.
func (r *run) dir() string { return filepath.Join(r.out, r.id) }

// has tells whether the dataset has a file.
func (r *run) has(name string) bool {
	r.t.Helper()
	_, err := os.Stat(filepath.Join(r.dir(), name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return err == nil
}

// truth says what the stand-ins serve for the run.
func (r *run) truth() *sandbox.Truth {
	r.t.Helper()
	var cfg sandbox.Config
	if err := settings.Load(&cfg); err != nil {
		r.t.Fatal(err)
	}
	truth, err := sandbox.NewTruth(cfg, r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return truth
}
