package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

const killedSamples = 400

// Whenever the system is killed, running it again completes the dataset; what is visible
// in between is whole and committed.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	harness.KillOften(t, 5, killedSamples, false)
}

// The same run file after a kill goes on where the run was.
func TestKilledAndContinued(t *testing.T) {
	t.Parallel()
	harness.KillAndContinue(t, killedSamples, someParts)
}

// Without the broker's store the run goes on from the dataset.
func TestKilledAndStoreLost(t *testing.T) {
	t.Parallel()
	harness.KillAndHarm(t, killedSamples, someParts, morePartsStaged, func(j *harness.Job, _ int) {
		if err := os.RemoveAll(j.Store()); err != nil {
			t.Fatal(err)
		}
	})
}

// The broker's store is put back to an earlier copy in the middle of a run.
func TestKilledAndStorePutBack(t *testing.T) {
	t.Parallel()
	harness.KillAndHarm(t, killedSamples, someParts, morePartsStaged, keepThenPutBack(t))
}

// The broker's store is put back to an earlier copy after the last commit.
func TestKilledAndStorePutBackAfterTheLastCommit(t *testing.T) {
	t.Parallel()
	harness.KillAndHarm(t, killedSamples, someParts, func(j *harness.Job) harness.Moment {
		return harness.Once(j, 1, "_manifest.json")
	}, keepThenPutBack(t))
}

func someParts(j *harness.Job) harness.Moment { return harness.Once(j, 5, harness.Parts) }

func morePartsStaged(j *harness.Job) harness.Moment { return harness.Once(j, 14, harness.Parts) }

// keepThenPutBack copies the store after the first kill and puts the copy back after the
// second.
func keepThenPutBack(t *testing.T) func(*harness.Job, int) {
	copied := filepath.Join(t.TempDir(), "store")
	return func(j *harness.Job, kill int) {
		if kill == 1 {
			if err := os.RemoveAll(copied); err != nil { // of a job that came to its end too soon
				t.Fatal(err)
			}
			harness.CopyDir(t, j.Store(), copied)
			return
		}
		if err := os.RemoveAll(j.Store()); err != nil {
			t.Fatal(err)
		}
		harness.CopyDir(t, copied, j.Store())
	}
}

// Killed on its last steps, a run takes them first when it is run again.
func TestKilledWhileFinalising(t *testing.T) {
	t.Parallel()
	harness.KillAndHarm(t, killedSamples, someParts, func(j *harness.Job) harness.Moment {
		return harness.Once(j, 1, "_commits/*-requested")
	}, func(*harness.Job, int) {})
}
