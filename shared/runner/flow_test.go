package runner_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

func TestOutputsReachTheNextQueueBeforeTheAck(t *testing.T) {
	r := newRig(t)
	want := map[string]int{}
	for i := range 20 {
		r.send(fmt.Sprintf("a%d b%d", i, i))
		want[fmt.Sprint("a", i)], want[fmt.Sprint("b", i)] = 1, 1
	}
	run := r.start(runner.Config{}, &fake{do: handOn})
	r.awaitQueued(0)
	if got := r.cells(); !maps.Equal(got, want) {
		t.Errorf("cells %v, want each of %v once", got, want)
	}
	for _, m := range r.Stored(streams.Writer, "fff.writer.demo") {
		if m.Header.Get(streams.HeaderEpoch) != "1" {
			t.Errorf("an output carries epoch %q, want 1", m.Header.Get(streams.HeaderEpoch))
		}
	}
	beat := run.Beat()
	if s := beat.Runs["demo"]; s.Out != 40 || s.Families["credit"].Fetched != 40 || s.Epoch != 1 || s.Failed != 0 || beat.State != "ready" {
		t.Errorf("beat %+v", beat)
	}
	run.stop()
	if beat := run.Beat(); beat.State != "stopped" || beat.Runs["demo"].Messages != 20 || beat.Runs["demo"].Held != 0 {
		t.Errorf("beat after the stop %+v", beat)
	}
}

func TestNoMoreIsPulledThanWorkersCanTake(t *testing.T) {
	const workers, messages = 2, 30
	r := newRig(t)
	for range messages {
		r.send("word")
	}
	var active, most atomic.Int64
	release := make(chan struct{})
	run := r.start(runner.Config{Workers: workers}, &fake{do: func(context.Context, *stage.Message, string, stage.Outputs) verdicts {
		most.Store(max(most.Load(), active.Add(1)))
		defer active.Add(-1)
		<-release
		return nil
	}})
	brokertest.Await(t, "all there is room for is pulled", func() bool { return r.consumer().NumAckPending == workers+prefetch })
	for range messages {
		// Besides, as many may be on their way to be acked.
		if n := run.Beat().Runs["demo"].Held; n > 2*workers {
			t.Errorf("%d messages are in hand, want at most %d", n, 2*workers)
		}
		release <- struct{}{}
	}
	r.awaitQueued(0)
	if most.Load() > workers {
		t.Errorf("%d messages were worked on at the same time, want at most %d", most.Load(), workers)
	}
}

func TestMessagesThatWaitForTheirOutputsAreBounded(t *testing.T) {
	const held, messages = 5, 30
	r := newRig(t)
	for i := range messages {
		r.send(fmt.Sprint("w", i))
	}
	var done atomic.Int64
	open := make(chan struct{})
	gate := func(ctx context.Context, _ *stage.Run) error {
		select {
		case <-open:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}
	run := r.start(runner.Config{Workers: 2, MaxHeld: held, Gate: gate}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		defer done.Add(1)
		return handOn(ctx, m, word, out)
	}})
	// The messages that wait for a worker are pulled last, so all others are settled then.
	brokertest.Await(t, "all there is room for is pulled", func() bool { return r.consumer().NumAckPending == held+prefetch })
	if n := done.Load(); n > held {
		t.Errorf("%d messages were worked on, want at most %d until an output is published", n, held)
	}
	if n := run.Beat().Runs["demo"].Held; n > held {
		t.Errorf("%d messages are said to be held, want at most %d", n, held)
	}
	close(open)
	r.awaitQueued(0)
	if got := len(r.cells()); got != messages {
		t.Errorf("%d cells reached the writer, want %d", got, messages)
	}
}

// atOnce lets n callers through together, one after the other.
func atOnce(n int) (enter func(), leave func()) {
	var all sync.WaitGroup
	var one sync.Mutex
	all.Add(n)
	return func() { all.Done(); all.Wait(); one.Lock() }, one.Unlock
}

