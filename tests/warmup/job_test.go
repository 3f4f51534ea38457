package warmup

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/dynamodb"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// newJob gives a job that scales a table, an instance and a cluster.
func newJob(t testing.TB, samples int) *harness.Job {
	t.Helper()
	j := harness.NewJob(t, samples)
	j.Families = harness.FamilyList[:6]
	j.Sandbox.ReadUnits, j.Sandbox.TableUpdateTime, j.Sandbox.DatabaseUpdateTime = readUnits, 300*time.Millisecond, 400*time.Millisecond
	j.More = `warm_up:
  target_duration: 1s
  dynamodb: {max_read_units: 500}
  rds: [{instance: events-db, class: db.r6g.4xlarge}, {cluster: events-aurora, min_acu: 16}]
`
	j.Env = harness.Env{"FFF_LOG_LEVEL": "info", "FFF_WRITER_PART_AGE": "200ms"}
	return j
}

// enough samples that the job wants more than it may have.
const enough = 400

// world is a job on an account of its own.
type world struct {
	account
	job      *harness.Job
	backends *harness.Backends
	before   state
}

func newWorld(t testing.TB, samples int) *world {
	t.Helper()
	w := &world{job: newJob(t, samples)}
	w.serve(t)
	return w
}

// serve makes the account, and reads what it has.
func (w *world) serve(t testing.TB) {
	t.Helper()
	w.backends = harness.NewBackends(t, w.job)
	w.account = account{t, w.backends.At.DynamoDB}
	w.before = w.await("all is made", state.quiet)
}

// shut has every read of the table come back unprocessed, which is no failure, until open: no
// run can end before that.
func (w *world) shut() {
	w.backends.SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{Unprocessed: 1} }})
}

// open lets all reads pass.
func (w *world) open() { w.backends.SetFaults(sandbox.Faults{}) }

// slow makes every read of the table take a while, so that there is a run to break off.
func (w *world) slow() {
	w.backends.SetFaults(sandbox.Faults{BatchGet: func(dynamodb.Call) dynamodb.Fault { return dynamodb.Fault{Delay: 500 * time.Millisecond} }})
}

func (w *world) start(more ...string) *harness.Process {
	w.t.Helper()
	return w.job.Start(w.t, append([]string{"--progress", "plain"}, more...)...)
}

// raising waits until something is on its way up.
func (w *world) raising() {
	w.t.Helper()
	w.await("something is being raised", func(s state) bool { return !s.quiet() || s.ReadUnits != readUnits })
}

// running waits until all is up and the run reads the table.
func (w *world) running() {
	w.t.Helper()
	w.await("all is up", state.raised)
	harness.Await(w.t, "the run reads the table", func() bool { return w.backends.DynamoDB.Stats().BatchGets > 0 })
	if s := w.state(); !s.raised() {
		w.t.Fatalf("the run reads the table and the account has %s", s)
	}
}

// clean checks that all is as before, and that the journal knows of nothing.
func (w *world) clean() {
	w.t.Helper()
	w.is(w.before)
	harness.Await(w.t, "the journal is empty", func() bool { return len(journal(w.t, w.job)) == 0 })
}

type entry struct{ Kind, Name, Stage string }

// journal gives what the journal of a job's dataset names.
func journal(t testing.TB, j *harness.Job) []entry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(j.Dataset(), "_warmup.json"))
	if os.IsNotExist(err) {
		return nil
	}
	var found struct{ Entries []entry }
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found.Entries
}

// down tells whether all that the journal names is down, and only watched.
func down(t testing.TB, j *harness.Job) bool {
	t.Helper()
	return !slices.ContainsFunc(journal(t, j), func(e entry) bool { return e.Stage != "undone" })
}

// killAll ends a process with SIGKILL, and before it the child that would bring down what it
// leaves: as the loss of the machine does.
func killAll(t testing.TB, p *harness.Process) {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(p.PID())).Output()
	if _, none := err.(*exec.ExitError); err != nil && !none {
		harness.Skip(t, "pgrep: %v, so THE LOSS OF A WHOLE MACHINE IS NOT TESTED", err)
	}
	for _, pid := range strings.Fields(string(out)) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended this moment
	}
	p.Kill()
}
