package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// attempts allows three.
func attempts(*stage.Run) int { return 3 }

func TestVerdictsAreOnTheirUnitsAlone(t *testing.T) {
	r := newRig(t)
	tried := &log{}
	r.send("ok flaky hopeless refused split")
	run := r.start(runner.Config{Attempts: attempts}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		tried.add(word)
		switch {
		case word == "flaky" && tried.count(word) < 3, word == "hopeless":
			return failed(word, errors.New("not this time"))
		case word == "refused":
			return failed(word, failure.Permanent(failure.Rejected, "HTTP 400\nof the service"))
		case word == "split":
			return verdicts{{Rest: "left", Err: failure.Retry(failure.Timeout, "no answer")}, {Rest: "right", Err: failure.Permanent(failure.BadResponse, "no JSON")}}
		}
		return handOn(ctx, m, word, out)
	}})
	r.awaitQueued(0)
	got := r.cells()
	for word, want := range map[string]int{"ok": 1, "flaky": 1, "left": 1, "hopeless": 0, "refused": 0, "right": 0} {
		if got[word] != want {
			t.Errorf("%d cells of %q, want %d", got[word], word, want)
		}
	}
	for word, want := range map[string]int{"ok": 1, "flaky": 3, "hopeless": 3, "refused": 1, "split": 1, "left": 1, "right": 0} {
		if n := tried.count(word); n != want {
			t.Errorf("%d attempts of %q, want %d", n, word, want)
		}
	}
	if info := r.consumer(); info.NumRedelivered != 0 {
		t.Errorf("%d messages were delivered again, want attempts in place", info.NumRedelivered)
	}
	letters := map[string]string{}
	for _, l := range r.letters() {
		letters[string(l.Data)] = l.Header.Get(streams.HeaderCode) + " " + l.Header.Get(streams.HeaderAttempts) + " " + l.Header.Get(streams.HeaderReason)
	}
	for word, want := range map[string]string{"hopeless": "internal 3 not this time", "refused": "rejected 1 HTTP 400 of the service", "right": "bad_response 1 no JSON"} {
		if letters[word] != want {
			t.Errorf("dead letter of %q says %q, want %q", word, letters[word], want)
		}
	}
	if len(letters) != 3 {
		t.Errorf("dead letters %v, want 3", letters)
	}
	run.stop()
	if s := run.Beat(); s.Runs["demo"].Failed != 3 || s.Errors != 2+3+1+1+1 {
		t.Errorf("beat %+v, want 3 cells failed in 8 failed attempts", s)
	}
	want := map[string]fleet.AttemptStats{
		"internal": {Count: 2 + 3, Last: "not this time"}, "rejected": {Count: 1, Last: "HTTP 400 of the service"},
		"timeout": {Count: 1, Last: "no answer"}, "bad_response": {Count: 1, Last: "no JSON"},
	}
	if got := run.Beat().Runs["demo"].Attempts; !maps.Equal(got, want) {
		t.Errorf("failed attempts %v, want %v", got, want)
	}
}

func TestDeadLettersTellAllThatAPersonNeeds(t *testing.T) {
	r := newRig(t)
	r.send("first")
	r.send("bad")
	before := time.Now().Add(-time.Second)
	r.start(runner.Config{}, &fake{do: func(_ context.Context, _ *stage.Message, word string, _ stage.Outputs) verdicts {
		if word == "bad" {
			return failed(word, failure.Permanent(failure.BadItem, "attribute %q", "geo"))
		}
		return nil
	}})
	r.awaitQueued(0)
	letters := r.letters()
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	l := letters[0]
	for name, want := range map[string]string{
		streams.HeaderCode: "bad_item", streams.HeaderReason: `attribute "geo"`, streams.HeaderKind: "cell", streams.HeaderStage: "dynamo",
		streams.HeaderSubject: "fff.dynamo.demo", streams.HeaderSequence: "2", streams.HeaderAttempts: "1", streams.HeaderCount: "1",
		streams.HeaderService: "test.one", streams.HeaderEpoch: "1", "Content-Type": "text/plain",
	} {
		if got := l.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if at, err := time.Parse(time.RFC3339, l.Header.Get(streams.HeaderAt)); err != nil || at.Before(before) {
		t.Errorf("header %s is %q (%v)", streams.HeaderAt, l.Header.Get(streams.HeaderAt), err)
	}
	if string(l.Data) != "bad" {
		t.Errorf("data %q, want the unit", l.Data)
	}
}

func TestAMessageThatCannotBeSplitIsADeadLetterAsItIs(t *testing.T) {
	for name, units := range map[string]func(*stage.Message) ([]string, error){
		"error": func(*stage.Message) ([]string, error) { return nil, failure.Permanent(failure.BadMessage, "no JSON") },
		"panic": func(*stage.Message) ([]string, error) { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.Publish("fff.dynamo.demo", []byte("not a block"), "Content-Type", "application/x-strange")
			r.start(runner.Config{}, &fake{units: units})
			r.awaitQueued(0)
			letters := r.letters()
			if len(letters) != 1 {
				t.Fatalf("%d dead letters, want 1", len(letters))
			}
			l := letters[0]
			if string(l.Data) != "not a block" || l.Header.Get("Content-Type") != "application/x-strange" || l.Header.Get(streams.HeaderKind) != stage.KindBatch {
				t.Errorf("dead letter %q with %v", l.Data, l.Header)
			}
		})
	}
}

