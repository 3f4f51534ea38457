package harness

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

var peak = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// PeakMemory gives the most bytes of memory that the process has had at a time, as the
// kernel has counted them. Where the kernel does not tell, the test is skipped.
func (i *Instance) PeakMemory(t testing.TB) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		Skip(t, "only Linux tells the peak of a process's memory, so NO BOUND OF MEMORY IS TESTED")
	}
	i.mu.Lock()
	pid := i.cmd.Process.Pid
	i.mu.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("%s: %v", i.Name, err)
	}
	m := peak.FindSubmatch(status)
	if m == nil {
		t.Fatalf("/proc/%d/status has no VmHWM", pid)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// Queue gives the messages that a job has in the queue of a stage; 0 while the broker is
// away.
func (f *Fleet) Queue(j *Job, s stage.Name) (n uint64) {
	f.with(func(ctx context.Context, c *broker.Client) (err error) {
		n, err = streams.Count(ctx, c.JS, streams.Of(s), streams.Subject(s, j.Run))
		return err
	})
	return n
}
