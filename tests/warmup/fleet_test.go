package warmup

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	brokerjournal "github.com/fastfeaturefetch/fff/shared/broker/journal"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// newFleet starts a fleet with so many orchestrators, whose watch is short unless the job
// says how long it is.
func newFleet(t *testing.T, w *world, orchestrators int) *harness.Fleet {
	t.Helper()
	// Everything is in DynamoDB: a new leader gives out no requests to the feature service
	// before those that the old one may have given out have lapsed, which is not the subject.
	w.job.Env["FFF_ACK_WAIT"] = "5s"
	if w.job.Env["FFF_WARMUP_WATCH"] == "" {
		w.job.Env["FFF_WARMUP_WATCH"] = "2s"
	}
	f := harness.NewFleet(t, w.job)
	f.StartBroker()
	f.AddEach(1)
	for range orchestrators - 1 {
		f.Add("orchestrator")
	}
	f.AwaitReady()
	return f
}

// forgotten waits until the journal in the broker knows of nothing.
func forgotten(t *testing.T, f *harness.Fleet) {
	t.Helper()
	nc, err := nats.Connect(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	harness.Await(t, "the broker's journal is empty", func() bool {
		all, err := brokerjournal.Runs(t.Context(), js)
		return err == nil && len(all) == 0
	})
}

// newHits is newWorld with all that a run asks for in the table.
func newHits(t *testing.T) *world {
	t.Helper()
	w := &world{job: newJob(t, enough)}
	w.job.Sandbox.HitRatio = 1
	w.serve(t)
	return w
}

// The leader is killed while all is up: another one takes over, the run completes, and all
// comes down.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	w := newHits(t)
	w.shut()
	f := newFleet(t, w, 2)
	p := f.Submit(w.job)
	w.running()
	f.Leader().Kill()
	w.open()
	p.Wait(t).Expect(t, 0)
	w.clean()
}

// Every orchestrator is killed, and one is started later.
func TestAllOrchestratorsKilled(t *testing.T) {
	t.Parallel()
	w := newHits(t)
	f := newFleet(t, w, 2)
	p := f.Submit(w.job)
	w.raising()
	for _, i := range f.Of("orchestrator") {
		i.Kill()
	}
	f.Add("orchestrator")
	p.Wait(t).Expect(t, 0)
	w.clean()
}

// Two runs of one system raise the same things. The first one out leaves them up, in whichever
// order they are cancelled, also when the leader is killed in between.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first int // which of the two ends first
		kill  bool
	}{
		"the first ends first":                      {0, false},
		"the second ends first":                     {1, false},
		"the leader is killed between the two ends": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHits(t)
			w.shut()
			f := newFleet(t, w, 2)
			other := newJob(t, enough)
			other.Run = "other"
			w.backends.Serve(other)
			other.Out = w.job.Out
			jobs := []*harness.Job{w.job, other}
			f.Submit(w.job)
			w.running()
			f.Submit(other).Stderr(t, "the other is warmed up too", harness.Says("other draining"))
			first, last := jobs[c.first], jobs[1-c.first]
			harness.Run(t, w.job.Settings(), "runs", "cancel", first.Run, "--nats", f.URL).Expect(t, 0)
			harness.Await(t, "the first one out has left", func() bool { return len(journal(t, first)) == 0 })
			if s := w.state(); !s.raised() {
				t.Errorf("one still needs it, and the account has %s", s)
			}
			if c.kill {
				f.Leader().Kill()
			}
			w.open()
			harness.Await(t, "the last one leaves nothing", func() bool { return len(journal(t, last)) == 0 })
			w.clean()
			forgotten(t, f)
		})
	}
}

// `fff runs teardown --all` on a system whose orchestrators were away.
func TestTeardownAll(t *testing.T) {
	t.Parallel()
	w := newHits(t)
	w.shut()
	f := newFleet(t, w, 1)
	f.Submit(w.job)
	w.running()
	harness.Run(t, w.job.Settings(), "runs", "cancel", w.job.Run, "--nats", f.URL).Expect(t, 0)
	f.Leader().Kill()
	f.Add("orchestrator")
	// A run that is being written up is left alone, which is no failure.
	harness.Await(t, "the run is torn down", func() bool {
		r := harness.Run(t, w.job.Settings(), "runs", "teardown", "--all", "--nats", f.URL)
		return r.Code == 0 && strings.Contains(r.Stderr, "run "+w.job.Run+" is torn down")
	})
	if s := w.state(); !s.unraised(w.before) {
		t.Errorf("before the run: %s\nafter the teardown: %s", w.before, s)
	}
	w.clean()
}

// The broker is lost for good while all is up: the dataset's journal is enough.
func TestBrokerLost(t *testing.T) {
	t.Parallel()
	w := newHits(t)
	w.shut()
	f := newFleet(t, w, 2)
	p := f.Submit(w.job)
	w.running()
	f.Broker.Kill()
	p.Kill()
	for _, i := range f.Each() {
		i.Kill()
	}
	harness.Run(t, w.job.Settings(), "runs", "teardown", w.job.Run, "--dir", w.job.Out).Expect(t, 0)
	w.clean()
}
