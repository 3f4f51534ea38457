// Package tuner finds how many requests a service should have in flight when nobody knows
// its capacity.
//
// It compares. A trial sets the limit a step higher or lower, waits until that has taken
// effect, and measures what one answer costs there: the time of slots that were wanted,
// divided by the answers that came. While a service has room, more slots give as many more
// answers at the same cost. When it has none they only wait: in its queue, or for a
// Retry-After, which counts as well. A higher limit is better if it turns at least
// [worth] of the added slots into answers; otherwise the lower one is. So it needs to know
// neither what latency is usual nor which kind of overload the service has.
//
// Trials as experiments whose result says where to go next are the idea of PCC Vivace
// (Dong et al., NSDI 2018), there for the rate of a network connection.
package tuner

import (
	"math"
	"time"
)

// Sample is what happened since the sample before: the sums over all instances are what
// counts. Offered is the time of the slots that there were, Wanted of those that were in
// use or would have been but for a pause.
type Sample struct {
	OK      int64         // answers
	Refused int64         // answers 429 and 503
	Wanted  time.Duration // slots × time
	Offered time.Duration
	Paused  bool // the service asked to wait, and the time is not over
}

const (
	// worth is the part of added slots that must become answers. A service whose latency
	// rises smoothly, as 1 + (n/K)², is held at 0.77 K by it, where it gives 97 % of what it
	// gives at its best, with 80 % of the latency.
	worth = 0.25

	firstStep = 2.0
	alarmStep = 1.41  // when the cost has changed
	upStep    = 1.1   // in quiet times, at least
	downStep  = 1.025 // costs little, so it may take long; it is what takes a limit down that is a little too high
	quietStep = 1.4   // in quiet times, at most
	leastStep = upStep

	batch       = 500 * time.Millisecond // least time of one; and half of an answer's
	fewBatches  = 3                      // before anything is said
	mostBatches = 40                     // or fewer, when they take long
	longBatches = 8
	longTime    = 30 * time.Second
	fewAnswers  = 30
	sure        = 2.5 // standard errors
	scatter     = 0.3 // least standard deviation of the cost of one answer, relative

	settleTime  = time.Second
	settleMost  = 5 * time.Minute
	settleCosts = 1.5 // times of an answer, at least

	quietFirst = 5 * time.Second
	quietMost  = 60 * time.Second
	quietCost  = 10 // a quiet time is so many times as long as the trials before it

	changed       = 0.1 // of the cost that wakes the tuner
	recentBatches = 4
	refusedRatio  = 0.01 // of the answers, that wakes it too
	backOffRatio  = 0.2  // of the answers, at which the level falls before anything is compared
	used          = 0.8  // of the slots, without which more of them tell nothing
)

// phase is what the tuner does.
type phase int

const (
	settling  phase = iota // the limit has changed; what is measured would be of both
	measuring              // of the first level, or of a trial
	quiet                  // the level stays for a while
)

// Tuner finds a limit. Its methods bring the time with them, which must not run backwards;
// it is not safe for use at the same time.
type Tuner struct {
	most  int
	level int         // the best known
	base  measurement // at level; empty until it is measured

	phase phase
	then  phase       // after settling
	since time.Time   // of the phase
	trial int         // level on trial; 0 = none
	now   measurement // in this phase

	// The search, a row of trials.
	began     time.Time
	up        bool // direction
	step      float64
	moved     bool // a trial was better
	turned    bool // the other direction was tried too
	narrowing bool // steps only become smaller
	checking  bool // the level is measured again, after a trial that was worse
	gentle    bool // it began in a quiet time

	calm int           // searches in a row that ended where they began
	wait time.Duration // of this quiet time
}

// New gives a tuner that begins at a limit and never passes most.
func New(now time.Time, start, most int) *Tuner {
	return &Tuner{most: max(1, most), level: max(1, min(start, most)), then: measuring, since: now, began: now, up: true, step: firstStep}
}

// Resume gives a tuner for a limit that another has found.
func Resume(now time.Time, level, most int) *Tuner {
	t := New(now, level, most)
	t.step = upStep
	return t
}

