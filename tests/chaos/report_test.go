package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// report is what rounds came to, for people to read.
type report struct {
	seed   uint64
	wanted int
	began  time.Time
	rounds []outcome
}

// outcome is what one round came to.
type outcome struct {
	round     *round
	submitted int
	faults    []kind
	took      time.Duration
	failed    bool
	skipped   bool
}

func (o *outcome) text() string {
	switch {
	case o.failed:
		return "**FAILED**"
	case o.skipped:
		return "**skipped**"
	}
	return "proved"
}

// write writes the report to the file that FFF_CHAOS_REPORT names, if it names one.
func (r *report) write(t *testing.T) {
	t.Helper()
	path := os.Getenv("FFF_CHAOS_REPORT")
	if path == "" {
		return
	}
	if err := os.WriteFile(path, r.markdown(), 0o644); err != nil {
		t.Error(err)
	}
}

func (r *report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Rounds of chaos\n\nThis page is written by `make chaos`. In each round a job of its own runs on a NATS server and one to three instances of every service, all of them processes, while what is listed goes wrong. A round is proved when `fff verify` finds every requested cell exactly once, every value recomputed from the Parquet files is right, no file was visible before it was committed, no process has ended by itself, and all end with 0 after SIGTERM.\n\n")
	proved := 0
	for i := range r.rounds {
		if !r.rounds[i].failed && !r.rounds[i].skipped {
			proved++
		}
	}
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"outcome", fmt.Sprintf("%d of %d rounds proved", proved, r.wanted)},
		{"again", fmt.Sprintf("`FFF_TEST_SEED=%d FFF_CHAOS_ROUNDS=%d make chaos`", r.seed, r.wanted)},
		{"began", r.began.UTC().Format("2006-01-02 15:04 MST")},
		{"took", time.Since(r.began).Round(time.Second).String()},
		{"version", version()},
		{"machine", fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	r.byKind(&b)
	r.byRound(&b)
	return b.Bytes()
}

func (r *report) byKind(b *bytes.Buffer) {
	count := map[kind]int{}
	for _, o := range r.rounds {
		for _, k := range o.faults {
			count[k]++
		}
	}
	fmt.Fprintf(b, "\n## Faults\n\n| what went wrong | how often |\n|---|---:|\n")
	for _, k := range kinds {
		fmt.Fprintf(b, "| %s | %d |\n", k, count[k])
	}
}

func (r *report) byRound(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Rounds\n\n| round | records × families | layout | dataset on | instances of each | broker waits | faults | submitted | took | outcome |\n|---:|---|---|---|---:|---:|---|---:|---:|---|\n")
	for i := range r.rounds {
		o := &r.rounds[i]
		names := make([]string, len(o.faults))
		for i, k := range o.faults {
			names[i] = string(k)
		}
		place := "disk"
		if o.round.onS3 {
			place = "S3"
		}
		fmt.Fprintf(b, "| %d | %d × %d | %s | %s | %d | %s | %s | %d | %s | %s |\n", o.round.number,
			len(o.round.job.Records), len(o.round.job.Families), o.round.job.Layout, place, o.round.each, o.round.ackWait,
			strings.Join(names, "; "), o.submitted, o.took.Round(time.Second), o.text())
	}
}

// version gives the commit that is tested.
func version() string {
	root, err := harness.Root()
	if err != nil {
		return "unknown"
	}
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
