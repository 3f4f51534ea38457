package warmup

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// newFleet starts a fleet with two orchestrators, whose watch is short, and submits the job.
func newFleet(t *testing.T) (*harness.Fleet, *world, *harness.Process) {
	t.Helper()
	w := &world{job: newJob(t, enough)}
	w.job.Sandbox.DynamoDBLatency = 300 * time.Millisecond
	w.job.Env["FFF_WARMUP_WATCH"] = "2s"
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