func TestOutputsOfSeveralMessagesTravelTogether(t *testing.T) {
	const messages = 8
	r := newRig(t)
	for i := range messages {
		r.send(fmt.Sprint("w", i))
	}
	enter, leave := atOnce(messages)
	// They are handed on one after the other; the linger bears a machine that is busy then.
	r.start(runner.Config{Workers: messages, Linger: 3 * time.Second}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		enter()
		defer leave()
		return handOn(ctx, m, word, out)
	}})
	r.awaitQueued(0)
	if n := len(r.Stored(streams.Writer, "fff.writer.demo")); n != 1 || len(r.cells()) != messages {
		t.Errorf("%d cells travelled in %d messages, want %d in 1", len(r.cells()), n, messages)
	}
}

// never is a linger that no test waits for: what is published was full.
const never = time.Hour

func TestFullMessagesDoNotLinger(t *testing.T) {
	big := strings.Repeat("x", 1000)
	send := func(to stage.Name, n int, q work.Request) func(context.Context, stage.Outputs) error {
		return func(ctx context.Context, out stage.Outputs) error {
			for i := range n {
				q.UserID = fmt.Sprint("u", i)
				if err := out.Request(ctx, to, q); err != nil {
					return err
				}
			}
			return nil
		}
	}
	small := work.Request{EpochMS: 1, Families: []string{"credit"}}
	heavy := work.Request{EpochMS: 1, Families: []string{"credit"}, Attributes: []byte(`{"a":"` + strings.Repeat("x", 60_000) + `"}`)}
	for _, tc := range []struct {
		name            string
		do              func(context.Context, stage.Outputs) error
		stream, subject string
		sizes           []int // requests of each message
	}{
		{"a lane's requests", send(stage.FSFast, 2*work.MaxRequestsPerLane, small), streams.FSFast, "fff.fs-fast.demo", []int{16, 16}},
		{"samples of the fetcher", send(stage.Dynamo, work.MaxSamplesPerBlock, small), streams.Dynamo, "fff.dynamo.demo", []int{100}},
		// 4 × 60 KB fit 256 KB, and 16 end the last message.
		{"bytes", send(stage.FSSlow, 4*4, heavy), streams.FSSlow, "fff.fs-slow.demo", []int{4, 4, 4}},
		{"packed cells", func(ctx context.Context, out stage.Outputs) error {
			return out.Cells(ctx, packed.DynamoDB, func(b *packed.Builder) error {
				for i := range work.TargetPackedBytes/len(big) + 1 {
					addCell(b, fmt.Sprint("u", i), big)
				}
				return nil
			})
		}, streams.Writer, "fff.writer.demo", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.Publish("fff.ingest.demo", []byte("word"))
			r.start(runner.Config{Stage: stage.Ingest, Linger: never, Grace: time.Millisecond}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
				if err := tc.do(ctx, out); err != nil {
					return failed(word, err)
				}
				return nil
			}})
			want := max(len(tc.sizes), 1)
			brokertest.Await(t, "the full messages are published", func() bool { return r.Count(tc.stream, tc.subject) == want })
			for i, n := range tc.sizes {
				b, err := work.Decode(r.Stored(tc.stream, tc.subject)[i].Data)
				if err != nil || len(b.Requests) != n {
					t.Errorf("message %d holds %d requests (%v), want %d", i, len(b.Requests), err, n)
				}
			}
		})
	}
}

func TestARunThatIsStuckDoesNotHoldUpAnother(t *testing.T) {
	r := newRig(t)
	r.OpenRun("quick", 1, strings.Replace(runFile, "demo", "quick", 1))
	for range 20 {
		r.send("stuck")
	}
	run := r.start(runner.Config{Workers: 2, Grace: time.Millisecond}, &fake{do: func(ctx context.Context, m *stage.Message, _ string, _ stage.Outputs) verdicts {
		if m.Run.ID == "demo" {
			<-ctx.Done()
		}
		return nil
	}})
	brokertest.Await(t, "the stuck run has all that it may have", func() bool { return r.consumer().NumAckPending == 2+prefetch })
	for range 20 {
		r.Publish("fff.dynamo.quick", []byte("word"))
	}
	brokertest.Await(t, "the other run is done", func() bool { return r.Count(streams.Dynamo, "fff.dynamo.quick") == 0 })
	run.stop()
	if r.queued() != 20 {
		t.Errorf("%d messages of the stuck run are left, want 20", r.queued())
	}
}

