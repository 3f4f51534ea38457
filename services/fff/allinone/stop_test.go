package allinone_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// A system that is stopped in the middle of a run finishes what it has in hand, to the
// commit: requests that are under way are answered and never asked again, and what the
// writer holds is committed. Another system on its store goes on with the rest, in the same
// epoch.
func TestAStoppedSystemFinishesWhatIsInHand(t *testing.T) {
	s := start(t, job{})
	service := newLastingService(t)
	j := job{url: service.url}
	r := s.open(j)
	records := usual()
	r.publish(records)

	beats, err := fleet.Listen(s.Client)
	if err != nil {
		t.Fatal(err)
	}
	held := func(name string) (n int64) {
		for _, b := range beats.Beats() {
			if b.Service == name {
				n += b.Runs[r.id].Held
			}
		}
		return n
	}
	var inHand []uint64 // sequences of what the writer holds
	s.await("requests are under way, and all that waits for the writer is in its hand", func() bool {
		inHand = nil
		for _, m := range r.waiting(stage.Writer) {
			inHand = append(inHand, m.Sequence)
		}
		return held("fs-fast") > 0 && held("fs-slow") > 0 && len(inHand) > 0 && held("writer") == int64(len(inHand))
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.end()
	}()
	s.await("the system stops", func() bool {
		return slices.ContainsFunc(beats.Beats(), func(b fleet.Beat) bool { return b.Service == "fs-fast" && b.State != "ready" })
	})
	service.answer()
	<-stopped
	for _, seq := range queued(t, s.store, stage.Writer, r.id) {
		if slices.Contains(inHand, seq) {
			t.Errorf("message %d was in the writer's hand and is not committed", seq)
		}
	}

	s = startOn(t, j, s.store, s.out)
	again := s.open(j)
	again.asked(records)
	again.close(users)
	again.ends(control.Completed)
	again.isExact()
	if again.epoch != r.epoch {
		t.Errorf("the run goes on in epoch %d, want %d", again.epoch, r.epoch)
	}
	service.checkAskedOnce()
}

// lastingService is a feature service that outlives systems. It answers the usual job's
// u007 when it is told to, and counts what it is asked for.
type lastingService struct {
	t      *testing.T
	url    string
	answer func()

	mu    sync.Mutex
	asked map[string]int // by cell
}

func newLastingService(t *testing.T) *lastingService {
	t.Helper()
	cfg := sandbox.Config{}
	if err := settings.Load(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.DynamoDBAddr, cfg.FeatureServiceAddr = "127.0.0.1:0", "127.0.0.1:0"
	box, err := sandbox.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	s := &lastingService{t: t, answer: sync.OnceFunc(func() { close(answered) }), asked: map[string]int{}}
	box.SetFaults(sandbox.Faults{Features: func(q *featureservice.Request) featureservice.Fault {
		s.count(q)
		if q.UserID == "u007" {
			<-answered
		}
		return featureservice.Fault{}
	}})
	at, err := box.Start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	s.url = at.FeatureService
	t.Cleanup(func() {
		s.answer()
		if err := box.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *lastingService) count(q *featureservice.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range q.Families {
		s.asked[fmt.Sprintf("%s of %s", f, q.UserID)]++
	}
}

func (s *lastingService) checkAskedOnce() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for cell, n := range s.asked {
		if n > 1 {
			s.t.Errorf("%s was asked for %d times", cell, n)
		}
	}
}

// queued gives the sequences of a run's messages in the queue of a stage, in a store whose
// system has ended.
func queued(t *testing.T, store string, st stage.Name, id string) (all []uint64) {
	t.Helper()
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: store})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: server.URL()}, "test", zerolog.Nop(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{system: &system{t: t, js: js}, id: id}
	for _, m := range r.waiting(st) {
		all = append(all, m.Sequence)
	}
	return all
}
