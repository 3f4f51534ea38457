package allinone_test

import (
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// What the broker has acknowledged and then loses is found missing, and sent again.
func TestAMessageRemovedFromAQueueIsRepaired(t *testing.T) {
	for _, st := range []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer} {
		t.Run(string(st), func(t *testing.T) {
			s := start(t, job{})
			r := s.open(job{})
			resume := r.pause(st)
			r.submit(usual())
			s.await("a message waits", func() bool { return len(r.waiting(st)) > 0 })
			r.remove(st, r.waiting(st)[0])
			resume()
			if end := r.ends(control.Completed); end.Round != 1 {
				t.Errorf("%d rounds of repair, want 1", end.Round)
			}
			r.isExact()
		})
	}
}

// A part whose message is lost is handed over again by its writer.
func TestARemovedPartIsHandedOverAgain(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	resume := r.pause(stage.Parts)
	r.submit(usual())
	s.await("a part waits", func() bool { return len(r.waiting(stage.Parts)) > 0 })
	for _, m := range r.waiting(stage.Parts) {
		r.remove(stage.Parts, m)
	}
	resume()
	r.ends(control.Completed)
	r.isExact()
}

// The producer counts, so it sees that a batch is gone.
func TestABatchLostBeforeTheInputIsClosedIsSentAgain(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	records := usual()
	find := s.lose(stage.Ingest, r.id)
	r.publish(records[:batchOf])
	find()
	r.publish(records[batchOf:])
	closed, err := r.control.Close(t.Context(), r.id, users, "")
	if err != nil || closed.Sealed || closed.RecordsSeen != users-batchOf {
		t.Fatalf("closed: %+v, %v", closed, err)
	}
	r.publish(records[:batchOf])
	r.close(users)
	r.ends(control.Completed)
	r.isExact()
}

// Nobody has a batch that is lost after the input was closed. Its records are named as
// unaccounted for, the rest is done, and running again completes.
func TestABatchRemovedAfterTheInputIsClosedIsUnaccounted(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	resume := r.pause(stage.Ingest)
	records := usual()
	r.submit(records)
	r.remove(stage.Ingest, r.waiting(stage.Ingest)[1])
	resume()
	r.ends(control.CompletedWithFailures)
	r.records = append(records[:batchOf:batchOf], records[2*batchOf:]...)
	r.lacksOnly(nothing)
	failures := r.failures()
	if len(failures) != 1 || failures[0].Code != string(failure.Unaccounted) || failures[0].Kind != stage.KindBatch {
		t.Errorf("failures: %+v", failures)
	}
	if r.has("_SUCCESS") {
		t.Error("_SUCCESS is there")
	}
	r.reopen(job{})
	r.submit(records)
	r.ends(control.Completed)
	r.isExact()
}

func nothing(cell) string { return "" }

// A queue that loses all that is put into it: three rounds, and no more.
func TestWhatIsLostInEveryRoundIsUnaccounted(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	find := s.lose(stage.FSSlow, r.id)
	r.submit(usual())
	end := r.ends(control.CompletedWithFailures)
	if end.Round != 3 {
		t.Errorf("%d rounds of repair, want 3", end.Round)
	}
	truth := r.truth()
	r.lacksOnly(func(c cell) string {
		if isSlow(c.family) && !truth.Cached(c.user, c.ms, c.family) {
			return string(failure.Unaccounted)
		}
		return ""
	})
	find()
	r.reopen(job{})
	r.submit(usual())
	r.ends(control.Completed)
	r.isExact()
}

func isSlow(family string) bool {
	switch family {
	case "slow_a", "slow_b", "late_a", "late_b":
		return true
	}
	return false
}
