package allinone_test

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// queues are those between the services.
var queues = []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer, stage.Parts}

// inject puts a message into a queue behind the system's back.
func (r *run) inject(st stage.Name, epoch uint64, data string) {
	r.t.Helper()
	m := &nats.Msg{Subject: streams.Subject(st, r.id), Data: []byte(data), Header: nats.Header{}}
	m.Header.Set(streams.HeaderEpoch, strconv.FormatUint(epoch, 10))
	if _, err := r.js.PublishMsg(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

var garbage = []string{"", "not for us", `{"requests":[{}]}`, "\x00\x01\x02\xff", `{"requests":[{"user_id":"u000","pitc_timestamp":1e99,"feature_families":["x"]}]}`}

// A message that cannot be read becomes a dead letter, and the run goes on.
func TestMessagesThatCannotBeReadAreDeadLetters(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	for _, st := range queues {
		for _, data := range garbage {
			r.inject(st, r.epoch, data)
		}
	}
	r.submit(usual())
	r.ends(control.Completed)
	r.lacksOnly(nothing)
	byStage := map[string]int{}
	for _, l := range r.letters() {
		if l.Code != string(failure.BadMessage) || l.Kind != stage.KindBatch || l.Reason == "" {
			t.Errorf("letter: %+v", l)
		}
		byStage[l.Stage]++
	}
	for _, st := range queues {
		if byStage[string(st)] != len(garbage) {
			t.Errorf("%d dead letters of %s, want %d", byStage[string(st)], st, len(garbage))
		}
	}
	if n := len(r.failures()); n != len(garbage)*len(queues) {
		t.Errorf("%d failures are listed, want %d", n, len(garbage)*len(queues))
	}
	if !r.has("_SUCCESS") {
		t.Error("_SUCCESS is not there though all that was asked for is")
	}
}

// Messages of an epoch that has ended are dropped unread.
func TestMessagesOfAnOldEpochAreDropped(t *testing.T) {
	s := start(t, job{})
	r := s.open(job{})
	records := usual()
	r.submit(records[:users/2])
	r.ends(control.Completed)
	old := r.epoch
	r.reopen(job{})
	if r.epoch <= old {
		t.Fatalf("epoch %d follows %d", r.epoch, old)
	}
	asked := s.Sandbox().FeatureService.Stats().Requests
	for _, st := range queues[:4] {
		r.inject(st, old, "not for us")
		r.inject(st, old, `{"requests":[{"user_id":"stranger","pitc_timestamp":1735689600000,"feature_families":["late_a"]}]}`)
	}
	for _, st := range queues[:4] {
		s.await("the queue is empty", func() bool { return len(r.waiting(st)) == 0 })
	}
	if n := s.Sandbox().FeatureService.Stats().Requests; n != asked {
		t.Errorf("%d requests were sent for messages of an old epoch", n-asked)
	}
	r.submit(records)
	r.ends(control.Completed)
	r.isExact()
	if letters := r.letters(); len(letters) > 0 {
		t.Errorf("letter: %+v", letters[0])
	}
}

// Nothing can be sent again for such a letter. It stands in nobody's way.
func TestReplayLeavesOutWhatCannotBeRead(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: always(featureservice.Fault{Status: 404})})
	r := s.open(job{})
	r.inject(stage.Writer, r.epoch, "not for us")
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	if done := r.replay(control.Selection{Code: string(failure.BadMessage)}); done.Replayed != 0 || done.Epoch != r.epoch {
		t.Errorf("replayed: %+v", done)
	}
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replay(control.Selection{All: true})
	r.ends(control.Completed)
	r.lacksOnly(nothing)
	if left, listed := r.letters(), r.failures(); len(left) != 1 || len(listed) != 1 || listed[0].Code != string(failure.BadMessage) {
		t.Errorf("%d letters are left, listed are %+v", len(left), listed)
	}
}
