package control

import (
	"context"
	"errors"
	"time"
)

// Follower watches a run until it has ended and is torn down.
type Follower struct {
	Client   *Client
	Run      string
	Poll     time.Duration   // between two looks
	Changed  <-chan struct{} // gives a value when a look is worth while before that; may be nil
	Silence  time.Duration   // of the orchestrator, before the run is given up
	Progress func(*Status)   // told of every look
	Note     func(string)    // told of warnings of the run, and of silence

	last   *Status
	warned int // warnings of the run that were told
}

// Until follows the run until it is torn down or ctx ends. It gives the last status, nil if
// there was none.
func (f *Follower) Until(ctx context.Context) (*Status, error) {
	return f.UntilIt(ctx, (*Status).TornDown)
}

// soon is the wait after a change: the leader may not know of it before it has answered whoever
// told.
const soon = 10 * time.Millisecond

// UntilIt is Until for another condition.
func (f *Follower) UntilIt(ctx context.Context, enough func(*Status) bool) (*Status, error) {
	var silent time.Time // since when nobody has answered
	wait := f.Poll
	for {
		status, err := f.Client.Status(ctx, f.Run)
		switch {
		case err == nil:
			silent = time.Time{}
			f.last = status
			f.Progress(status)
			f.warned = min(f.warned, len(status.Warnings)) // another leader begins anew
			for ; f.warned < len(status.Warnings); f.warned++ {
				f.Note("warning: " + status.Warnings[f.warned])
			}
			if enough(status) {
				return status, nil
			}
		case ctx.Err() != nil:
			return f.last, context.Cause(ctx)
		case !unanswered(err):
			return f.last, err
		case silent.IsZero():
			silent = time.Now()
			f.Note(err.Error())
		case time.Since(silent) > f.Silence:
			return f.last, err
		}
		select {
		case <-ctx.Done():
			return f.last, context.Cause(ctx)
		case <-f.Changed:
			wait = soon
		case <-time.After(wait):
			wait = min(2*wait, f.Poll)
		}
	}
}

// Ended tells whether the run is known to have ended.
func (f *Follower) Ended(ctx context.Context) bool {
	status, err := f.Client.Status(ctx, f.Run)
	return err == nil && status.Ended()
}

// unanswered tells whether an error may pass when the orchestrator is back.
func unanswered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == CodeNoLeader || e.Code == CodeInternal)
}