func TestBeingToldToWaitIsNoFailedAttempt(t *testing.T) {
	r := newRig(t)
	r.send("throttled")
	tried := &log{}
	var ready atomic.Bool
	run := r.start(runner.Config{Attempts: attempts}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		tried.add(word)
		if !ready.Load() {
			return failed(word, failure.RetryAfter(time.Millisecond, failure.Rejected, "HTTP 429: slow down"))
		}
		return handOn(ctx, m, word, out)
	}})
	brokertest.Await(t, "it was told to wait often", func() bool { return tried.count("throttled") > 10 })
	brokertest.Await(t, "the beat says what is waited for", func() bool { return run.waiting() == "HTTP 429: slow down" })
	ready.Store(true)
	r.awaitQueued(0)
	if len(r.letters()) != 0 || r.cells()["throttled"] != 1 {
		t.Errorf("%d dead letters, cells %v", len(r.letters()), r.cells())
	}
	if b := run.Beat(); b.Errors != 0 || b.Runs["demo"].Waiting != "" {
		t.Errorf("beat %+v, want no failed attempt and no waiting", b)
	}
}

func TestAPanicIsAFailedAttempt(t *testing.T) {
	r := newRig(t)
	tried := &log{}
	r.send("good shaky cursed")
	r.start(runner.Config{Attempts: attempts}, &fake{
		do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
			tried.add(word)
			if word == "shaky" && tried.count(word) == 1 || word == "cursed" {
				panic("index out of range")
			}
			return handOn(ctx, m, word, out)
		},
		letter: func(*stage.Message, string) stage.Letter { panic("here too") },
	})
	r.awaitQueued(0)
	if got := r.cells(); got["good"] != 1 || got["shaky"] != 1 || got["cursed"] != 0 {
		t.Errorf("cells %v", got)
	}
	letters := r.letters()
	if len(letters) != 1 || !strings.Contains(letters[0].Header.Get(streams.HeaderReason), "index out of range") || string(letters[0].Data) != "good shaky cursed" {
		t.Errorf("dead letters %v, want the message whole, as its stage cannot give the unit", letters)
	}
}

// TestAPanicTakesNoOtherMessageAlong: a panic in the middle of a message that others have
// put their cells into spoils that message; theirs must come again.
// The logger that a runner is given names the instance already.
func TestLogLinesNameTheirInstanceOnce(t *testing.T) {
	r := newRig(t)
	var lines bytes.Buffer
	r.log = telemetry.ForInstance(zerolog.New(&lines), "fff-test", "one")
	r.send("word")
	run := r.start(runner.Config{}, &fake{do: func(context.Context, *stage.Message, string, stage.Outputs) verdicts { panic("the test") }})
	r.awaitQueued(0)
	run.stop()
	for line := range strings.Lines(lines.String()) {
		if strings.Count(line, `"service":`) != 1 || strings.Count(line, `"instance":`) != 1 {
			t.Errorf("line %s", line)
		}
	}
	if lines.Len() == 0 {
		t.Error("nothing was logged")
	}
}

