package fleet

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// ackWait is the shortest that the settings take: tests wait for it.
const ackWait = 5 * time.Second

// longJob gives a job that goes on for long enough to be disturbed, and is committed in many
// parts.
func longJob(t *testing.T, samples int) *harness.Job {
	t.Helper()
	j := harness.Killable(t, samples)
	j.Sandbox.Threads = 8
	j.Env["FFF_ACK_WAIT"] = ackWait.String()
	return j
}

// start submits a job to a fleet with so many instances of each service. Until the gate is
// opened the job goes on in small steps: it would last for a minute, so that what is to
// happen in the middle of it does, on a slow machine too.
func start(t *testing.T, j *harness.Job, each int) (*harness.Fleet, *harness.Process, *harness.Gate) {
	t.Helper()
	f := harness.NewFleet(t, j)
	b := harness.StartBackends(t, j.Sandbox, j.File(t))
	j.Backend = b.At.FeatureService
	gate := harness.NewGateAjar(t, b, 25*time.Millisecond)
	f.StartBroker()
	f.AddEach(each)
	f.AwaitReady()
	return f, f.Submit(j), gate
}

// await waits for a moment of the job that p follows, before its end.
func await(t *testing.T, p *harness.Process, m harness.Moment) {
	t.Helper()
	harness.Await(t, m.Name, func() bool {
		select {
		case <-p.Ended():
			t.Fatalf("the job has ended before its moment: %s\n%s", m.Name, p.Wait(t))
		default:
		}
		return m.Reached()
	})
}

// prove awaits the end of a job, and proves that it is complete and that no process has
// ended by itself.
func prove(t *testing.T, f *harness.Fleet, p *harness.Process, j *harness.Job) {
	t.Helper()
	p.Wait(t).Expect(t, 0)
	for _, how := range f.Crashes() {
		t.Error(how)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// Of two instances of each service one is killed and started again, one paused past its
// lease and woken; the broker is killed and started again.
func TestEveryServiceIsKilledAndPaused(t *testing.T) {
	t.Parallel()
	j := longJob(t, 1000)
	f, p, gate := start(t, j, 2)
	for _, service := range harness.Services {
		await(t, p, harness.Once(j, 1, harness.Indexes))
		f.Look(t, j)
		killed := f.Of(service)[0]
		killed.Kill()
		killed.Start(t)
	}
	await(t, p, harness.Once(j, 1, harness.Indexes))
	for _, i := range f.Each() {
		if i.Number == 2 {
			i.Pause()
		}
	}
	f.Broker.Kill()
	f.StartBroker()
	harness.Await(t, "all leases of the paused are over", harness.After(ackWait+2*time.Second).Reached)
	f.Look(t, j)
	f.Heal()
	gate.Open()
	prove(t, f, p, j)
	f.Look(t, j)
}

// An orchestrator that is killed, or stands still for longer than its lease, is followed by
// another, and does no harm when it wakes.
func TestAnotherLeads(t *testing.T) {
	t.Parallel()
	j := longJob(t, 500)
	f, p, gate := start(t, j, 1)
	f.Add("orchestrator")
	f.AwaitReady()
	await(t, p, harness.Once(j, 1, harness.Indexes))
	first := leader(t, f, nil)
	first.Kill()
	second := leader(t, f, first)
	first.Start(t)
	await(t, p, harness.Once(j, 1, harness.Indexes))
	second.Pause()
	leader(t, f, second)
	second.Resume()
	gate.Open()
	prove(t, f, p, j)
}

// leader awaits that another one than before leads, and gives it.
func leader(t *testing.T, f *harness.Fleet, before *harness.Instance) (now *harness.Instance) {
	t.Helper()
	harness.Await(t, "another orchestrator leads", func() bool {
		now = f.Leader()
		return now != nil && now != before
	})
	return now
}

// Instances that cannot reach the broker, each in its own way, are done without, and go on
// when they can.
func TestCutOffFromTheBroker(t *testing.T) {
	t.Parallel()
	j := longJob(t, 500)
	f, p, gate := start(t, j, 2)
	await(t, p, harness.Once(j, 1, harness.Indexes))
	lone := leader(t, f, nil)
	lone.Link.Cut()
	for _, service := range []string{"ingest", "dynamo-fetcher", "writer"} {
		f.Of(service)[0].Link.Cut()
		f.Of(service)[1].Link.Hang()
	}
	leader(t, f, lone)
	harness.Await(t, "all leases of those cut off are over", harness.After(ackWait+time.Second).Reached)
	f.Heal()
	gate.Open()
	prove(t, f, p, j)
}
