package fff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/destination"
)

// A process that is killed, or that ends with a panic, brings nothing down. So `fff run` has
// a child as soon as its run is to be warmed up, which does nothing until that process is
// gone.

// guardLog is the child's output, in the store of the process that it guards.
const guardLog = "guard.log"

// guardCmd is the child.
type guardCmd struct {
	Place string `arg:"" help:"Dataset of the run."`
	Store string `arg:"" help:"Store of the process that is guarded."`
}

// Run is called by kong.
func (c *guardCmd) Run(a *app) error {
	// The other end of the pipe closes with the process, however that ends.
	if _, err := io.Copy(io.Discard, a.stdin); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(a.soft)
	defer cancel(nil)
	// Of what a process had open, the lock of its store may be let go of last.
	for deadline := time.Now().Add(lockPatience); broker.Locked(c.Store); time.Sleep(journalPoll / 10) {
		if time.Now().After(deadline) {
			return nil // another process has the store, and looks after what is up
		}
	}
	go c.giveWay(ctx, cancel)
	return bringDown(ctx, c.Place, func(text string) { a.note("%s %s", time.Now().UTC().Format(time.DateTime), text) })
}

const lockPatience = 10 * time.Second

var errSucceeded = errors.New("the run was started again, which looks after it from here on")

// giveWay ends the work when another process has taken the run up.
func (c *guardCmd) giveWay(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(journalPoll / 10):
		}
		if broker.Locked(c.Store) {
			cancel(errSucceeded)
			return
		}
	}
}

// guarded starts a child that brings down what the job scales up when this process cannot.
// The child lives in a session of its own: what is sent to this process's group, such as
// Ctrl-C, does not reach it.
func guarded(j *job, store string) (release func(), err error) {
	place, err := destination.Where(&j.expanded.Output, j.file.Run)
	if err != nil {
		return nil, err
	}
	if store, err = filepath.Abs(store); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the guard of what is scaled up: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(store, guardLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the guard of what is scaled up: %w", err)
	}
	defer log.Close()                                  // the child has a descriptor of its own
	child := exec.Command(self, "guard", place, store) //nolint:gosec // ourselves
	child.Stdout, child.Stderr, child.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	pipe, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard of what is scaled up: %w", err)
	}
	return func() {
		_ = pipe.Close()
		_ = child.Wait() // it finds nothing to do, or does what it is there for
	}, nil
}
