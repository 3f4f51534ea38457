package orchestrator

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

func TestHowManyStraysStay(t *testing.T) {
	now := time.Now()
	var all []stray
	for i := range maxStrayRuns + 2 {
		all = append(all, stray{fmt.Sprint("young-", i), 3, now.Add(-time.Duration(i) * time.Second)})
	}
	old := stray{"old", 3, now.Add(-maxStrayAge - time.Second)}
	keep := keepOf(append([]stray{old}, all...), now)
	for i, one := range all {
		want := uint64(maxStrayBatches)
		if i >= maxStrayRuns {
			want = 0
		}
		if keep[one] != want {
			t.Errorf("%d batches of the run with number %d stay, want %d", keep[one], i, want)
		}
	}
	if n := keepOf([]stray{old}, now)[old]; n != 0 {
		t.Errorf("%d batches stay that are too old", n)
	}
}

// Strays that fill FFF_INGEST go before they block runs; others stay, and are listed.
func TestStraysGiveWayToRuns(t *testing.T) {
	w := newWorld(t, 1, "credit")
	c := w.b.Connect()
	w.must(streams.Ensure(w.ctx(), c.JS, 1))
	s := w.newServiceOn(c, nil)
	st, err := c.JS.Stream(w.ctx(), streams.Ingest)
	w.must(err)
	cfg := st.CachedInfo().Config
	cfg.MaxBytes = 1 << 20
	_, err = c.JS.UpdateStream(w.ctx(), cfg)
	w.must(err)
	send := func(run string, batches, bytes int) {
		for range batches {
			_, err := c.JS.Publish(w.ctx(), streams.Subject(stage.Ingest, run), make([]byte, bytes))
			w.must(err)
		}
	}
	send("few", 2, 10<<10)
	send("many", 30, 20<<10)
	listed := func() map[string]string {
		w.must(s.dropStrays(w.ctx()))
		all, err := s.list(w.ctx())
		w.must(err)
		strays := map[string]string{}
		for _, one := range all {
			strays[one.Run] = one.State
		}
		return strays
	}
	if got := listed(); got["few"] != control.Stray || got["many"] != control.Stray || len(got) != 2 {
		t.Fatalf("with room for runs the strays are %v, want few and many", got)
	}
	send("many", 20, 20<<10)
	if got := listed(); got["few"] != control.Stray || len(got) != 1 {
		t.Errorf("without it they are %v, want few alone", got)
	}
}

// Batches of a run that somebody is opening, or sending again, at this moment are no strays,
// though its status tells of its last end still.
func TestBatchesOfARunThatIsBeingOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "credit")
	l := w.open()
	l.finish()
	l.publish()
	l.s.jobs[w.run] = l.job
	subject := streams.Subject(stage.Ingest, w.run)
	w.b.Publish(subject, []byte("{}"))
	drop := func() int {
		w.must(l.s.dropStray(w.ctx(), stray{run: w.run, batches: 1}, 0))
		return w.b.Count(streams.Ingest, subject)
	}
	l.mu.Lock()
	if n := drop(); n != 1 {
		t.Errorf("%d batches are left while the run is opened, want 1", n)
	}
	l.mu.Unlock()
	if n := drop(); n != 0 {
		t.Errorf("%d batches are left of a run that has ended, want none", n)
	}
	l.s.dropping = w.run
	var e *control.Error
	if _, err := l.s.jobToOpen(w.ctx(), nil, w.file(), nil); !errors.As(err, &e) || e.Code != control.CodeTryAgain {
		t.Errorf("a run whose strays are being dropped is opened: %v", err)
	}
}