func TestAPanicTakesNoOtherMessageAlong(t *testing.T) {
	r := newRig(t)
	r.send("one two")
	r.send("cursed")
	tried := &log{}
	added := make(chan struct{})
	var shared atomic.Int64
	r.start(runner.Config{Attempts: func(*stage.Run) int { return 1 }, Linger: 200 * time.Millisecond}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		tried.add(word)
		if word != "cursed" {
			defer func() {
				if shared.Add(1) == 2 {
					close(added)
				}
			}()
			return handOn(ctx, m, word, out)
		}
		<-added
		_ = out.Cells(ctx, packed.FeatureService, func(b *packed.Builder) error {
			b.Block("credit").Begin()
			panic("half a row")
		})
		return nil
	}})
	r.awaitQueued(0)
	if got := r.cells(); got["one"] < 1 || got["two"] < 1 || len(got) != 2 {
		t.Errorf("cells %v, want one and two", got)
	}
	if n := len(r.letters()); n != 1 {
		t.Errorf("%d dead letters, want that of the cursed one", n)
	}
}

// deliver has the broker deliver the next message of the queue n times.
func (r *rig) deliver(n int) {
	r.t.Helper()
	c, err := r.JS.Consumer(r.t.Context(), streams.Dynamo, "dynamo-demo")
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range n {
		m, err := c.Next(jetstream.FetchMaxWait(time.Minute))
		if err != nil {
			r.t.Fatal(err)
		}
		if meta, err := m.Metadata(); err != nil || meta.NumDelivered != uint64(i+1) {
			r.t.Fatalf("delivery %d, want %d (%v)", meta.NumDelivered, i+1, err)
		}
		if err := m.Nak(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestAMessageDeliveredTooOftenIsWorkedOnAlone(t *testing.T) {
	for _, tc := range []struct {
		name       string
		deliveries int
		err        error
		tried      int
		code       string
	}{
		{"often, and well now", 50, nil, 1, ""},
		{"often, and fails again", 50, errors.New("still not"), 1, "poison"},
		{"often, and refused", 50, failure.Permanent(failure.Rejected, "HTTP 400"), 1, "rejected"},
		{"never settled, even alone", 60, nil, 0, "poison"},
		{"a few times", 49, errors.New("not yet"), 3, "internal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.send("suspect")
			r.deliver(tc.deliveries)
			for range 40 {
				r.send("other")
			}
			var active atomic.Int64
			tried := &log{}
			r.start(runner.Config{Attempts: attempts}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
				tried.add(word)
				n := active.Add(1)
				defer active.Add(-1)
				if word != "suspect" {
					return nil
				}
				if n != 1 && tc.deliveries >= 50 {
					t.Errorf("the suspect is worked on together with %d others", n-1)
				}
				if tc.err != nil {
					return failed(word, tc.err)
				}
				return handOn(ctx, m, word, out)
			}})
			r.awaitQueued(0)
			if n := tried.count("suspect"); n != tc.tried {
				t.Errorf("%d attempts, want %d", n, tc.tried)
			}
			code := ""
			for _, l := range r.letters() {
				code += l.Header.Get(streams.HeaderCode)
				if string(l.Data) != "suspect" {
					t.Errorf("dead letter of %q", l.Data)
				}
			}
			if code != tc.code {
				t.Errorf("dead letters with code %q, want %q", code, tc.code)
			}
		})
	}
}

func TestASuspectDoesNotWaitForThoseThatBackOff(t *testing.T) {
	r := newRig(t)
	r.send("suspect")
	r.deliver(50)
	r.OpenRun("away", 1, strings.Replace(runFile, "demo", "away", 1))
	r.Publish("fff.dynamo.away", []byte("word"))
	waiting := make(chan struct{}, 1)
	r.start(runner.Config{Grace: time.Millisecond}, &fake{do: func(_ context.Context, m *stage.Message, word string, _ stage.Outputs) verdicts {
		if m.Run.ID == "away" {
			select {
			case waiting <- struct{}{}:
			default:
			}
			return failed(word, failure.RetryAfter(time.Hour, failure.Rejected, "HTTP 503"))
		}
		return nil
	}})
	<-waiting
	r.awaitQueued(0)
}

