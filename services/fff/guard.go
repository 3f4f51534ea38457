package fff

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/warmup/bringdown"
)

// A process that is killed, or that ends with a panic, brings nothing down. So `fff run` has
// a child as soon as its run is to be warmed up, which does nothing until that process is
// gone.

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
	for deadline := time.Now().Add(lockPatience); broker.Locked(c.Store); time.Sleep(bringdown.Poll / 10) {
		if time.Now().After(deadline) {
			return nil // another process has the store, and looks after what is up
		}
	}
	go c.giveWay(ctx, cancel)
	return bringdown.Do(ctx, c.Place, func(text string) { a.note("%s %s", time.Now().UTC().Format(time.DateTime), text) })
}

const lockPatience = 10 * time.Second

var errSucceeded = errors.New("the run was started again, which looks after it from here on")

// giveWay ends the work when another process has taken the run up.
func (c *guardCmd) giveWay(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(bringdown.Poll / 10):
		}
		if broker.Locked(c.Store) {
			cancel(errSucceeded)
			return
		}
	}
}
