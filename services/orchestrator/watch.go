package orchestrator

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/broker/input"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// watch is what the leader sees of a run while it goes on. It serves progress, the closing
// of the input and the decision to look for the end; the proof reads everything afresh.
type watch struct {
	ledger     *intake.Ledger
	lastRead   uint64 // sequence of the input read last
	lastInput  time.Time
	inputBytes int64 // of the input
	records    int64
	bad        int64
	samples    int
	requested  int64

	files     int
	bytes     int64
	committed int64
	fromCache int64

	lastLetter  uint64            // sequence of the dead letter read last
	failedCells *completion.Cells // cells in dead letters; some may be committed since
	failed      map[string]int64  // by code
	drift       string            // reason of the last cell that did not fit its declared types

	lags     map[stage.Name]int64
	upstream int64 // of them, what the writer has yet to see
	quiet    int   // looks in a row at which nothing was under way

	demand *demand // while the run is warmed up; nil until a record has come

	timed int // families of the lane auto whose answers were timed at the last decision

	owned   time.Time
	trouble string // why the last step failed

	heeded heeded
}

func (w *watch) reset(j *job) {
	owned, heeded := w.owned, w.heeded
	heeded.begin(j.file)
	*w = watch{heeded: heeded, ledger: intake.NewLedgerOver(j.file, &j.samples.Numbers), lastInput: time.Now(), failed: map[string]int64{}, failedCells: completion.NewCells(), lags: map[stage.Name]int64{}, owned: owned}
}

// settled counts the cells that are committed, or have failed for good.
func (w *watch) settled() int64 {
	n := w.committed
	for _, failed := range w.failed {
		n += failed
	}
	return n
}

// countLive counts what the log says is live.
func (w *watch) countLive(j *job) {
	w.files, w.bytes, w.committed, w.fromCache = 0, 0, 0, 0
	j.commits.View(func(s *commitlog.State) {
		for _, f := range s.Files() {
			w.files++
			w.bytes += f.Bytes
			w.committed += f.Rows
		}
	})
	for _, n := range j.fromCache {
		w.fromCache += n
	}
}

// look sees how the run goes and does what follows from it.
func (j *job) look(ctx context.Context) error {
	if why, err := j.beat(ctx); err != nil {
		return err
	} else if why != "" {
		return j.reopen(ctx, why)
	}
	if err := j.commits.CatchUp(ctx); err != nil {
		return err
	}
	if j.commits.Rollbacks() != j.rolls {
		return j.reopen(ctx, putBack)
	}
	if err := j.stands(); err != nil {
		return err
	}
	if err := j.readInput(ctx); err != nil {
		return err
	}
	if err := j.readLetters(ctx); err != nil {
		return err
	}
	if done, err := j.bounds(ctx); done || err != nil {
		return err
	}
	if err := j.readLags(ctx); err != nil {
		j.watch.quiet = 0
		return err
	}
	if stopped, err := j.account(ctx); stopped || err != nil {
		return err
	}
	if err := j.findLanes(ctx); err != nil {
		return err
	}
	last := j.watch.quiet >= 2 && j.rec.Input.Sealed
	if stopped, err := j.heed(ctx, last); stopped || err != nil {
		return err
	}
	if last {
		return j.put(ctx, func(r *runs.Record) { r.State = runs.Finalising })
	}
	return nil
}

// maxPace bounds pace, so that progress is seen and what has to end ends soon.
const maxPace = time.Second

// pace is how long the run may go without a look. A look costs the broker some twenty
// answers; while stages before the writer have work, none can find the end. The longer that
// has gone on, the less matters when it is found: one part in sixty-four of it.
func (j *job) pace() time.Duration {
	w := &j.watch
	switch {
	case j.rec.State.Ended() && j.rec.Teardown == runs.TeardownDone:
		return rest
	case j.rec.State == runs.Finalising, w.quiet > 0:
		return soon
	case !j.rec.State.Working(), w.upstream == 0:
		return tick
	}
	return min(max(tick, time.Since(w.heeded.began)/64), maxPace)
}

// readInput takes in the batches that have come.
func (j *job) readInput(ctx context.Context) error {
	last := uint64(math.MaxUint64)
	if j.rec.Input.Sealed {
		last = j.rec.Input.LastSeq
	}
	if j.watch.lastRead >= last {
		return nil
	}
	newest, err := streams.LastSequence(ctx, j.s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, j.rec.Run))
	if err != nil || newest <= j.watch.lastRead {
		return err
	}
	read, err := input.Read(ctx, j.s.d.Client, j.rec.Run, j.watch.lastRead+1, min(last, newest), j.takeInput)
	if read > 0 {
		j.watch.lastRead, j.watch.lastInput = read, time.Now()
	}
	return err
}

func (j *job) takeInput(m *stage.Message) {
	w := &j.watch
	b := w.ledger.Take(m)
	w.inputBytes += int64(len(m.Data))
	w.records += int64(b.Records)
	w.bad += int64(len(b.Bad))
	if b.Err != nil {
		w.bad += int64(b.Records)
	}
	for i := range b.Requests {
		w.requested += int64(b.Requests[i].Cells())
	}
	j.count(b.Requests)
	w.samples = w.ledger.Samples()
}

// bounds stops the run when the input or the dead letters pass what they may take.
func (j *job) bounds(ctx context.Context) (stopped bool, err error) {
	w := &j.watch
	if limit := j.file.Input.MaxBytes; w.inputBytes > limit {
		return true, j.stop(ctx, runs.Failed, fmt.Sprintf("the input is larger than input.max_bytes (%s); raise it in the run file or split the run", humanize.Bytes(uint64(limit))))
	}
	if idle := j.file.Input.Idle; !j.rec.Input.Sealed && idle > 0 && time.Since(w.lastInput) > idle {
		return true, j.stop(ctx, runs.Failed, fmt.Sprintf("no record came for %s and the input was not closed (input.idle); run again to go on, and close with fff.close.%s", idle, j.rec.Run))
	}
	full, err := streams.Full(ctx, j.s.d.Client.JS, streams.Failed)
	if err != nil {
		return false, err
	}
	if full && w.lastLetter > 0 {
		return true, j.stop(ctx, runs.Failed, "the dead letters fill FFF_FAILED; see `fff failed list` for what fails, drop what is not needed, and run again")
	}
	return false, nil
}

// readLags counts what is under way, upstream first, and hurries the writers on when
// nothing more is coming.
func (j *job) readLags(ctx context.Context) error {
	w := &j.watch
	js := j.s.d.Client.JS
	var upstream, total int64
	for _, s := range streams.Stages() {
		var n int64
		if s == stage.Ingest {
			pending, err := streams.Pending(ctx, js, s, j.rec.Run)
			if err != nil {
				return err
			}
			n = pending
		} else {
			count, err := streams.Count(ctx, js, streams.Of(s), streams.Subject(s, j.rec.Run))
			if err != nil {
				return err
			}
			n = int64(count)
		}
		w.lags[s] = n
		total += n
		if s != stage.Writer && s != stage.Parts {
			upstream += n
		}
	}
	w.upstream = upstream
	if total == 0 && j.rec.Input.Sealed && w.lastRead >= j.rec.Input.LastSeq {
		w.quiet++
	} else {
		w.quiet = 0
	}
	if upstream == 0 && w.lags[stage.Writer] > 0 {
		j.s.d.Client.AskFlush(j.rec.Run, uint64(w.lags[stage.Writer]))
	}
	return nil
}
