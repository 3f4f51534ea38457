package allinone_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/streams"
)

// failedFor checks why a run has failed: cause and cure.
func failedFor(t *testing.T, end *control.Status, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(end.Reason, w) {
			t.Errorf("the reason %q does not tell of %q", end.Reason, w)
		}
	}
}

// A run whose dead letters fill FFF_FAILED ends; one that has none goes on.
func TestDeadLettersThatFillTheirStreamEndTheRunAlone(t *testing.T) {
	s := start(t, job{})
	var usual int64
	s.update(streams.Failed, func(c *jetstream.StreamConfig) { usual, c.MaxBytes = c.MaxBytes, 64<<10 })
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if strings.HasPrefix(q.UserID, "sick") {
			return featureservice.Fault{Status: 404}
		}
		return featureservice.Fault{}
	}})
	sick, well := s.open(job{}), s.open(job{run: "well"})
	sick.publish(recordsOf("sick")) // the run may have ended before its input could be closed
	well.submit(recordsOf("well"))
	failedFor(t, sick.ends(control.Failed), "FFF_FAILED", "fff failed list", "run again")
	well.ends(control.Completed)
	well.isExact()

	s.update(streams.Failed, func(c *jetstream.StreamConfig) { c.MaxBytes = usual })
	s.Sandbox().SetFaults(sandbox.Faults{})
	sick.reopen(job{})
	sick.submit(recordsOf("sick"))
	sick.ends(control.Completed)
	sick.isExact()
}

// Bad records fill it just as well.
func TestBadRecordsThatFillTheStreamEndTheRun(t *testing.T) {
	s := start(t, job{})
	s.update(streams.Failed, func(c *jetstream.StreamConfig) { c.MaxBytes = 16 << 10 })
	r := s.open(job{})
	for i := range 4 {
		r.send("", fmt.Appendf(nil, `{"records":[{"user_id":"bad%d","pitc_timestamp":"yesterday","attributes":{"text":%q}}]}`, i, strings.Repeat("x", 8<<10)))
	}
	failedFor(t, r.ends(control.Failed), "FFF_FAILED")
}

// Input above its bound ends the run before it blocks others; with a higher bound it
// completes.
func TestInputAboveItsBoundEndsTheRun(t *testing.T) {
	s := start(t, job{})
	tight := job{more: "input: {max_bytes: 1MB}"}
	r := s.open(tight)
	records := usual()
	for i := range records {
		records[i].Attributes, _ = json.Marshal(map[string]string{"text": strings.Repeat("x", 30<<10)}) // a string can be written
	}
	r.publish(records)
	failedFor(t, r.ends(control.Failed), "input.max_bytes", "raise it")
	r.reopen(job{more: "input: {max_bytes: 4MB}"})
	r.submit(records)
	r.ends(control.Completed)
	r.isExact()
}

// A producer that says no more ends the run. What was fetched is kept, and not fetched
// again.
func TestASilentProducerEndsTheRun(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	records := usual()
	r.publish(records[:users/2])
	s.await("all is committed so far", func() bool { return r.status().Committed == cellsOfJob/2 })
	r.reopen(job{more: "input: {idle: 1s}"}) // the same run, which goes on with other settings
	failedFor(t, r.ends(control.Failed), "input.idle", "fff.close.job", "run again")
	kept, asked := r.status().BySource["feature_service"], s.Sandbox().FeatureService.Stats().Families
	if r.status().Committed != cellsOfJob/2 {
		t.Errorf("%d cells were kept", r.status().Committed)
	}
	r.reopen(job{})
	r.submit(records)
	end := r.ends(control.Completed)
	r.isExact()
	if again := s.Sandbox().FeatureService.Stats().Families - asked; again != end.BySource["feature_service"]-kept {
		t.Errorf("the feature service was asked for %d cells, %d were missing", again, end.BySource["feature_service"]-kept)
	}
}
