package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// services are the processes of a fleet, in the order in which they are named in reports.
var services = []string{"ingest", "dynamo-fetcher", "fs-fast", "fs-slow", "writer", "orchestrator"}

// programs are the binaries that are measured, in a directory of their own.
type programs struct {
	dir, root string
	left      int // samples of jobs whose directories are there still
}

// build builds the programs as a release would be, and nats-server beside them.
func build(ctx context.Context) (*programs, error) {
	dir, err := os.MkdirTemp("", "fff-bench-")
	if err != nil {
		return nil, err
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/fastfeaturefetch/fff")
	root, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("where the system's module is: %w", err)
	}
	p := &programs{dir: dir, root: strings.TrimSpace(string(root))}
	return p, p.goBuild(ctx, "-o", dir, "./services/...", "github.com/nats-io/nats-server/v2")
}

func (p *programs) goBuild(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.root, append(os.Environ(), "GOWORK=off"), os.Stderr
	return cmd.Run()
}

// oneAMessage names the program that sends the lanes one request a message.
const oneAMessage = "fff-one-a-message"

var perLane = regexp.MustCompile(`(?m)^(\s*MaxRequestsPerLane\s*=\s*)\d+`)

// buildVariant builds it: the number is no setting, so the compiler is given another file in
// the place of the one that has it.
func (p *programs) buildVariant(ctx context.Context) error {
	source := filepath.Join(p.root, "shared", "work", "work.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if !perLane.Match(text) {
		return fmt.Errorf("%s has no MaxRequestsPerLane", source)
	}
	changed, overlay := filepath.Join(p.dir, "work.go"), filepath.Join(p.dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(changed, perLane.ReplaceAll(text, []byte("${1}1")), 0o644), os.WriteFile(overlay, replace, 0o644))
	if err != nil {
		return err
	}
	return p.goBuild(ctx, "-overlay", overlay, "-o", filepath.Join(p.dir, oneAMessage), "./services/fff/cmd/fff")
}

func (p *programs) remove() { _ = os.RemoveAll(p.dir) }

// maxLeft bounds what leave leaves, in samples of some 16 KB.
const maxLeft = 1_400_000

// leave leaves a job's directory until all jobs are done. A file system without a journal
// does not give out again at once what removed files had, and looks through all of it for
// each new file: jobs would pay for the removal of those before them.
func (p *programs) leave(dir string, samples int) {
	if p.left+samples > maxLeft {
		_ = os.RemoveAll(dir)
		return
	}
	p.left += samples
}

// usage is what a process has used when it ended.
type usage struct {
	CPU  float64 `json:"cpu_seconds"`
	Peak int64   `json:"peak_bytes"` // resident
}

// process is a program that runs until it ends or is stopped.
type process struct {
	name   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
	gone   chan struct{} // closed when it has ended
}

func (p *programs) start(name string, stdout io.Writer, env []string, args ...string) (*process, error) {
	q := &process{name: name, cmd: exec.Command(filepath.Join(p.dir, name), args...), ended: make(chan error, 1), gone: make(chan struct{})}
	return q, q.start(stdout, env)
}

func (q *process) start(stdout io.Writer, env []string) error {
	q.cmd.Env, q.cmd.Stdout, q.cmd.Stderr = append(os.Environ(), env...), stdout, &q.stderr
	if err := q.cmd.Start(); err != nil {
		return err
	}
	go func() { q.ended <- q.cmd.Wait(); close(q.gone) }()
	return nil
}

// wait waits until the process has ended by itself.
func (q *process) wait(ctx context.Context) (usage, error) {
	select {
	case err := <-q.ended:
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w\n%s", q.name, err, q.stderr.String())
		}
	case <-ctx.Done():
		q.kill()
		return usage{}, context.Cause(ctx)
	}
	return q.used(), nil
}

// stop asks the process to end, and waits for it.
func (q *process) stop() (usage, error) {
	_ = q.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return q.wait(ctx)
}

func (q *process) kill() {
	_ = q.cmd.Process.Kill()
	<-q.ended
}

func (q *process) used() usage {
	state := q.cmd.ProcessState
	u := usage{CPU: (state.UserTime() + state.SystemTime()).Seconds()}
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.Peak = r.Maxrss * rssUnit
	}
	return u
}

// stubProcess is the stub in a process of its own.
type stubProcess struct {
	*process
	addr string
	rest *bufio.Reader
}

func startStub(cfg stub.Config) (*stubProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	q := &process{name: "stub", cmd: exec.Command(self, "stub", string(arg)), ended: make(chan error, 1), gone: make(chan struct{})}
	if err := q.start(w, nil); err != nil {
		return nil, err
	}
	_ = w.Close() // the stub's end stays open
	s := &stubProcess{process: q, rest: bufio.NewReader(r)}
	line, err := s.rest.ReadString('\n')
	s.addr = strings.TrimSpace(line)
	return s, err
}

// finish stops the stub and gives what it was asked for.
func (s *stubProcess) finish() (usage, stub.Counted, error) {
	var counted stub.Counted
	u, err := s.stop()
	return u, counted, errors.Join(err, json.NewDecoder(s.rest).Decode(&counted))
}

// freePort gives a port of the loopback interface that nobody has now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