// Limit gives the requests that may be in flight now.
func (t *Tuner) Limit() int {
	if t.trial != 0 {
		return t.trial
	}
	return t.level
}

// Level gives the best limit known, without the trial that may be going on.
func (t *Tuner) Level() int { return t.level }

// Observe takes what happened up to now.
func (t *Tuner) Observe(now time.Time, s Sample) {
	switch t.phase {
	case settling:
		t.settle(now, s)
	case measuring:
		t.now.add(now, s, t.base.cost())
		if t.trial == 0 {
			t.measureLevel(now)
		} else {
			t.judge(now)
		}
	case quiet:
		t.now.add(now, s, t.base.cost())
		t.listen(now)
	}
}

// settle waits for the new limit to have taken effect, and for a pause to be over that the
// limit before has caused.
func (t *Tuner) settle(now time.Time, s Sample) {
	since := now.Sub(t.since)
	switch {
	case since < max(settleTime, min(time.Duration(settleCosts*float64(t.base.cost())), settleMost)):
	case s.Refused > 0 && t.rises():
		t.endRefused(now)
	case s.Paused && s.Refused == 0 && since < settleMost:
	default:
		t.enter(now, t.then)
	}
}

// rises tells whether a higher level is on trial.
func (t *Tuner) rises() bool { return t.trial > t.level }

func (t *Tuner) enter(now time.Time, p phase) {
	t.phase, t.since = p, now
	t.now = measurement{began: now}
}

// enterSettled enters a phase once the limit has taken effect.
func (t *Tuner) enterSettled(now time.Time, p phase) {
	t.enter(now, settling)
	t.then = p
}

// measureLevel ends the first measurement of a level.
func (t *Tuner) measureLevel(now time.Time) {
	switch {
	case t.now.refuses(backOffRatio):
		t.backOff(now)
	case t.now.enough():
		same := t.checking && !t.dearer()
		t.base, t.checking = t.now, false
		if same {
			t.conclude(now, false)
		} else {
			t.try(now)
		}
	}
}

// dearer tells whether the level has become so since the trial.
func (t *Tuner) dearer() bool {
	moved := math.Log(t.now.perAnswer() / t.base.perAnswer())
	return moved > max(changed, sure*math.Hypot(t.now.doubt(), t.base.doubt()))
}

// search begins a row of trials from now on.
func (t *Tuner) search(now time.Time, up bool, step float64) {
	t.began, t.up, t.step, t.trial = now, up, step, 0
	t.moved, t.turned, t.narrowing, t.gentle, t.checking = false, false, false, false, false
}

// try begins a trial one step up or down, if there is room for one.
func (t *Tuner) try(now time.Time) {
	if t.up {
		t.trial = min(t.most, max(t.level+1, int(math.Round(float64(t.level)*t.step))))
	} else {
		t.trial = max(1, min(t.level-1, int(math.Round(float64(t.level)/t.step))))
	}
	if t.trial == t.level || t.up && t.base.use() < used {
		t.conclude(now, false)
		return
	}
	t.enterSettled(now, measuring)
}

// judge ends a trial when its result is clear.
func (t *Tuner) judge(now time.Time) {
	low, high := &t.base, &t.now
	if !t.rises() {
		low, high = high, low
	}
	if t.rises() && t.now.refuses(refusedRatio) {
		t.endRefused(now)
		return
	}
	if t.outdated(now) || !t.now.enough() {
		return
	}
	if t.now.total.OK == 0 {
		t.end(now, !t.up) // nothing comes: be gentle
		return
	}
	// More than worth of the slots became answers if the cost has risen by less than this.
	bearable := (1 - worth) * math.Log(float64(max(t.trial, t.level))/float64(min(t.trial, t.level)))
	excess := math.Log(high.perAnswer()/low.perAnswer()) - bearable
	doubt := math.Hypot(high.doubt(), low.doubt())
	switch {
	case math.Abs(excess) > sure*doubt:
		t.end(now, excess < 0 == t.rises())
	case t.now.complete(now):
		t.end(now, excess < -doubt && t.rises() || excess > doubt && !t.rises())
	}
}

