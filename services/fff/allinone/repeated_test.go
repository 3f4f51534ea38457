package allinone_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// forgetful makes a stream's memory for the ids of messages as short as it can be.
func (s *system) forgetful(name string) {
	s.t.Helper()
	s.update(name, func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
}

// insist publishes a message with an id until the broker takes it for a new one.
func (s *system) insist(m *nats.Msg) {
	s.t.Helper()
	s.await("the broker forgets the id of a message", func() bool {
		ack, err := s.js.PublishMsg(s.t.Context(), m)
		if err != nil {
			s.t.Fatal(err)
		}
		return !ack.Duplicate
	})
}

// again publishes a message that is, or was, in a stream once more, as it is.
func (s *system) again(m *jetstream.RawStreamMsg) {
	s.t.Helper()
	s.insist(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
}

// A batch with an id counts once, whether the broker knows the id still or not; without
// one each message counts, and its cells are fetched once all the same.
func TestABatchPublishedThreeTimesCountsOnce(t *testing.T) {
	for _, withID := range []bool{true, false} {
		t.Run(fmt.Sprintf("with id %v", withID), func(t *testing.T) {
			s := start(t, job{})
			r := s.open(job{})
			records, id := usual(), ""
			if withID {
				id = "the-batch"
			}
			r.asked(records)
			r.send(id, batch(records))
			r.send(id, batch(records))
			s.forgetful(streams.Ingest)
			m := &nats.Msg{Subject: streams.Subject(stage.Ingest, r.id), Data: batch(records), Header: nats.Header{}}
			if withID {
				m.Header.Set(jetstream.MsgIDHeader, id)
			}
			s.insist(m)
			if withID {
				r.close(users)
			} else {
				r.close(3 * users)
			}
			if end := r.ends(control.Completed); end.Samples != users || end.Requested != cellsOfJob {
				t.Errorf("status: %+v", end)
			}
			r.isExact()
			r.asksOnlyForMisses()
		})
	}
}

// Every queue delivers at least once. What comes again before its first copy is done, when
// the broker has forgotten its id, doubles nothing.
func TestAMessageThatComesAgainDoublesNoCell(t *testing.T) {
	for _, st := range []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer, stage.Parts} {
		t.Run(string(st), func(t *testing.T) {
			s := start(t, job{})
			r := s.open(job{})
			s.forgetful(streams.Of(st))
			resume := r.pause(st)
			r.submit(usual())
			s.await("a message waits", func() bool { return len(r.waiting(st)) > 0 })
			for _, m := range r.waiting(st) {
				s.again(m)
				s.again(m)
			}
			resume()
			if end := r.ends(control.Completed); end.Round != 0 {
				t.Errorf("%d rounds of repair", end.Round)
			}
			r.isExact()
		})
	}
}

// The same when all cells of the first copy are committed long since.
func TestAMessageThatComesAfterItsCommitDoublesNoCell(t *testing.T) {
	stages := []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer, stage.Parts}
	s := start(t, job{})
	r := s.open(job{})
	var copies []*jetstream.RawStreamMsg
	resumes := map[stage.Name]func(){}
	for _, st := range stages {
		s.forgetful(streams.Of(st))
		resumes[st] = r.pause(st)
	}
	r.publish(usual())
	for _, st := range stages {
		s.await("a message waits for "+string(st), func() bool { return len(r.waiting(st)) > 0 })
		copies = append(copies, r.waiting(st)...)
		resumes[st]()
	}
	s.await("all is committed", func() bool { return r.status().Committed == cellsOfJob })
	for _, m := range copies {
		s.again(m)
	}
	r.close(users)
	if end := r.ends(control.Completed); end.Round != 0 || end.Committed != cellsOfJob {
		t.Errorf("status: %+v", end)
	}
	r.isExact()
}

// A message that the broker delivers again while its first delivery is worked on.
func TestAMessageDeliveredTwiceAtATimeDoublesNoCell(t *testing.T) {
	s := start(t, job{})
	release := make(chan struct{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		<-release
		return featureservice.Fault{}
	}})
	r := s.open(job{})
	r.submit(usual())
	for _, st := range []stage.Name{stage.FSFast, stage.FSSlow} {
		name := streams.ConsumerName(st, r.id)
		info := func() *jetstream.ConsumerInfo {
			c, err := s.js.Consumer(t.Context(), streams.Of(st), name)
			if err != nil {
				t.Fatal(err)
			}
			return c.CachedInfo()
		}
		s.await("messages are in hand", func() bool { return info().NumAckPending > 0 })
		first := info().AckFloor
		// As a service would that gives its first message back.
		nak := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.0", streams.Of(st), name, first.Stream+1, first.Consumer+1, time.Now().UnixNano())
		if err := s.Client.NC.Publish(nak, []byte("-NAK")); err != nil {
			t.Fatal(err)
		}
		s.await("a message is delivered again", func() bool { return info().NumRedelivered > 0 })
	}
	close(release)
	if end := r.ends(control.Completed); end.Round != 0 {
		t.Errorf("%d rounds of repair", end.Round)
	}
	r.isExact()
}

// A dead letter that is there again after its replay, as it was: its cells are committed.
func TestALetterThatComesAgainDoublesNoCell(t *testing.T) {
	s := start(t, job{})
	s.Sandbox().SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		if q.UserID < "u020" {
			return featureservice.Fault{Status: 404}
		}
		return featureservice.Fault{}
	}})
	r := s.open(job{})
	r.submit(usual())
	r.ends(control.CompletedWithFailures)
	var copies []*jetstream.RawStreamMsg
	for _, l := range r.letters() {
		m, err := s.stream(streams.Failed).GetMsg(t.Context(), l.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, m)
	}
	if len(copies) == 0 {
		t.Fatal("there are no dead letters")
	}
	s.Sandbox().SetFaults(sandbox.Faults{})
	r.replay(control.Selection{All: true})
	first := r.ends(control.Completed)
	r.isExact()
	for range 2 {
		for _, m := range copies {
			s.again(m)
		}
	}
	r.replay(control.Selection{All: true})
	if second := r.ends(control.Completed); second.Epoch <= first.Epoch {
		t.Errorf("the copies were not replayed: epoch %d, then %d", first.Epoch, second.Epoch)
	}
	r.isExact()
	if left := r.letters(); len(left) > 0 {
		t.Errorf("%d letters are left", len(left))
	}
}
