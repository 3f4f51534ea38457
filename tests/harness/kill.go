package harness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

// Moment is when a system is killed.
type Moment struct {
	Name    string
	Reached func() bool
}

// After is a moment some time after the start.
func After(d time.Duration) Moment {
	deadline := time.Now().Add(d)
	return Moment{fmt.Sprintf("%s after the start", d), func() bool { return time.Now().After(deadline) }}
}

// Once is the moment when files that match the pattern, below the dataset, are more by n
// than when it was asked for; n may be 0 where there is none yet.
func Once(j *Job, n int, pattern string) Moment {
	count := func() int { return len(j.files(pattern)) }
	before := count()
	return Moment{fmt.Sprintf("%d more %s", n, pattern), func() bool { return count() >= before+n }}
}

// Patterns of files that tell how far a run has come.
const (
	Staged  = "_staging/*/*/*/*.parquet"
	Indexes = "_commits/*"
	Parts   = "features/*/*.parquet"
)

// KillAt lets a program run until a moment and kills it. It gives false if the program
// ended by itself before that.
func KillAt(t testing.TB, p *Process, m Moment) bool {
	t.Helper()
	ended := false
	p.await(t, "the system ends or comes to its moment: "+m.Name, func() bool {
		select {
		case <-p.Ended():
			ended = true
		default:
		}
		return ended || m.Reached()
	})
	p.Kill()
	return !ended
}

// Witness watches a dataset over the deaths of its systems.
type Witness struct {
	seen map[commitlog.FileID]bool // files that were visible and rightly so

	unfinished int // looks at a dataset that had files and was not complete
}

// Look checks what a system that was just killed has left under features/: every file is
// whole and committed, and no cell is there twice.
func (w *Witness) Look(t testing.TB, j *Job) {
	t.Helper()
	j.Fetch(t)
	if _, err := Rows(t.Context(), j.Dataset()); err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	visible, err := Visible(j.Dataset())
	if err != nil {
		t.Fatal(err)
	}
	if len(visible) == 0 {
		return
	}
	if len(j.files(dataset.SuccessName)) == 0 {
		w.unfinished++
	}
	var files []commitlog.FileID
	for f, err := range ReadDataset(t.Context(), j.Dataset()) {
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, commitlog.FileID{Family: f.Family, Name: f.Name})
	}
	committed, now := Committed(t, j, files), map[commitlog.FileID]bool{}
	for _, id := range files {
		// What was visible once and then lost its log, or whose log was put back, stays.
		if !committed[id] && !w.seen[id] {
			t.Errorf("after the kill %s of %s is visible, but not committed", id.Name, id.Family)
		}
		now[id] = true
	}
	w.seen = now
}

// KillOften kills a job at random moments and runs it again each time. When it completes in
// between, its dataset is proved and another job begun. Every job is completed in the end.
//
// Each start has stand-ins of its own, so the system opens another epoch. With lasting ones
// some jobs go on in the epoch that they were killed in.
func KillOften(t *testing.T, kills, samples int, lasting bool) {
	t.Helper()
	KillOftenOn(t, nil, kills, samples, lasting)
}

// KillOftenOn is KillOften for datasets in S3.
func KillOftenOn(t *testing.T, server *S3, kills, samples int, lasting bool) {
	random := rand.New(rand.NewPCG(Seed(t), 0))
	w := new(Witness)
	for round := 0; kills > 0; round++ {
		j := Killable(t, samples)
		j.Run, j.S3 = fmt.Sprintf("job-%d", round), server
		args := []string{"--progress", "plain", "--sandbox"}
		if lasting && random.IntN(2) == 0 {
			NewBackends(t, j)
			args = args[:2]
		}
		kills = killUntilComplete(t, w, j, args, random, kills)
		j.Verify(t, 0)
		j.Prove(t, nil)
	}
	if w.unfinished == 0 {
		t.Error("no kill came in the middle of a run: there was never a part visible in a dataset that was not complete")
	}
}