// A step of one run may last for ever, that of a suspect too; other runs go on.
func TestASuspectAndAnotherRunDoNotWaitForEachOther(t *testing.T) {
	for _, stuck := range []string{"demo", "away"} {
		t.Run(stuck+" is stuck", func(t *testing.T) {
			r := newRig(t)
			r.send("suspect")
			r.deliver(50)
			r.OpenRun("away", 1, strings.Replace(runFile, "demo", "away", 1))
			entered := make(chan struct{})
			enter := sync.OnceFunc(func() { close(entered) })
			r.start(runner.Config{Grace: time.Millisecond}, &fake{do: func(ctx context.Context, m *stage.Message, _ string, _ stage.Outputs) verdicts {
				if m.Run.ID == stuck {
					enter()
					<-ctx.Done()
					return nil
				}
				<-entered
				return nil
			}})
			for range 20 {
				r.Publish("fff.dynamo.away", []byte("word"))
			}
			done := map[string]string{"demo": "fff.dynamo.away", "away": "fff.dynamo.demo"}[stuck]
			brokertest.Await(t, "the other run is done", func() bool { return r.Count(streams.Dynamo, done) == 0 })
		})
	}
}

// TestWhatTheBrokerRefusesEndsAsADeadLetter: a message whose output can never be published
// must not come again for ever.
func TestWhatTheBrokerRefusesEndsAsADeadLetter(t *testing.T) {
	r := newRig(t)
	r.send("huge small")
	r.deliver(50)
	r.start(runner.Config{}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		if word == "small" {
			return handOn(ctx, m, word, out)
		}
		_ = out.Cells(ctx, packed.FeatureService, func(b *packed.Builder) error {
			addCell(b, word, strings.Repeat("x", 3<<20))
			return nil
		})
		return nil
	}})
	r.awaitQueued(0)
	letters := r.letters()
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want one of each unit", len(letters))
	}
	for _, l := range letters {
		if reason := l.Header.Get(streams.HeaderReason); l.Header.Get(streams.HeaderCode) != "poison" || !strings.Contains(reason, "max_payload") {
			t.Errorf("dead letter of %q: %s", l.Data, reason)
		}
	}
	if r.cells()["small"] != 1 {
		t.Errorf("cells %v, want the small one", r.cells())
	}
}

func TestAFullQueueHoldsTheMessageUntilThereIsRoom(t *testing.T) {
	r := newRig(t)
	st, err := r.JS.Stream(t.Context(), streams.Writer)
	if err != nil {
		t.Fatal(err)
	}
	small := st.CachedInfo().Config
	small.MaxBytes = 64 << 10
	if _, err := r.JS.UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4 << 10, 0} { // the empty ones fill the rest
		for err = nil; err == nil; {
			_, err = r.JS.Publish(t.Context(), "fff.writer.other", make([]byte, size), jetstream.WithRetryAttempts(0))
		}
	}
	run := r.start(runner.Config{}, &fake{do: handOn})
	for i := range 5 {
		r.send(strconv.Itoa(i))
	}
	brokertest.Await(t, "the beat says what is waited for", func() bool {
		return strings.Contains(run.waiting(), "room on fff.writer.demo") && strings.Contains(run.waiting(), "maximum bytes exceeded")
	})
	if r.queued() != 5 || run.Beat().Errors != 0 {
		t.Errorf("%d messages in the queue and %d failed attempts while there is no room, want 5 and none", r.queued(), run.Beat().Errors)
	}
	if _, err := streams.PurgeSubject(t.Context(), r.JS, streams.Writer, "fff.writer.other"); err != nil {
		t.Fatal(err)
	}
	r.awaitQueued(0)
	brokertest.Await(t, "nothing is waited for", func() bool { return run.waiting() == "" })
	if got := len(r.cells()); got != 5 {
		t.Errorf("%d cells reached the writer, want 5", got)
	}
	if n := r.consumer().NumRedelivered; n != 0 {
		t.Errorf("%d messages were delivered again, want none given back", n)
	}
}

func TestRequestsGoToStagesThatTakeThem(t *testing.T) {
	r := newRig(t)
	r.send("word")
	r.start(runner.Config{}, &fake{do: func(ctx context.Context, _ *stage.Message, word string, out stage.Outputs) verdicts {
		if err := out.Request(ctx, stage.Writer, work.Request{UserID: "u", Families: []string{"credit"}}); err != nil {
			return failed(word, failure.Permanent(failure.Internal, "%w", err))
		}
		return nil
	}})
	r.awaitQueued(0)
	if l := r.letters(); len(l) != 1 || l[0].Header.Get(streams.HeaderReason) != "no requests go to stage writer" {
		t.Errorf("dead letters %v", fmt.Sprint(l))
	}
}