func TestRunsAreTakenWhenTheyAreOursAndLeftWhenTheyAreNot(t *testing.T) {
	r := newRig(t)
	var mine atomic.Bool
	r.send("first")
	done := &log{}
	run := r.start(runner.Config{Mine: func(string) bool { return mine.Load() }}, &fake{do: func(_ context.Context, _ *stage.Message, word string, _ stage.Outputs) verdicts {
		done.add(word)
		return nil
	}})
	brokertest.Await(t, "the runner is ready", func() bool { return run.State() == "ready" })
	if n := r.consumer().NumWaiting; n != 0 {
		t.Errorf("%d pulls of a run that is not ours", n)
	}
	mine.Store(true)
	run.Refresh()
	r.awaitQueued(0)
	mine.Store(false)
	run.Refresh()
	brokertest.Await(t, "nothing pulls any more", func() bool { return r.consumer().NumWaiting == 0 })
	if got := done.all(); len(got) != 1 {
		t.Errorf("worked on %v, want the first message alone", got)
	}
}

func TestWorkGoesOnAfterTheBrokerIsRestarted(t *testing.T) {
	r := newRig(t)
	r.start(runner.Config{}, &fake{do: handOn})
	r.send("before")
	r.awaitQueued(0)
	r.Restart()
	r.send("after")
	r.awaitQueued(0)
	if got := r.cells(); got["before"] != 1 || got["after"] != 1 {
		t.Errorf("cells %v, want before and after once each", got)
	}
}

// Who waits for memory does not have it freed while most of it belongs to messages that are done
// and wait for the broker's word: a stage would give up what it gathers for nothing.
func TestMemoryOfSettledMessagesIsAwaited(t *testing.T) {
	r := newRig(t)
	const fit = 2
	for range fit + 1 {
		r.send("word")
	}
	var asked atomic.Int64
	work := make(chan struct{})
	cfg := runner.Config{
		Workers: 10, Memory: 3 * fit * 10 / 2, Weigh: func([]byte) (int64, int64) { return 10, 10 }, // of which a run has two thirds
		Full: func(string) { asked.Add(1) }, DoubleAck: true,
	}
	r.start(cfg, &fake{do: func(ctx context.Context, _ *stage.Message, _ string, _ stage.Outputs) verdicts {
		select {
		case <-work:
		case <-ctx.Done():
		}
		return nil
	}})
	brokertest.Await(t, "memory is asked for", func() bool { return asked.Load() > 0 })
	// Acks get no answer from here on but ours.
	acks, err := r.NC.SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.JS.DeleteConsumer(t.Context(), streams.Of(stage.Dynamo), streams.ConsumerName(stage.Dynamo, "demo")); err != nil {
		t.Fatal(err)
	}
	for range fit {
		work <- struct{}{}
	}
	var settled []*nats.Msg
	for len(settled) < fit {
		m, err := acks.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) == "+ACK" { // others keep a lease
			settled = append(settled, m)
		}
	}
	before := asked.Load()
	time.Sleep(500 * time.Millisecond)     // nothing happens that could be awaited
	if n := asked.Load() - before; n > 1 { // one may have been on its way
		t.Errorf("memory was asked for %d times while all of it was being settled", n)
	}
	for _, m := range settled {
		if err := m.Respond(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := acks.Unsubscribe(); err != nil { // whose ack is refused at once
		t.Fatal(err)
	}
	if err := r.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case work <- struct{}{}:
	case <-time.After(10 * time.Second):
		t.Error("the third message does not get its memory")
	}
}