// killUntilComplete gives how many kills are left when the job is complete.
func killUntilComplete(t *testing.T, w *Witness, j *Job, args []string, random *rand.Rand, kills int) int {
	t.Helper()
	w.seen = nil
	for ; kills > 0; kills-- {
		m := moment(j, random)
		if w.unfinished == 0 { // the others may all miss the middle
			m = Once(j, 1+random.IntN(4), Parts)
		}
		p := j.Start(t, args...)
		if !KillAt(t, p, m) {
			p.Wait(t).Expect(t, 0)
			return kills
		}
		t.Logf("%s: killed at %s; %d files visible", j.Run, m.Name, len(j.files(Parts)))
		w.Look(t, j)
	}
	j.Start(t, args...).Wait(t).Expect(t, 0)
	return 0
}

// moment draws a moment; the clock starts now.
func moment(j *Job, random *rand.Rand) Moment {
	switch random.IntN(6) {
	case 0:
		return Once(j, 1+random.IntN(4), Staged)
	case 1:
		return Once(j, 1+random.IntN(3), Indexes)
	case 2:
		return Once(j, 1+random.IntN(len(j.Families)), Parts)
	case 3:
		return Once(j, 1, []string{"_schema.yaml", "_manifest.json", "_failures.jsonl", "_SUCCESS"}[random.IntN(4)])
	default:
		return After(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
}

// Killable gives a job that takes some seconds and is committed in several parts, so that
// there is something to break off.
func Killable(t *testing.T, samples int) *Job {
	t.Helper()
	j := NewJob(t, samples)
	j.Sandbox.DynamoDBLatency = 20 * time.Millisecond
	j.Sandbox.FastMin, j.Sandbox.FastMax = time.Millisecond, 8*time.Millisecond
	j.Sandbox.SlowMin, j.Sandbox.SlowMax = 10*time.Millisecond, 60*time.Millisecond
	j.Sandbox.Threads = 24
	j.Env = Env{"FFF_WRITER_PART_AGE": "200ms", "FFF_LOG_LEVEL": "debug"}
	return j
}

// KillAndContinue kills a job once. Its stand-ins live on, so that the same run file runs
// again and the run goes on in its epoch.
func KillAndContinue(t *testing.T, samples int, at func(*Job) Moment) {
	j := Killable(t, samples)
	// What the dead system held of the queues comes back because the next one knows that it
	// is dead: waiting for it would outlast the test's patience.
	j.Env["FFF_ACK_WAIT"] = "10m"
	NewBackends(t, j)
	for try := 0; ; try++ {
		m := at(j)
		p := j.Start(t)
		if KillAt(t, p, m) {
			break
		}
		p.Wait(t).Expect(t, 0)
		if try == 5 {
			t.Fatalf("no job was killed at its moment: %s", m.Name)
		}
		j.Run = fmt.Sprintf("again-%d", try) // on a busy machine we may come too late
	}
	new(Witness).Look(t, j)
	if r := j.Start(t).Wait(t).Expect(t, 0); !strings.Contains(r.Stdout, "(epoch 1) is complete") {
		t.Errorf("the run did not go on in its epoch\n%s", r)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// KillAndHarm runs a job that is killed at two moments; harm is done to its broker's store
// after each of them. The third run completes it.
func KillAndHarm(t *testing.T, samples int, first, second func(*Job) Moment, harm func(j *Job, kill int)) {
	j := Killable(t, samples)
	for try := 0; !killTwice(t, j, first, second, harm); try++ {
		if try == 5 {
			t.Fatal("no job was killed at both of its moments; all had ended before")
		}
		j.Run = fmt.Sprintf("again-%d", try) // on a busy machine we may come too late
	}
	r := j.Start(t, harmed...).Wait(t).Expect(t, 0)
	if !strings.Contains(r.Stdout, "is complete") {
		t.Errorf("no word of completeness\n%s", r)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// harmed are the arguments of jobs that are killed and harmed.
var harmed = []string{"--progress", "plain", "--sandbox"}

// killTwice gives false if the job has ended before it came to be killed.
func killTwice(t *testing.T, j *Job, first, second func(*Job) Moment, harm func(j *Job, kill int)) bool {
	t.Helper()
	w := new(Witness)
	for i, m := range []func(*Job) Moment{first, second} {
		at := m(j)
		p := j.Start(t, harmed...)
		if !KillAt(t, p, at) {
			p.Wait(t).Expect(t, 0)
			t.Logf("%s has ended before its moment: %s", j.Run, at.Name)
			return false
		}
		w.Look(t, j)
		harm(j, i+1)
	}
	return true
}
