package orchestrator

import (
	"context"
	"errors"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
)

// errMoved says that somebody else has gone on with the run, or that the broker's store was
// put back: what this job knows is old, and the run is to be taken up anew.
var errMoved = errors.New("the run was changed by somebody else; it is taken up anew")

// note makes the log as last read the ground of what is decided from now on.
func (j *job) note() {
	j.commits.View(func(s *commitlog.State) { j.last = s.Last })
}

// append appends an entry that was decided on the ground that note has set; nothing that
// anybody else has appended may come between.
func (j *job) append(ctx context.Context, e *commitlog.Entry) error {
	e.Prev = j.last
	if err := j.commits.Append(ctx, e); err != nil {
		return err
	}
	j.last = e.ID
	return nil
}

// preempt says in the log that this job works on the sealed epoch's files: from here on
// nobody who began before can change them, nor can this job once somebody has begun after.
func (j *job) preempt(ctx context.Context) error {
	e := &commitlog.Entry{Type: commitlog.Claim}
	j.commits.View(func(s *commitlog.State) { e.Epoch = s.Epoch })
	if e.Epoch == 0 {
		return nil // the log is empty
	}
	return j.append(ctx, e)
}

// current reads the log and makes sure that it stands on the ground that note has set. What
// cannot be taken back, such as the removal of a file, comes right after it: a leader that
// was stopped, and woken when another had taken over, gets no further.
func (j *job) current(ctx context.Context) error {
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	return j.stands()
}

// stands is current for who has just read the log.
func (j *job) stands() error {
	last := ""
	j.commits.View(func(s *commitlog.State) { last = s.Last })
	if last != j.last {
		j.restored = false
		return errMoved
	}
	return nil
}

// refresh reads the run's record and tells whether somebody else has written it meanwhile.
func (j *job) refresh(ctx context.Context) (changed bool, err error) {
	now, err := j.s.bucket.Get(ctx, j.rec.Run)
	if errors.Is(err, runs.ErrNotFound) {
		if j.rec.Revision != 0 { // the broker's store was put back to before the run: write it again
			j.rec.Revision, j.restored = 0, false
		}
		return false, nil
	}
	if err != nil || now.Revision == j.rec.Revision {
		return false, err
	}
	j.rec, j.restored = now, false
	return true, nil
}

// leading makes sure that nobody has gone on with the run or its dataset: neither another
// leader nor another system. The log is read first: whoever purges it has written the
// record before. Between this and the step that follows a leader may still be stopped; no
// file system can refuse that step then, so it must be one that the run recovers from.
func (j *job) leading(ctx context.Context) error {
	if err := j.current(ctx); err != nil {
		return err
	}
	if err := j.mine(ctx); err != nil {
		return err
	}
	_, err := j.owned(ctx)
	return err
}

// mine makes sure that the run's record is as this job has left it.
func (j *job) mine(ctx context.Context) error {
	changed, err := j.refresh(ctx)
	if err == nil && changed {
		return errMoved
	}
	return err
}
