package orchestrator

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/budget"
)

// fetcher is an instance that says to have used read units of a table for the run.
func (w *world) fetcher(l *leader, units float64) (gone func()) {
	w.t.Helper()
	if l.s.beats == nil {
		listener, err := fleet.Listen(w.b.Connect())
		w.must(err)
		w.t.Cleanup(listener.Stop)
		l.s.beats = listener
	}
	epoch := l.rec.Epoch
	ctx, stop := context.WithCancel(w.ctx())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = fleet.Announce(ctx, w.b.Connect(), "fff-dynamo-fetcher", func() fleet.Beat {
			return fleet.Beat{Service: "dynamo-fetcher", Instance: "f1", State: "ready",
				Runs: map[string]fleet.RunStats{w.run: {Epoch: epoch, Units: map[string]float64{"features": units}}}}
		})
	}()
	brokertest.Await(w.t, "the fetcher is heard", func() bool { return len(l.s.beats.Beats()) > 0 })
	return func() { stop(); <-ended }
}

// What was used outlives the instance that used it, the leader that heard of it, and the
// broker; a budget begins anew when the run is complete.
func TestWhatWasUsedIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	l := w.open()
	gone := w.fetcher(l, 7.5)
	l.spending.worked = time.Hour
	w.must(l.put(w.ctx(), func(*runs.Record) {}))
	gone()

	next := w.takeOver()
	w.must(next.once())
	if got := next.readUnits()["features"]; got != 7.5 {
		t.Errorf("the next leader knows of %v read units, want 7.5", got)
	}
	next.fetch()
	next.finish()
	if m := w.isExact(); m.ReadUnits["features"] != 8 {
		t.Errorf("the manifest says %v read units, want 7.5, rounded up", m.ReadUnits)
	}
	if worked := next.rec.Usage.Worked; worked < time.Hour {
		t.Errorf("the run worked for %v, want an hour at least", worked)
	}
	w.must(next.openAgain(false))
	if u := next.rec.Usage; u.FreeUnits != 7.5 || u.FreeWork < time.Hour {
		t.Errorf("opened again, the run was complete, and its budget goes on from %+v", u)
	}

	other := w.another().newcomer(nil)
	w.must(other.openAgain(true))
	if got := other.readUnits()["features"]; got != 8 || other.rec.Usage.FreeUnits != 8 {
		t.Errorf("another system knows of %v read units, %v of them before the run was complete; want 8 by the manifest", got, other.rec.Usage.FreeUnits)
	}
}

// A budget that was used up in part before a leader came is not begun anew.
func TestALeaderThatTakesOverGoesOnWithTheBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a")
	w.declared = "}\nbudget: {max_read_units: 10}\n#"
	l := w.open()
	gone := w.fetcher(l, 7.5)
	defer gone()
	w.must(l.put(w.ctx(), func(*runs.Record) {}))
	next := w.takeOver()
	w.must(next.once())
	ask := budget.Ask{Run: w.run, Instance: "f2", Needs: 2.6, Stuck: true}
	if got := next.spending.ledger.Grant(ask); got.Until != 0 {
		t.Errorf("2.6 units more are granted to %v, of 2.5 that are left", got.Until)
	}
	w.await(next, "the run is stopped", func() bool { return next.rec.Outcome == runs.Failed || next.rec.State == runs.Failed })
	if want := "stopped by budget.max_read_units: 8 of 10 read units are used"; !strings.HasPrefix(next.rec.Reason, want) {
		t.Errorf("the run was stopped because %q, want %q", next.rec.Reason, want)
	}
	w.await(next, "the run has ended", func() bool { return next.rec.State.Ended() })
	w.must(next.openAgain(false))
	if short := next.spending.ledger.Short(); short != 0 {
		t.Errorf("opened again, the run is short of %v units before anybody has asked", short)
	}
}

// That a run will take too long is told once, when a tenth of its time shows it.
func TestPace(t *testing.T) {
	for name, tt := range map[string]struct {
		settled   int64 // after a quarter of an hour
		requested int64
		want      time.Duration
	}{
		"just in time":     {1000, 4000, 0},
		"just too long":    {1000, 4004, 60*time.Minute + 3600*time.Millisecond},
		"nothing was done": {0, 4000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var p pace
			p.overrun(0, time.Hour, 0, tt.requested)
			if got := p.overrun(5*time.Minute, time.Hour, tt.settled/3, tt.requested); got != 0 {
				t.Errorf("after a twelfth of its time it is told that it takes %s", got)
			}
			if got := p.overrun(15*time.Minute, time.Hour, tt.settled, tt.requested); got != tt.want {
				t.Errorf("it is expected to take %s, want %s", got, tt.want)
			}
			if got := p.overrun(16*time.Minute, time.Hour, tt.settled+1, 10*tt.requested); tt.want != 0 && got != 0 {
				t.Error("it is told twice")
			}
		})
	}
	// What was done before this leader came says nothing of the pace.
	var p pace
	p.overrun(10*time.Minute, time.Hour, 3000, 4000)
	if got := p.overrun(20*time.Minute, time.Hour, 3100, 4000); got == 0 {
		t.Error("100 of 1,000 cells in ten minutes are taken for enough")
	}
}
