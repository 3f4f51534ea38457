package fleet

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// ackWait is the shortest that the settings take: tests wait for it.
const ackWait = 5 * time.Second

// longJob gives a job that goes on for so long that much can happen to it.
func longJob(t *testing.T, samples int) *harness.Job {
	t.Helper()
	j := harness.Killable(t, samples)
	j.Env["FFF_ACK_WAIT"] = ackWait.String()
	return j
}

// start starts a job on a fleet with two instances of each service.
func start(t *testing.T, j *harness.Job) (*harness.Fleet, *harness.Process) {
	t.Helper()
	f := harness.NewFleet(t, j)
	f.StartBroker()
	f.AddEach(2)
	f.AwaitReady()
	return f, f.Submit(j)
}

// prove proves that a job is complete and that no instance has ended by itself.
func prove(t *testing.T, f *harness.Fleet, j *harness.Job) {
	t.Helper()
	for _, how := range f.Crashes() {
		t.Error(how)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// Each instance is killed once and started again while the job goes on.
func TestEveryServiceIsKilled(t *testing.T) {
	t.Parallel()
	j := longJob(t, 1200)
	f, p := start(t, j)
	at := harness.Once(j, 1, harness.Indexes)
	for _, i := range f.Each() {
		harness.Await(t, at.Name, at.Reached)
		f.Look(t, j)
		i.Kill()
		i.Start(t)
		at = harness.Once(j, 1, harness.Indexes)
	}
	p.Wait(t).Expect(t, 0)
	prove(t, f, j)
}
