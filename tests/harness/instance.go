package harness

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Instance is one process of a fleet. A test ends it, pauses it and starts it again.
type Instance struct {
	Name   string // such as writer-2
	Number int    // of the service's instances, from 1 on; 0 for what is no service
	Link   *Link  // between it and the broker; nil where there is none
	HTTP   string // address of its probes; "" where it has none

	program string
	args    []string
	env     Env
	log     string // path of its output, which every start appends to

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is gone
	told   bool          // to end
	paused bool
	failed []string // how it ended without being told to
}

// Start starts the instance. One that runs is left as it is.
func (i *Instance) Start(t testing.TB) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running() {
		return
	}
	out, err := os.OpenFile(i.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() // the process has a descriptor of its own
	cmd := exec.Command(i.program, i.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(i.env), out, out
	endWithTests(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	i.cmd, i.ended, i.told, i.paused = cmd, ended, false, false
	go func() {
		_ = cmd.Wait() // the state tells what there is to know
		i.mu.Lock()
		defer i.mu.Unlock()
		if !i.told {
			i.failed = append(i.failed, fmt.Sprintf("%s has ended by itself: %s", i.Name, cmd.ProcessState))
		}
		close(ended)
	}()
}

// running is called with mu held.
func (i *Instance) running() bool {
	if i.cmd == nil {
		return false
	}
	select {
	case <-i.ended:
		return false
	default:
		return true
	}
}

// Running tells whether the process is there, paused or not.
func (i *Instance) Running() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.running()
}

// awake tells whether the process runs and is not paused.
func (i *Instance) awake() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.running() && !i.paused
}

// signal sends a signal to the process if it runs, and gives what is closed at its end.
func (i *Instance) signal(s syscall.Signal, note func()) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.running() {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	note()
	_ = i.cmd.Process.Signal(s) // it may have ended this moment
	return i.ended
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (i *Instance) Kill() { <-i.signal(syscall.SIGKILL, func() { i.told = true }) }

// Term asks the process to end, as whoever stops a service does, and gives what is closed
// when this process is gone. What is paused goes on, to hear it.
func (i *Instance) Term() (gone <-chan struct{}) {
	i.Resume()
	return i.signal(syscall.SIGTERM, func() { i.told = true })
}

// leaving tells whether the process runs still, but was told to end.
func (i *Instance) leaving() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.running() && i.told
}

// Pause stops the process with SIGSTOP: it stands still, and its connections stay.
func (i *Instance) Pause() { i.signal(syscall.SIGSTOP, func() { i.paused = true }) }

// Resume wakes the process.
func (i *Instance) Resume() { i.signal(syscall.SIGCONT, func() { i.paused = false }) }

// Wait waits until the process is gone and gives its exit code, -1 if a signal ended it.
func (i *Instance) Wait(t testing.TB) int {
	t.Helper()
	i.mu.Lock()
	cmd, ended := i.cmd, i.ended
	i.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(Patience):
		i.Stuck()
		t.Fatalf("%s has not ended within %s; what it waited for is in %s", i.Name, Patience, i.log)
	}
	return cmd.ProcessState.ExitCode()
}

// Stuck has the process write down what all its goroutines wait for, and end.
func (i *Instance) Stuck() {
	i.Resume()
	gone := i.signal(syscall.SIGQUIT, func() { i.told = true })
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		i.Kill()
	}
}

// Crashes tells how the process has ended when nobody had told it to.
func (i *Instance) Crashes() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}

// probes bounds what a test waits for a probe, which a paused process never answers.
var probes = http.Client{Timeout: 10 * time.Second}

// Probe gives what a probe of the instance answers, and its status; 0 when nobody answers.
func (i *Instance) Probe(path string) (status int, body string) {
	r, err := probes.Get("http://" + i.HTTP + path)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what is cut short is not what is waited for
	return r.StatusCode, strings.TrimSpace(string(data))
}

// Listens tells whether somebody takes connections at an address.
func Listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Log gives all that the instance has written since its first start.
func (i *Instance) Log() string {
	data, _ := os.ReadFile(i.log) // not there before the first start
	return string(data)
}

var started = regexp.MustCompile(`"instance":"([0-9a-f]+)".*"message":"started"`)

// id gives the id that the process has among all instances, "" before it is connected.
func (i *Instance) id() string {
	all := started.FindAllStringSubmatch(i.Log(), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// tail gives the end of the log.
func (i *Instance) tail(bytes int) string {
	text := i.Log()
	return text[max(0, len(text)-bytes):]
}
