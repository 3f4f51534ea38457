package s3

import (
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

const samples = 400

// Whenever the system is killed, running it again completes the dataset in S3; what is listed
// in between is whole and committed.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	harness.KillOftenOn(t, harness.StartS3(t), 3, samples, false)
}

// The S3 server is killed in the middle of uploads, and started again when the system has
// found out.
func TestServerKilledInTheMiddleOfUploads(t *testing.T) {
	t.Parallel()
	j := harness.Killable(t, samples)
	j.S3 = harness.StartS3(t)
	staged := harness.Once(j, 1, harness.Staged)
	p := j.Start(t, "--sandbox")
	harness.Await(t, staged.Name, staged.Reached)
	j.S3.Kill()
	p.Stderr(t, "the system tries again", func(log string) bool { return strings.Contains(log, "trying again") })
	j.S3.Restart(t)
	p.Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
	holdsManifestOnly(t, j)
}

// While a fleet writes to S3, and while a writer and the leader of it are killed, nothing is
// ever listed that the commit log does not name.
func TestNothingUncommittedIsListed(t *testing.T) {
	t.Parallel()
	j := harness.Killable(t, samples)
	j.Env["FFF_ACK_WAIT"] = "5s"
	j.S3 = harness.StartS3(t)
	f := harness.NewFleet(t, j)
	f.StartBroker()
	f.AddEach(2)
	f.AwaitReady()
	p := f.Submit(j)
	victims := []string{"writer-1", "orchestrator-1", "writer-2"}
	looks := 0
	harness.Await(t, "the job ends", func() bool {
		if f.Look(t, j) {
			looks++
		}
		if looks > 0 && len(victims) > 0 {
			for _, i := range f.Each() {
				if i.Name == victims[0] {
					i.Kill()
					i.Start(t)
				}
			}
			victims = victims[1:]
		}
		select {
		case <-p.Ended():
			return true
		default:
			return false
		}
	})
	p.Wait(t).Expect(t, 0)
	if looks == 0 || len(victims) > 0 {
		t.Errorf("%d looks at the listing told anything, and %v were not killed", looks, victims)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
	holdsManifestOnly(t, j)
}
