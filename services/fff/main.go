// Package fff is the command line: it runs the whole system in one process, or steers
// the services of another one, and shows how runs are getting on.
//
// Results go to stdout, everything else to stderr.
package fff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // failed or stopped
	exitUsage       = 2   // bad usage, settings, run file or records
	exitPartial     = 3   // finished with failed cells or records
	exitInterrupted = 130 // interrupted, and torn down
)

// Main runs one command and gives its exit code. getenv expands ${ENV} of run files;
// process settings come from the environment of the process.
//
// The first SIGINT or SIGTERM ends the command in good order, the second hastens it, the third
// leaves even what is scaled up.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool)) int {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	a := &app{
		stdin: stdin, stdout: stdout, stderr: &switchWriter{w: stderr}, getenv: getenv,
		start: system.Start, self: os.Executable,
	}
	if isTerminal(stderr) {
		a.screen = stderr
	}
	return a.main(ctx, args, signals)
}

// app is one run of the command line with everything from outside that it touches.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr *switchWriter
	getenv func(string) (string, bool)
	screen io.Writer              // stderr if it is a terminal, else nil
	start  starter                // of the all-in-one system of fff up
	self   func() (string, error) // path of this program
	pace   fetch.Pace

	// soft ends with the first interrupt: take no more work. hard ends with the second:
	// give up on what remains, but bring down what is scaled up. drop ends with the third.
	soft, hard, drop context.Context
}

// errInterrupted is the cause of contexts that a signal ended.
var errInterrupted = errors.New("interrupted")

// exitError ends a command with a code; err, if any, is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit ends a command with a code and no further word.
func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

// usage is an error that the person at the keyboard can cure.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func (a *app) main(ctx context.Context, args []string, signals <-chan os.Signal) int {
	var cancelSoft, cancelHard, cancelDrop context.CancelCauseFunc
	a.drop, cancelDrop = context.WithCancelCause(ctx)
	a.hard, cancelHard = context.WithCancelCause(a.drop)
	a.soft, cancelSoft = context.WithCancelCause(a.hard)
	defer cancelDrop(nil)
	defer cancelHard(nil)
	defer cancelSoft(nil)
	go func() {
		for _, cancel := range []context.CancelCauseFunc{cancelSoft, cancelHard, cancelDrop} {
			select {
			case <-signals:
				cancel(errInterrupted)
			case <-a.drop.Done():
				return
			}
		}
	}()
	return a.code(a.dispatch(args))
}

func (a *app) dispatch(args []string) error {
	var c cli
	helped := false
	parser, err := kong.New(&c,
		kong.Name("fff"),
		kong.Description("Fast Feature Fetch: the features of many samples, each correct for its point in time."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		helpVars,
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return usage("%w\nSee `%s --help`.", err, commandOf(err, args))
	}
	return k.Run(a)
}

// commandOf names the command that a usage error is about.
func commandOf(err error, args []string) string {
	if p, ok := errors.AsType[*kong.ParseError](err); ok && p.Context != nil {
		if n := p.Context.Selected(); n != nil {
			return strings.TrimSpace("fff " + n.Path())
		}
	}
	return "fff"
}

// code prints an error and gives the exit code that it means.
func (a *app) code(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok && !errors.Is(err, errInterrupted) {
		if e.err != nil {
			a.complain(e.err)
		}
		return e.code
	}
	a.complain(err)
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	if _, ok := errors.AsType[*runfile.Error](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*settings.Error](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*control.Error](err); ok && usageCodes[e.Code] {
		return exitUsage
	}
	return exitFailed
}

// usageCodes are the refusals of the orchestrator that the person who asked can cure.
var usageCodes = map[string]bool{
	control.CodeBadRequest: true, control.CodeBadRunFile: true, control.CodeResumeRefused: true,
	control.CodeUnknownRun: true, control.CodeWrongState: true,
}

func (a *app) complain(err error) { fmt.Fprintln(a.stderr, "fff: "+err.Error()) }

// note tells the person something that is no result.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// switchWriter lets the bars of a terminal take over the writes of others, so that logs
// appear above them.
type switchWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *switchWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// swap replaces the writer and gives the one before.
func (s *switchWriter) swap(w io.Writer) io.Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.w
	s.w = w
	return before
}
