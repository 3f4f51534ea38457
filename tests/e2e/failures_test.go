package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// What fails is told in every place alike, and comes after the cure when the job runs again.
func TestFailuresAreTriedAgainByRunningAgain(t *testing.T) {
	t.Parallel()
	j, b := ailing(t)
	j.Start(t).Wait(t).Expect(t, 3)
	checkFailures(t, j)
	b.SetFaults(sandbox.Faults{})
	j.Start(t).Wait(t).Expect(t, 0)
	checkCured(t, j)
}

// The same in a system that goes on: dead letters are replayed.
func TestFailuresAreReplayed(t *testing.T) {
	t.Parallel()
	j, b := ailing(t)
	s := up(t, j)
	s.fff("submit", "-f", j.RunFile(t), "--records", j.JSONL(t), "--wait").Expect(t, 3)
	checkFailures(t, j)
	letters, failed := s.codes(j.Run), map[string]bool{}
	for _, code := range expected(t, j) {
		failed[code] = true
	}
	if !maps.EqualFunc(letters, failed, func(n int, _ bool) bool { return n > 0 }) {
		t.Errorf("dead letters by code: %v, want those of %v", letters, failed)
	}
	b.SetFaults(sandbox.Faults{})
	s.fff("failed", "replay", j.Run, "--all").Expect(t, 0)
	s.fff("runs", "wait", j.Run).Expect(t, 0)
	checkCured(t, j)
	if again := s.fff("failed", "replay", j.Run, "--all").Expect(t, 0); !strings.HasPrefix(again.Stdout, "0 replayed") {
		t.Errorf("there is something to replay a second time: %s", again.Stdout)
	}
	checkCured(t, j)
}

// ailments are the codes with which the families fail that are ill, each in its own way.
var ailments = map[string]string{
	"statement": "server_error", "graph": "bad_response", "bureau": "unreachable", "travel": "timeout",
	"risk": "service_error", "session": "missing_in_response",
}

// ailing gives a job whose feature service fails these families. Those of the slow lane are
// alone in their requests; those of the fast lane share theirs with others, which are well.
func ailing(t *testing.T) (*harness.Job, *harness.Backends) {
	t.Helper()
	j := harness.NewJob(t, 60)
	j.Lanes = "max_attempts: 2, timeout: 5s"
	b := harness.NewBackends(t, j)
	b.SetFaults(sandbox.Faults{Features: func(r *featureservice.Request) featureservice.Fault {
		switch {
		case slices.Contains(r.Families, "statement"):
			return featureservice.Fault{Status: 500}
		case slices.Contains(r.Families, "graph"):
			return featureservice.Fault{Body: []byte(`{"features":{"graph":[1,2]}}`)}
		case slices.Contains(r.Families, "bureau"):
			return featureservice.Fault{Truncate: true}
		case slices.Contains(r.Families, "travel"):
			return featureservice.Fault{Delay: time.Hour}
		case slices.Contains(r.Families, "risk"):
			return featureservice.Fault{
				Errors:  map[string]featureservice.FamilyError{"risk": {Code: "no_model", Message: "the model is not loaded"}},
				Missing: []string{"session"},
			}
		case slices.Contains(r.Families, "session"): // asked for again, without the other
			return featureservice.Fault{Missing: []string{"session"}}
		}
		return featureservice.Fault{}
	}})
	return j, b
}

// expected gives the cells that fail in an ailing job, and their codes.
func expected(t *testing.T, j *harness.Job) map[harness.Cell]string {
	t.Helper()
	file := j.File(t)
	truth, err := sandbox.NewTruth(j.Sandbox, file)
	if err != nil {
		t.Fatal(err)
	}
	failed := map[harness.Cell]string{}
	for c := range harness.Cells(j.Records, file.FamilyIDs()) {
		if code, ails := ailments[c.Family]; ails && !truth.Cached(c.UserID, c.EpochMS, c.Family) {
			failed[c] = code
		}
	}
	return failed
}

// checkFailures checks that the dataset holds what did not fail, and that every list of
// failures names the others.
func checkFailures(t *testing.T, j *harness.Job) {
	t.Helper()
	want := expected(t, j)
	j.Verify(t, 3)
	j.Prove(t, func(c harness.Cell) bool { _, fails := want[c]; return fails })
	if _, err := os.Stat(filepath.Join(j.Dataset(), "_SUCCESS")); !os.IsNotExist(err) {
		t.Errorf("_SUCCESS is there: %v", err)
	}
	got, byCode := map[harness.Cell]string{}, map[string]int64{}
	listed := failures(t, j.Dataset())
	for _, f := range listed {
		got[harness.Cell{Family: f.Family, UserID: f.UserID, EpochMS: mustTime(t, f.PITCTimestamp)}] = f.Code
		byCode[f.Code]++
		attempts := 2
		if f.Code == "service_error" {
			attempts = 1 // not retryable, as the service says
		}
		if f.Kind != "cell" || f.Reason == "" || f.Attempts != attempts {
			t.Errorf("a failure is listed as %+v, want a cell with a reason after %d attempts", f, attempts)
		}
	}
	if !maps.Equal(got, want) || len(listed) != len(want) {
		t.Errorf("`fff failed list --dir` names %d cells, want %d", len(listed), len(want))
	}
	text, err := os.ReadFile(filepath.Join(j.Dataset(), "_failures.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != len(want) {
		t.Errorf("_failures.jsonl has %d lines, want %d", n, len(want))
	}
	m := manifest(t, j)
	requested := int64(len(harness.Cells(j.Records, j.File(t).FamilyIDs())))
	if c := m.Cells; c.Requested != requested || c.Failed != int64(len(want)) || c.Committed != requested-c.Failed || !maps.Equal(c.ByCode, byCode) {
		t.Errorf("the manifest counts %+v, want %d requested, %d failed as %v", c, requested, len(want), byCode)
	}
}

// checkCured checks that the dataset is whole and nothing is listed any more.
func checkCured(t *testing.T, j *harness.Job) {
	t.Helper()
	j.Verify(t, 0)
	j.Prove(t, nil)
	if left := failures(t, j.Dataset()); len(left) > 0 {
		t.Errorf("%d failures are listed after the cure, such as %+v", len(left), left[0])
	}
	if m := manifest(t, j); m.Cells.Failed != 0 || m.Cells.Committed != m.Cells.Requested {
		t.Errorf("the manifest counts %+v after the cure", m.Cells)
	}
	if _, err := os.Stat(filepath.Join(j.Dataset(), "_SUCCESS")); err != nil {
		t.Error(err)
	}
}

func manifest(t *testing.T, j *harness.Job) *dataset.Manifest {
	t.Helper()
	m, err := dataset.ReadManifest(j.Dataset())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustTime(t *testing.T, text string) int64 {
	t.Helper()
	ms, err := epochMS(json.RawMessage(`"` + text + `"`))
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// failures reads the failures of a dataset with fff.
func failures(t *testing.T, dir string) []dataset.Failure {
	t.Helper()
	r := harness.Run(t, nil, "failed", "list", "--dir", dir, "--limit", "0", "--output", "json").Expect(t, 0)
	var all []dataset.Failure
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return all
}

// failuresOf gives the codes of a dataset's failures, sorted.
func failuresOf(t *testing.T, dir string) []string {
	t.Helper()
	var codes []string
	for _, f := range failures(t, dir) {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	return codes
}
