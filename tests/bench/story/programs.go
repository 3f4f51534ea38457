package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/release"
)

// programs are what is measured, in a directory of their own that is also that of the jobs.
type programs struct{ dir string }

func build(ctx context.Context) (*programs, error) {
	dir, err := release.FFF(ctx, "fff-story-")
	if err != nil {
		return nil, err
	}
	return &programs{dir}, nil
}

func (p *programs) remove() { _ = os.RemoveAll(p.dir) }

// usage is what a process has used when it ended.
type usage struct {
	wall, cpu float64 // seconds
	peak      float64 // MiB resident
	stdout    []byte
}

// partly is the exit code of a job that finished, but for cells that it lists as failed.
const partly = 3

// run runs a program until it ends, or is stopped at the deadline of ctx: some are only
// watched for a while.
func run(ctx context.Context, env []string, name string, args ...string) (*usage, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	err := cmd.Run()
	u := &usage{wall: time.Since(begin).Seconds(), stdout: stdout.Bytes()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == partly {
		err = nil
	}
	if err != nil && cmd.ProcessState != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, strings.TrimSpace(stderr.String()))
	}
	state := cmd.ProcessState
	u.cpu = (state.UserTime() + state.SystemTime()).Seconds()
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.peak = float64(r.Maxrss) / (1 << 20)
		if runtime.GOOS != "darwin" { // where it counts bytes
			u.peak *= 1 << 10
		}
	}
	return u, nil
}

// job is a run file and its records, in a directory of their own.
type job struct {
	dir, file, records string
}

func (p *programs) newJob(r *runFile, samples int) (*job, error) {
	dir, err := os.MkdirTemp(p.dir, "job-")
	if err != nil {
		return nil, err
	}
	j := &job{dir: dir, file: filepath.Join(dir, "run.yaml"), records: filepath.Join(dir, "records.csv")}
	var b strings.Builder
	b.WriteString("user_id,pitc_timestamp\n")
	for n := range samples {
		fmt.Fprintf(&b, "%s,%s\n", userID(n), pitcTimestamp.Format(time.RFC3339))
	}
	return j, errors.Join(os.WriteFile(j.file, []byte(r.text(filepath.Join(dir, "out"))), 0o644), os.WriteFile(j.records, []byte(b.String()), 0o644))
}

func (j *job) remove() { _ = os.RemoveAll(j.dir) }

// fff runs a job all-in-one.
func (p *programs) fff(ctx context.Context, j *job, env []string) (*usage, error) {
	return run(ctx, env, filepath.Join(p.dir, "fff"), "run", "-f", j.file, "--records", j.records, "--progress", "json")
}

// client runs one of this program's own clients, in a process of its own, and reads what
// it says.
func client(ctx context.Context, kind string, cfg, said any) (*usage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	u, err := run(ctx, nil, self, clientArg, kind, string(text))
	if err != nil {
		return nil, err
	}
	return u, json.Unmarshal(u.stdout, said)
}

// failedCells reads how many cells a job has failed from the last line of its progress.
func failedCells(stdout []byte) float64 {
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	var summary struct {
		Status struct {
			Failed float64 `json:"failed_cells"`
		} `json:"status"`
	}
	if json.Unmarshal(lines[len(lines)-1], &summary) != nil {
		return 0
	}
	return summary.Status.Failed
}
