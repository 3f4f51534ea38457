package warmup

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// newFleet starts a fleet with two orchestrators, whose watch is short, and submits the job.
func newFleet(t *testing.T, change ...func(*harness.Job)) (*harness.Fleet, *world, *harness.Process) {
	t.Helper()
	w := &world{job: newJob(t, enough)}
	w.job.Sandbox.DynamoDBLatency = 300 * time.Millisecond
	w.job.Env["FFF_WARMUP_WATCH"] = "2s"
	for _, f := range change {
		f(w.job)
	}
	f := harness.NewFleet(t, w.job)
	f.StartBroker()
	w.account = account{t, f.Account}
	harness.Await(t, "the stand-ins listen", func() bool { return harness.Listens(f.Account[len("http://"):]) })
	w.before = w.await("all is made", state.quiet)
	f.AddEach(1)
	f.Add("orchestrator")
	f.AwaitReady()
	return f, w, f.Submit(w.job)
}

// The leader is killed while all is up: another one takes over, the run completes, and all
// comes down.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	f, w, p := newFleet(t)
	w.await("all is up", state.raised)
	f.Leader().Kill()
	p.Wait(t).Expect(t, 0)
	w.clean()
}

// Every orchestrator is killed, and one is started later.
func TestAllOrchestratorsKilled(t *testing.T) {
	t.Parallel()
	f, w, p := newFleet(t)
	w.raising()
	for _, i := range f.Of("orchestrator") {
		i.Kill()
	}
	f.Add("orchestrator")
	p.Wait(t).Expect(t, 0)
	w.clean()
}

// Two runs of one system raise the same things. The one that ends first leaves them up, in
// whichever order; the last one restores the first state.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]int{"the first ends first": 0, "the second ends first": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, w, p := newFleet(t, func(j *harness.Job) { j.Sandbox.DynamoDBLatency = 30 * time.Second }) // neither ends by itself
			other := newJob(t, enough)
			other.Run, other.Out, other.Backend = "other", w.job.Out, w.job.Backend
			runs, ends := []string{w.job.Run, other.Run}, []*harness.Process{p, f.Submit(other)}
			w.await("both hold all of it", func(s state) bool { return s.raised() && len(s.Marks) == 6 })
			for i, n := range []int{first, 1 - first} {
				harness.Run(t, nil, "runs", "cancel", runs[n], "--nats", f.URL).Expect(t, 0)
				ends[n].Wait(t).Expect(t, 1)
				if s := w.state(); i == 0 && !s.raised() {
					t.Errorf("one still needs it, and the account has %s", s)
				}
			}
			w.is(w.before)
		})
	}
}

// The leader stands still with its call under way. When another has raised, fetched and
// brought down, the call arrives, and the leader wakes: it all comes down once more.
func TestLeaderStoppedBeforeItsCall(t *testing.T) {
	t.Parallel()
	late := newLateCall(t)
	f, w, p := newFleet(t, func(j *harness.Job) {
		j.Env["AWS_ENDPOINT_URL_DYNAMODB"], j.Env["FFF_WARMUP_WATCH"] = late.url, "10s"
	})
	late.to(f.Account)
	late.await("the leader raises the table")
	f.Leader().Pause()
	p.Wait(t).Expect(t, 0)
	w.await("another has brought it down", func(s state) bool { return s.quiet() && !s.differs(w.before) })
	late.arrive()
	w.await("it is down once more", func(s state) bool { return s.quiet() && !s.differs(w.before) })
	for _, i := range f.Of("orchestrator") {
		i.Resume()
	}
	w.clean()
}

// The broker is lost for good while all is up: the dataset's journal is enough.
func TestBrokerLost(t *testing.T) {
	t.Parallel()
	f, w, p := newFleet(t)
	w.await("all is up", state.raised)
	f.Broker.Kill()
	p.Kill()
	for _, i := range f.Each() {
		i.Kill()
	}
	w.job.Env["AWS_ENDPOINT_URL_DYNAMODB"], w.job.Env["AWS_ENDPOINT_URL_RDS"] = f.Account, f.Account
	harness.Run(t, w.job.Settings(), "runs", "teardown", w.job.Run, "--dir", w.job.Out).Expect(t, 0)
	w.clean()
}
