package fff

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/shared/control"
)

// pace says how often things are looked at, and how long they may take.
type pace struct {
	poll    time.Duration // between two looks at a run
	cancel  time.Duration // for a run to be torn down after an interrupt
	stop    time.Duration // for the system of this process to stop
	silence time.Duration // of the orchestrator, before a run is given up
}

var followEvery = pace{poll: 500 * time.Millisecond, cancel: 2 * time.Minute, stop: 30 * time.Second, silence: 5 * time.Minute}

// warmCancel takes the place of pace.cancel for a run that was warmed up: a database takes
// long to come down, and sometimes to come up before that.
const warmCancel = 2 * time.Hour

// follower watches a run until it has ended and is torn down.
type follower struct {
	s     *session
	run   string
	pace  pace
	view  progress.View
	meter *progress.Meter
	last  *progress.Frame

	warned int // warnings of the run that were shown
}

// view makes the view of a command and lets logs appear above it. The returned func
// ends the view and is to be called once.
func (a *app) view(flags progressFlags) (progress.View, func()) {
	mode := progress.Mode(flags.Progress)
	if flags.Quiet {
		mode = progress.None
	}
	v := progress.NewView(mode, a.screen, a.stderr, a.stdout)
	above, ok := v.(io.Writer)
	if !ok {
		return v, v.Close
	}
	before := a.stderr.swap(above)
	return v, func() {
		v.Close()
		a.stderr.swap(before)
	}
}

// until follows the run until it is torn down or ctx ends. It gives the last frame.
func (f *follower) until(ctx context.Context) (*progress.Frame, error) {
	var silent time.Time // since when nobody has answered
	for {
		status, err := f.s.ctl.Status(ctx, f.run)
		switch {
		case err == nil:
			silent = time.Time{}
			f.last = f.meter.Observe(status, time.Now())
			f.view.Show(f.last)
			f.warned = min(f.warned, len(status.Warnings)) // another leader begins anew
			for ; f.warned < len(status.Warnings); f.warned++ {
				f.view.Note("warning: " + status.Warnings[f.warned])
			}
			if status.TornDown() {
				return f.last, nil
			}
		case ctx.Err() != nil:
			return f.last, context.Cause(ctx)
		case !unanswered(err):
			return f.last, err
		case silent.IsZero():
			silent = time.Now()
			f.view.Note(err.Error())
		case time.Since(silent) > f.pace.silence:
			return f.last, err
		}
		select {
		case <-ctx.Done():
			return f.last, context.Cause(ctx)
		case <-time.After(f.pace.poll):
		}
	}
}

// ended tells whether the run is known to have ended.
func (f *follower) ended(ctx context.Context) bool {
	status, err := f.s.ctl.Status(ctx, f.run)
	return err == nil && status.Ended()
}

// unanswered tells whether an error may pass when the orchestrator is back.
func unanswered(err error) bool {
	e, ok := errors.AsType[*control.Error](err)
	return ok && (e.Code == control.CodeNoLeader || e.Code == control.CodeInternal)
}

// codeOf gives the exit code of an ended run.
func codeOf(s *control.Status) int {
	switch s.State {
	case control.Completed:
		return exitOK
	case control.CompletedWithFailures:
		return exitPartial
	}
	return exitFailed
}
