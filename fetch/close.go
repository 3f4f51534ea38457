package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/warmup/bringdown"
)

// Close brings everything down: a run that has not ended is cancelled, what it has scaled up
// comes down, and what Open started stops. What is committed stays, and the same run opened
// again goes on from there. Close is for defer, may be called at any time, also more than
// once, and by another goroutine than the one in Fetch, which then ends.
func (r *Run) Close() error {
	r.closing.Do(func() { r.closed = r.close() })
	return r.closed
}

func (r *Run) close() (err error) {
	var last *Status
	if !r.refused && !r.cfg.Detach {
		last, err = r.cancel()
	}
	r.died(errClosed)
	stopping, cancel := context.WithTimeout(r.cfg.Haste, r.cfg.Pace.Stop)
	err = also(err, r.system.Stop(stopping))
	cancel()
	if r.warms {
		err = also(err, r.lastly())
	}
	r.release()
	// A store that was named is removed too: a run that is complete needs none.
	if r.store != "" && err == nil && last != nil && last.State == control.Completed {
		err = os.RemoveAll(r.store)
		_ = os.Remove(filepath.Dir(r.store)) // the directory of all stores goes with the last of them
	}
	return err
}

// cancel cancels the run unless it has ended, and waits until it is torn down, for as long as
// patience lasts. It gives the last status.
func (r *Run) cancel() (*Status, error) {
	f := r.followed(func(string) {}) // warnings are told by another, which may be at work
	ctx, cancel := context.WithTimeoutCause(r.cfg.Haste, r.cfg.Pace.Cancel,
		fmt.Errorf("run %s was not torn down within %s; see `fff runs show %s`", f.Run, r.cfg.Pace.Cancel, f.Run))
	defer cancel()
	if status, err := r.system.Ctl.Status(ctx, f.Run); err == nil && status.TornDown() {
		return status, nil
	}
	err := r.system.Ctl.Cancel(ctx, f.Run)
	refused, _ := errors.AsType[*control.Error](err)
	switch {
	case err == nil:
	case refused != nil && refused.Code == control.CodeUnknownRun:
		return nil, nil
	case refused != nil && refused.Code == control.CodeWrongState: // it has ended by itself
	default:
		return nil, fmt.Errorf("cancel run %s: %w", f.Run, err)
	}
	return f.Until(ctx)
}

// lastly brings down what a run of this process has left up: its orchestrator could not, or
// was not given the time.
func (r *Run) lastly() error {
	place, err := destination.Where(&r.expanded.Output, r.file.Run)
	if err != nil {
		return err
	}
	_, found, err := bringdown.Open(r.cfg.Leave, place)
	if up := bringdown.StillUp(found); err == nil && len(up) > 0 {
		r.cfg.Note("still scaled up: " + strings.Join(up, ", ") + "; bringing it down")
	}
	if err == nil {
		err = bringdown.Do(r.cfg.Leave, place, r.cfg.Note)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("what run %s has scaled up may still be up: %w; `fff runs teardown --dir %s` brings it down", r.file.Run, err, place)
}
