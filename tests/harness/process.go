package harness

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come. It is long, because the machine
// may be busy; nothing that goes well takes it.
const Patience = 2 * time.Minute

// Result is what a program did.
type Result struct {
	Code           int // -1 when a signal ended it
	Stdout, Stderr string
}

// Expect fails the test unless the program ended with the code.
func (r Result) Expect(t testing.TB, code int) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("exit code %d, want %d\n%s", r.Code, code, r)
	}
	return r
}

// String gives all that the program wrote.
func (r Result) String() string {
	return fmt.Sprintf("--- stdout\n%s\n--- stderr\n%s", r.Stdout, r.Stderr)
}

// Env are variables of a program's environment.
type Env map[string]string

// environment gives the variables of a program: those of the tests without the settings of
// the system, which must not depend on who runs the tests, and the given ones.
func environment(more ...Env) []string {
	all := Env{
		"FFF_HTTP_ADDR": "off",
		"GOTRACEBACK":   "all",
		"GORACE":        "atexit_sleep_ms=0", // a second at every end, unless told otherwise
		// The stand-ins take any credentials, but the SDK wants some.
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
	for _, e := range more {
		maps.Copy(all, e)
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "FFF_") || strings.HasPrefix(kv, "AWS_")
	})
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// Process is a program that runs. It is killed at the end of the test.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// Start starts fff.
func Start(t testing.TB, env Env, args ...string) *Process {
	t.Helper()
	return StartWith(t, "", env, args...)
}

// StartWith starts fff with a standard input.
func StartWith(t testing.TB, stdin string, env Env, args ...string) *Process {
	t.Helper()
	return start(t, filepath.Join(programs, "fff"), stdin, env, args...)
}

// StartProgram starts a program that is not ours.
func StartProgram(t testing.TB, env Env, program string, args ...string) *Process {
	t.Helper()
	return start(t, program, "", env, args...)
}

func start(t testing.TB, program, stdin string, env Env, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = environment(env), t.TempDir()
	endWithTests(p.cmd)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(stdin), &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the state tells what there is to know
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		expectNoRace(t, program, p.stderr.String())
		if t.Failed() {
			t.Logf("%s\n%s", p.cmd, p.result())
		}
	})
	return p
}

// Run runs fff to its end.
func Run(t testing.TB, env Env, args ...string) Result {
	t.Helper()
	return Start(t, env, args...).Wait(t)
}

// RunNATS runs the official command line of NATS against a server, to its end.
func RunNATS(t testing.TB, url, stdin string, args ...string) Result {
	t.Helper()
	// A home of its own: no context that somebody has selected may get in the way.
	env := Env{"HOME": t.TempDir(), "XDG_CONFIG_HOME": "", "NATS_CONTEXT": ""}
	return start(t, NATS(t), stdin, env, append([]string{"--server", url}, args...)...).Wait(t)
}

func (p *Process) result() Result {
	return Result{Code: p.cmd.ProcessState.ExitCode(), Stdout: p.stdout.String(), Stderr: p.stderr.String()}
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the program has ended.
func (p *Process) Wait(t testing.TB) Result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.stuck()
		t.Fatalf("%s has not ended within %s; what it waited for is in its stderr below", p.cmd, Patience)
	}
	return p.result()
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended this moment

// Interrupt sends what Ctrl-C sends.
func (p *Process) Interrupt() { _ = p.cmd.Process.Signal(os.Interrupt) }

// Kill ends the program with SIGKILL and waits until it is gone. One that has ended
// already is left as it is.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
}

// stuck has a program that does not go on tell what all its goroutines wait for, and end.
func (p *Process) stuck() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// Stdout awaits that the program has written something that ok takes, and gives all that it
// has written.
func (p *Process) Stdout(t testing.TB, what string, ok func(string) bool) string {
	t.Helper()
	return p.written(t, &p.stdout, what, ok)
}

// Says is a condition for Stdout and Stderr: that the text is in it.
func Says(text string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, text) }
}

// Stderr is Stdout for the standard error.
func (p *Process) Stderr(t testing.TB, what string, ok func(string) bool) string {
	t.Helper()
	return p.written(t, &p.stderr, what, ok)
}

func (p *Process) written(t testing.TB, o *output, what string, ok func(string) bool) (text string) {
	t.Helper()
	p.await(t, what, func() bool {
		ended := false
		select {
		case <-p.ended:
			ended = true
		default:
		}
		text = o.String() // read after the look at the end, so that it is all of it
		if ended && !ok(text) {
			t.Fatalf("%s has ended before %s\n%s", p.cmd, what, p.result())
		}
		return ok(text)
	})
	return text
}

// Await waits until a condition holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !comesTrue(holds) {
		t.Fatalf("it never came to pass that %s", what)
	}
}

// await is Await for what the program does.
func (p *Process) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !comesTrue(holds) {
		p.stuck()
		t.Fatalf("it never came to pass that %s; what the program waited for is in its stderr below", what)
	}
}

func comesTrue(holds func() bool) bool {
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// output is a buffer that is read while a program writes to it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
