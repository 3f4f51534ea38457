package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// engine is a Docker engine and a compose command that talks to it.
type engine struct {
	compose []string // the command, with its project and files
	env     []string
	root    string // directory of the repository
}

// remedy says what a machine lacks.
const remedy = "so the COMPOSE FILE IS NOT TRIED OUT; `apt-get install docker.io docker-compose` is enough, as root"

// newEngine finds an engine, or starts one where it may; else the test is skipped.
func newEngine(t *testing.T) *engine {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{root: root, env: os.Environ()}
	if _, err := exec.LookPath("docker"); err != nil {
		harness.Skip(t, "there is no docker command, %s", remedy)
	}
	if !e.answers() && !e.start(t) {
		harness.Skip(t, "no Docker engine answers and none can be started, %s", remedy)
	}
	for _, command := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if e.command(append(command, "version")...).Run() == nil {
			e.compose = command
			return e
		}
	}
	harness.Skip(t, "there is no compose command, %s", remedy)
	return nil
}

func (e *engine) answers() bool { return e.command("docker", "version").Run() == nil }

// start starts an engine with a directory and a socket of its own, which ends with the
// test. vfs copies whole images, but works on every file system.
func (e *engine) start(t *testing.T) bool {
	path, err := exec.LookPath("dockerd")
	if err != nil || os.Getuid() != 0 {
		return false
	}
	for _, driver := range []string{"overlay2", "vfs"} {
		if e.daemon(t, path, driver) {
			return true
		}
	}
	return false
}

func (e *engine) daemon(t *testing.T, path, driver string) bool {
	t.Helper()
	dir, err := os.MkdirTemp("", "fff-docker-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	daemon := exec.Command(path, "--host", socket, "--storage-driver", driver, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "run"), "--pidfile", filepath.Join(dir, "pid"))
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = daemon.Wait(); close(ended) }()
	stop := func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	e.env = append(os.Environ(), "DOCKER_HOST="+socket)
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		select {
		case <-ended:
			t.Logf("dockerd with %s: %s", driver, log.String())
			stop()
			return false
		default:
		}
		if e.answers() {
			t.Cleanup(stop)
			return true
		}
	}
	t.Logf("dockerd with %s has not answered: %s", driver, log.String())
	stop()
	return false
}

func (e *engine) command(args ...string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = e.root, e.env
	return c
}

// do runs a command to its end and gives its stdout.
func (e *engine) do(args ...string) (string, error) {
	var out, errs bytes.Buffer
	c := e.command(args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", c, err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// must is do for what has to succeed.
func (e *engine) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.do(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// with gives the arguments of a compose command.
func (e *engine) with(args ...string) []string {
	return append(e.compose[:len(e.compose):len(e.compose)], args...)
}

// containers gives the ids of a service's containers.
func (e *engine) containers(t *testing.T, service string) []string {
	t.Helper()
	return strings.Fields(e.must(t, e.with("ps", "-q", service)...))
}

// crash ends the program of a container as the kernel does when memory is short, and waits
// until the restart policy has started it again. Where the program is out of reach the
// container is killed and started by hand: engines take that for a wish to have it stopped.
func (e *engine) crash(t *testing.T, id string) {
	t.Helper()
	before := e.must(t, "docker", "inspect", "-f", "{{.State.StartedAt}}", id)
	if err := e.killProgram(t, id); err != nil {
		t.Logf("%.12s: %v; it is killed and started by hand", id, err)
		e.must(t, "docker", "kill", "-s", "KILL", id)
		e.must(t, "docker", "start", id)
	}
	await(t, "the container "+id+" runs again", func() bool {
		now, err := e.do("docker", "inspect", "-f", "{{.State.StartedAt}} {{.State.Running}}", id)
		started, running, _ := strings.Cut(now, " ")
		return err == nil && started != before && running == "true"
	})
}

// await is harness.Await for what costs a process or a request to look at.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	harness.Await(t, what, func() bool { <-tick.C; return holds() })
}

var errOutOfReach = errors.New("its program runs on another machine")

func (e *engine) killProgram(t *testing.T, id string) error {
	t.Helper()
	pid, err := strconv.Atoi(e.must(t, "docker", "inspect", "-f", "{{.State.Pid}}", id))
	if err != nil {
		return err
	}
	// The engine may be elsewhere, and the process of that number here somebody else's.
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !bytes.Contains(groups, []byte(id)) {
		return errOutOfReach
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// job is a command of the compose file's command line that goes on while the test does.
type job struct {
	out   bytes.Buffer // read after its end
	ended chan struct{}
	err   error
}

// begin begins a command; it is broken off at the end of the test.
func (e *engine) begin(t *testing.T, args ...string) *job {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	j := &job{ended: make(chan struct{})}
	c.Dir, c.Env, c.Stdout, c.Stderr = e.root, e.env, &j.out, &j.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { j.err = c.Wait(); close(j.ended) }()
	t.Cleanup(func() { cancel(); <-j.ended })
	return j
}