// outdated tells whether a lower level is refused what the higher one was not: then the
// service has changed since that was measured, and the search goes on from the lower one.
func (t *Tuner) outdated(now time.Time) bool {
	switch {
	case t.rises() || t.base.refuses(refusedRatio):
		return false
	case t.now.refuses(backOffRatio):
		t.level = t.trial
		t.backOff(now)
	case t.now.refuses(refusedRatio) && t.now.enough():
		t.level = t.trial
		t.wake(now, false)
	default:
		return false
	}
	return true
}

// endRefused ends a trial that the service refused. The edge is a sharp one, so that just
// below it there may be room.
func (t *Tuner) endRefused(now time.Time) {
	if t.step == upStep && t.calm == 0 {
		t.step = math.Sqrt(upStep)
		t.try(now)
		return
	}
	t.conclude(now, false)
}

// end ends a trial. In the first, large steps upwards one that was worse says little where
// what is asked for changes, as when families find their lanes: then all levels become
// dearer. So the level is measured again before the conclusion is drawn.
func (t *Tuner) end(now time.Time, better bool) {
	if !better && t.rises() && !t.narrowing && !t.gentle {
		t.checking, t.trial = true, 0
		t.enterSettled(now, measuring)
		return
	}
	t.conclude(now, better)
}

// conclude draws the conclusion of a trial.
func (t *Tuner) conclude(now time.Time, better bool) {
	switch {
	case better:
		t.level, t.base, t.moved = t.trial, t.now, true
		if t.narrowing {
			t.step = math.Sqrt(t.step)
		} else {
			t.step = min(firstStep, t.step*t.step)
		}
	case !t.moved && !t.turned:
		t.turned, t.up = true, !t.up
		if t.gentle && !t.narrowing {
			t.step = t.clear(downStep)
		}
	default:
		t.turned = false
		t.narrowing, t.step = true, math.Sqrt(t.step)
	}
	t.trial = 0
	if t.narrowing && t.step < leastStep {
		t.rest(now)
		return
	}
	t.try(now)
}

// rest keeps the level for a while: longer when nothing has changed for long.
func (t *Tuner) rest(now time.Time) {
	t.calm++
	if t.moved {
		t.calm = 0
	}
	t.wait = quietFirst
	if t.calm > 0 {
		t.wait = min(quietMost, max(quietFirst<<min(t.calm, 8), quietCost*now.Sub(t.began)))
	}
	t.enterSettled(now, quiet) // the trial before may have caused a pause that is not over
}

// listen waits in a quiet time for its end, or for a change.
func (t *Tuner) listen(now time.Time) {
	m := &t.now
	recent := m.last(recentBatches)
	if recent.refuses(backOffRatio) {
		t.backOff(now)
		return
	}
	if len(recent.batches) == recentBatches && recent.total.OK+recent.total.Refused >= fewAnswers {
		moved := math.Log(recent.perAnswer() / t.base.perAnswer())
		switch {
		case recent.refuses(refusedRatio) || recent.total.OK == 0:
			t.wake(now, false)
			return
		case math.Abs(moved) > max(changed, 2*sure*math.Hypot(recent.doubt(), t.base.doubt())):
			t.wake(now, moved < 0)
			return
		}
	}
	if now.Sub(t.since) >= t.wait && m.enough() {
		t.base = m.last(mostBatches)
		t.search(now, true, t.clear(upStep))
		t.gentle = true
		t.try(now)
	}
}

// clear gives a step that is large enough for its effect to be told from the noise: where
// the answers of a step are worth nothing, they cost its logarithm times worth too much.
func (t *Tuner) clear(least float64) float64 {
	return min(quietStep, max(least, math.Exp(sure*math.Sqrt2*t.base.doubt()/worth)))
}

// wake begins a new search, as the service has changed. The level is measured anew: what has
// woken it is partly of the time before.
func (t *Tuner) wake(now time.Time, up bool) {
	t.search(now, up, alarmStep)
	t.turned, t.calm = true, 0
	t.enter(now, measuring)
}

// backOff lowers the level of a service that refuses much, and looks on from there.
func (t *Tuner) backOff(now time.Time) {
	t.level, t.base = max(1, int(float64(t.level)/alarmStep)), measurement{}
	t.wake(now, false)
	t.enterSettled(now, measuring)
}
