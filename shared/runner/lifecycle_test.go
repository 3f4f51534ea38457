package runner_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// untilToldTo works on each word until release is closed or the context ends, and hands on
// a cell then. causes gathers why contexts ended.
type untilToldTo struct {
	begun   log
	causes  log
	release chan struct{}
}

func (u *untilToldTo) do(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
	u.begun.add(word)
	select {
	case <-u.release:
		return handOn(ctx, m, word, out)
	case <-ctx.Done():
		u.causes.add(context.Cause(ctx).Error())
		return failed(word, ctx.Err())
	}
}

func TestTheLeaseOfAMessageInHandIsKept(t *testing.T) {
	r := newRig(t)
	r.AckWait(stage.Dynamo, "demo", 9*time.Second)
	var kept atomic.Int64
	if _, err := r.NC.Subscribe("$JS.ACK.FFF_DYNAMO.>", func(m *nats.Msg) {
		if strings.HasPrefix(string(m.Data), "+WPI") {
			kept.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	work := &untilToldTo{release: make(chan struct{})}
	r.send("long")
	r.start(runner.Config{}, &fake{do: work.do})
	// The lease is kept each third of that: four times are longer than the wait for an ack.
	brokertest.Await(t, "the lease was kept for longer than the broker waits", func() bool { return kept.Load() >= 4 })
	close(work.release)
	r.awaitQueued(0)
	if n := work.begun.count("long"); n != 1 || r.consumer().NumRedelivered != 0 {
		t.Errorf("the message was worked on %d times, want once", n)
	}
}

func TestTheLongestLeaseEndsTheWork(t *testing.T) {
	r := newRig(t)
	r.send("endless")
	work := &untilToldTo{release: make(chan struct{})}
	r.start(runner.Config{MaxLease: time.Millisecond}, &fake{do: work.do})
	brokertest.Await(t, "the message comes again", func() bool { return work.begun.count("endless") >= 2 })
	close(work.release)
	r.awaitQueued(0)
	if causes := work.causes.all(); causes[0] != "the longest lease of a message is over" {
		t.Errorf("the work was ended because %q", causes[0])
	}
	if len(r.letters()) != 0 {
		t.Errorf("%d dead letters of a message that only took long", len(r.letters()))
	}
}

func TestStoppingFinishesWhatIsInHand(t *testing.T) {
	r := newRig(t)
	for range 20 {
		r.send("word")
	}
	work := &untilToldTo{release: make(chan struct{})}
	run := r.start(runner.Config{Workers: 3, Grace: time.Hour}, &fake{do: work.do})
	brokertest.Await(t, "three are worked on and others wait", func() bool {
		return len(work.begun.all()) == 3 && r.consumer().NumAckPending == 3+prefetch
	})
	run.cancel()
	brokertest.Await(t, "the runner drains", func() bool { return run.State() == "draining" })
	close(work.release)
	<-run.ended
	// What was in hand is done; what only waited for a worker went back.
	brokertest.Await(t, "three are acked", func() bool { return r.queued() == 17 })
	if n := len(work.begun.all()); n != 3 || r.cells()["word"] != 3 {
		t.Errorf("%d messages were begun and %v cells handed on, want 3 of each", n, r.cells())
	}
	r.start(runner.Config{}, &fake{do: handOn})
	r.awaitQueued(0) // at once: nothing waits for its lease to end
	if run.State() != "stopped" {
		t.Errorf("the runner is %s", run.State())
	}
}

func TestWhatIsNotDoneInTheGracePeriodGoesBack(t *testing.T) {
	r := newRig(t)
	r.send("slow")
	work := &untilToldTo{release: make(chan struct{})}
	run := r.start(runner.Config{Grace: 10 * time.Millisecond}, &fake{do: work.do})
	brokertest.Await(t, "it is worked on", func() bool { return len(work.begun.all()) == 1 })
	run.stop()
	if causes := work.causes.all(); len(causes) != 1 || !strings.Contains(causes[0], "goes back to the queue") {
		t.Errorf("the work was ended because of %q", causes)
	}
	close(work.release)
	r.start(runner.Config{}, &fake{do: work.do})
	r.awaitQueued(0)
	if r.cells()["slow"] != 1 {
		t.Errorf("cells %v, want the message done by the next runner", r.cells())
	}
}

func TestMessagesOfAnEndedEpochAreDropped(t *testing.T) {
	r := newRig(t)
	rec := r.OpenRun("later", 2, strings.Replace(runFile, "demo", "later", 1))
	done := &log{}
	r.start(runner.Config{}, &fake{do: func(_ context.Context, m *stage.Message, word string, _ stage.Outputs) verdicts {
		done.add(word + " in epoch " + string('0'+rune(m.Run.Epoch)))
		return nil
	}})
	for epoch, word := range map[string]string{"1": "old", "2": "current", "3": "new"} {
		r.Publish("fff.dynamo.later", []byte(word), streams.HeaderEpoch, epoch)
	}
	brokertest.Await(t, "the old and the current message are settled", func() bool { return r.Count(streams.Dynamo, "fff.dynamo.later") == 1 })
	if got := done.all(); !slices.Equal(got, []string{"current in epoch 2"}) {
		t.Errorf("worked on %v, want the current message alone", got)
	}
	rec.Epoch = 3
	r.PutRun(rec)
	brokertest.Await(t, "the message of the new epoch is settled", func() bool { return r.Count(streams.Dynamo, "fff.dynamo.later") == 0 })
	if got := done.all(); !slices.Equal(got, []string{"current in epoch 2", "new in epoch 3"}) {
		t.Errorf("worked on %v", got)
	}
}

// What is kept of a run goes when the run has ended: the stage is told when the last message
// is out of hand, and the counts go an hour after the end: the manifest is made of them, and
// a run that is resumed counts on.
func TestARunThatHasEndedIsForgotten(t *testing.T) {
	r := newRig(t)
	var active atomic.Int64
	ended, working := make(chan string, 8), make(chan struct{}, 8)
	run := r.start(runner.Config{Ended: func(run *stage.Run) {
		if n := active.Load(); n != 0 {
			t.Errorf("%d messages are in hand of the run that has ended", n)
		}
		ended <- fmt.Sprint(run.ID, run.Epoch)
	}}, &fake{do: func(ctx context.Context, _ *stage.Message, _ string, _ stage.Outputs) verdicts {
		active.Add(1)
		defer active.Add(-1)
		working <- struct{}{}
		<-ctx.Done()
		return nil
	}})
	r.send("word")
	<-working
	rec, err := runs.Open(r.NC, r.JS).Get(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	rec.State, rec.Teardown = runs.Completed, runs.TeardownPending
	r.PutRun(rec)
	if got := <-ended; got != "demo1" {
		t.Errorf("%s has ended", got)
	}
	if _, counted := run.Beat().Runs["demo"]; !counted {
		t.Error("the counts are forgotten before they stand in the manifest")
	}
	rec.Teardown, rec.EndedAt = runs.TeardownDone, time.Now().Add(-2*time.Hour)
	r.PutRun(rec)
	brokertest.Await(t, "the counts are forgotten", func() bool { return len(run.Beat().Runs) == 0 })
}

func TestTheEndOfAnEpochEndsItsWorkWithoutAnAck(t *testing.T) {
	for name, change := range map[string]func(*runs.Record){
		"the next epoch": func(rec *runs.Record) { rec.Epoch = 2 },
		"the run's end":  func(rec *runs.Record) { rec.State = runs.Cancelled },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			rec := r.OpenRun("ending", 1, strings.Replace(runFile, "demo", "ending", 1))
			var settled atomic.Int64
			if _, err := r.NC.Subscribe("$JS.ACK.FFF_DYNAMO.dynamo-ending.>", func(m *nats.Msg) {
				if !strings.HasPrefix(string(m.Data), "+WPI") {
					settled.Add(1)
				}
			}); err != nil {
				t.Fatal(err)
			}
			work := &untilToldTo{release: make(chan struct{})}
			run := r.start(runner.Config{}, &fake{do: work.do})
			r.Publish("fff.dynamo.ending", []byte("word"))
			brokertest.Await(t, "it is worked on", func() bool { return len(work.begun.all()) == 1 })
			change(rec)
			r.PutRun(rec)
			brokertest.Await(t, "the work is ended", func() bool { return len(work.causes.all()) == 1 })
			if cause := work.causes.all()[0]; cause != "the run's epoch has ended" {
				t.Errorf("the work was ended because %q", cause)
			}
			run.stop()
			if err := run.Client.NC.FlushTimeout(time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := r.NC.FlushTimeout(time.Minute); err != nil {
				t.Fatal(err)
			}
			if n := settled.Load(); n != 0 {
				t.Errorf("%d acks or naks of a message whose epoch has ended", n)
			}
		})
	}
}

// Such a message was published behind the purge of its queue. It would be in the way of the
// next epoch until its AckWait is over.
func TestAMessageOfAnEndedEpochGoesToTheNextAtOnce(t *testing.T) {
	r := newRig(t)
	rec := r.OpenRun("ending", 1, strings.Replace(runFile, "demo", "ending", 1))
	if err := streams.OpenConsumers(t.Context(), r.JS, "ending", time.Hour); err != nil {
		t.Fatal(err)
	}
	work := &untilToldTo{release: make(chan struct{})}
	r.start(runner.Config{}, &fake{do: work.do})
	r.Publish("fff.dynamo.ending", []byte("word"), streams.HeaderEpoch, "1")
	brokertest.Await(t, "it is worked on", func() bool { return len(work.begun.all()) == 1 })
	rec.Epoch = 2
	r.PutRun(rec)
	brokertest.Await(t, "it is out of the queue", func() bool { return r.Count(streams.Dynamo, "fff.dynamo.ending") == 0 })
	if n := len(work.begun.all()); n != 1 {
		t.Errorf("it was worked on %d times, want once", n)
	}
}

// The input is read again by a consumer of the same name, which is made before every
// instance has heard of the epoch.
func TestTheInputIsNotTakenFromALaterEpoch(t *testing.T) {
	r := newRig(t)
	rec := r.OpenRun("rewound", 1, strings.Replace(runFile, "demo", "rewound", 1))
	done := &log{}
	r.start(runner.Config{Stage: stage.Ingest}, &fake{do: func(_ context.Context, m *stage.Message, word string, _ stage.Outputs) verdicts {
		done.add(fmt.Sprintf("%s in epoch %d", word, m.Run.Epoch))
		return nil
	}})
	r.Publish("fff.ingest.rewound", []byte("first"))
	brokertest.Await(t, "the input is read", func() bool { return len(done.all()) == 1 })

	var asked atomic.Int64
	if _, err := r.NC.Subscribe("$JS.API.CONSUMER.*.FFF_INGEST.ingest-rewound", func(m *nats.Msg) {
		if strings.Contains(m.Subject, ".INFO.") {
			asked.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := streams.Rewind(t.Context(), r.JS, "rewound", 2, time.Hour); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "the first is taken in the ended epoch, or is looked for again and again", func() bool {
		return asked.Load() >= 5 || len(done.all()) > 1
	})
	rec.Epoch = 2
	r.PutRun(rec)
	brokertest.Await(t, "the input is read again", func() bool { return len(done.all()) > 1 })
	if got := done.all(); !slices.Equal(got, []string{"first in epoch 1", "first in epoch 2"}) {
		t.Errorf("worked on %q", got)
	}
}

// wire is a connection to the broker that can be made deaf and cut.
type wire struct {
	mu    sync.Mutex
	conns []*wireConn
}

type wireConn struct {
	net.Conn
	mu   sync.Mutex
	deaf bool
	cut  chan struct{}
}

// Dial implements nats.CustomDialer.
func (w *wire) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wc := &wireConn{Conn: c, cut: make(chan struct{})}
	w.conns = append(w.conns, wc)
	return wc, nil
}

// deafen lets nothing in any more from the broker.
func (w *wire) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conns[len(w.conns)-1]
	c.mu.Lock()
	c.deaf = true
	c.mu.Unlock()
}

// sever breaks the connection that was made deaf.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conns[len(w.conns)-1]
	close(c.cut)
	_ = c.Conn.Close()
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	deaf := c.deaf
	c.mu.Unlock()
	if deaf {
		<-c.cut
		return 0, net.ErrClosed
	}
	return n, err
}

func TestAnOutputWhoseAckIsLostIsPublishedAgainBeforeTheAck(t *testing.T) {
	r := newRig(t)
	w := &wire{}
	once := sync.OnceFunc(w.deafen)
	gate := func(context.Context, *stage.Run) error { once(); return nil }
	r.startOn(r.Connect(nats.SetCustomDialer(w)), runner.Config{Gate: gate}, &fake{do: handOn})
	r.send("word")
	brokertest.Await(t, "the output is stored", func() bool { return r.Count(streams.Writer, "fff.writer.demo") == 1 })
	if r.queued() != 1 {
		t.Error("the message was acked before its output was acknowledged")
	}
	w.sever()
	r.awaitQueued(0)
	if got := r.cells(); len(got) != 1 || got["word"] != 1 {
		t.Errorf("cells %v, want the one, not doubled within the window of the broker", got)
	}
}

func TestAProcessThatDiesBeforeItsOutputIsPublishedLosesNothing(t *testing.T) {
	r := newRig(t)
	r.AckWait(stage.Dynamo, "demo", time.Second)
	dying := r.Connect()
	gate := func(context.Context, *stage.Run) error { dying.NC.Close(); return nil }
	run := r.startOn(dying, runner.Config{Gate: gate, Grace: time.Millisecond}, &fake{do: handOn})
	r.send("word")
	brokertest.Await(t, "the process has lost its connection", dying.NC.IsClosed)
	run.cancel()
	<-run.ended
	if r.queued() != 1 || len(r.cells()) != 0 {
		t.Fatalf("%d messages in the queue and cells %v after the death", r.queued(), r.cells())
	}
	r.start(runner.Config{}, &fake{do: handOn})
	r.awaitQueued(0)
	if r.cells()["word"] != 1 {
		t.Errorf("cells %v, want the message done by the next process", r.cells())
	}
}

// TestAMessageThatLosesItsLeaseLeavesItsOutputsOnTheirWay: outputs of others may be in the
// same batch, so the batch waits on for its room.
func TestAMessageThatLosesItsLeaseLeavesItsOutputsOnTheirWay(t *testing.T) {
	r := newRig(t)
	open := make(chan struct{})
	gate := func(ctx context.Context, _ *stage.Run) error {
		select {
		case <-open:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}
	done := &log{}
	r.start(runner.Config{MaxLease: time.Millisecond, Gate: gate}, &fake{do: func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
		done.add(word)
		return handOn(ctx, m, word, out)
	}})
	r.send("word")
	brokertest.Await(t, "it comes again", func() bool { return done.count("word") >= 2 })
	close(open)
	r.awaitQueued(0)
	if n := r.cells()["word"]; n < 2 {
		t.Errorf("%d cells, want that of the first delivery too", n)
	}
}

func TestDoubleAcksWaitForTheBroker(t *testing.T) {
	r := newRig(t)
	r.send("word")
	var double atomic.Bool
	if _, err := r.NC.Subscribe("$JS.ACK.FFF_DYNAMO.>", func(m *nats.Msg) {
		if m.Reply != "" && string(m.Data) == "+ACK" {
			double.Store(true)
		}
	}); err != nil {
		t.Fatal(err)
	}
	r.start(runner.Config{DoubleAck: true}, &fake{do: handOn})
	brokertest.Await(t, "an ack asks for an answer", double.Load)
	r.awaitQueued(0)
}

func TestARunWhoseConsumerIsMadeAnewGoesOn(t *testing.T) {
	r := newRig(t)
	r.start(runner.Config{}, &fake{do: handOn})
	r.send("before")
	r.awaitQueued(0)
	if err := r.JS.DeleteConsumer(t.Context(), streams.Dynamo, "dynamo-demo"); err != nil {
		t.Fatal(err)
	}
	r.send("between")
	if _, err := r.JS.CreateConsumer(t.Context(), streams.Dynamo, streams.Consumer(stage.Dynamo, "demo")); err != nil {
		t.Fatal(err)
	}
	r.awaitQueued(0)
	if got := r.cells(); got["before"] != 1 || got["between"] != 1 {
		t.Errorf("cells %v", got)
	}
}
