package fetch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// guardLog is the guard's output, in the store of the process that it guards.
const guardLog = "guard.log"

// guarded starts a child that brings down what the run scales up when this process cannot.
// The child lives in a session of its own: what is sent to this process's group, such as
// Ctrl-C, does not reach it.
func guarded(command []string, place, store string) (release func(), err error) {
	if store, err = filepath.Abs(store); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(store, guardLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the guard of what is scaled up: %w", err)
	}
	defer log.Close()                                                                     // the child has a descriptor of its own
	child := exec.Command(command[0], append(slices.Clone(command[1:]), place, store)...) //nolint:gosec // the program's own choice
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
