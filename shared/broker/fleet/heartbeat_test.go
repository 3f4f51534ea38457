package fleet_test

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
)

func TestBeatsReachTheListener(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	listener, err := fleet.Listen(b.Client)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Stop()
	want := fleet.Beat{
		Service: "writer", Instance: "w1", State: "ready", Version: "1", Errors: 3,
		Runs: map[string]fleet.RunStats{"demo": {Epoch: 2, Messages: 7, In: 8, Out: 9, Failed: 1, Held: 4, Waiting: "room", Units: map[string]float64{"features": 1.5}}},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Announce(ctx, b.Connect(), "fff-writer", func() fleet.Beat { return want }) }()
	b.Publish("fff.writer.demo", nil) // other subjects are nothing to the listener
	if err := b.NC.Publish("fff.heartbeat.writer.w2", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "the beat is heard", func() bool { return len(listener.Beats()) == 1 })
	got := listener.Beats()[0]
	if !got.Alive() {
		t.Error("an instance that has just spoken is not alive")
	}
	got.Seen = time.Time{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("heard %+v, want %+v", got, want)
	}

	reply, err := b.NC.Request("$SRV.INFO.fff-writer", nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(reply.Data, &info); err != nil || info.Metadata["instance"] != "w1" {
		t.Errorf("NATS micro shows %s (%v)", reply.Data, err)
	}
	reply, err = b.NC.Request("fff.instance.w1", nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var asked fleet.Beat
	if err := json.Unmarshal(reply.Data, &asked); err != nil || !reflect.DeepEqual(asked, want) {
		t.Errorf("asked, the instance says %s (%v)", reply.Data, err)
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("announcing ended with %v", err)
	}
	brokertest.Await(t, "the instance has said good-bye", func() bool { return listener.Beats()[0].State == "stopped" })
	if last := listener.Beats()[0]; last.Alive() || last.Runs["demo"].Messages != 7 {
		t.Errorf("after its end %+v", last)
	}
}

func TestSilenceIsNoLife(t *testing.T) {
	for _, tc := range []struct {
		beat fleet.Beat
		want bool
	}{
		{fleet.Beat{State: "ready", Seen: time.Now()}, true},
		{fleet.Beat{State: "draining", Seen: time.Now()}, true},
		{fleet.Beat{State: "ready", Seen: time.Now().Add(-time.Minute)}, false},
		{fleet.Beat{State: "stopped", Seen: time.Now()}, false},
	} {
		if got := tc.beat.Alive(); got != tc.want {
			t.Errorf("%s, seen %v ago: alive %v, want %v", tc.beat.State, time.Since(tc.beat.Seen).Round(time.Second), got, tc.want)
		}
	}
}

// Whoever asks need not wait for the next beat. One that does not answer keeps what it said.
func TestInstancesAreAsked(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	listener, err := fleet.Listen(b.Client)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Stop()
	nc := b.Connect().NC
	say := func(instance string, units float64) []byte {
		data, err := json.Marshal(fleet.Beat{Service: "dynamo-fetcher", Instance: instance, State: "ready",
			Runs: map[string]fleet.RunStats{"demo": {Units: map[string]float64{"features": units}}}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, instance := range []string{"answers", "mute"} {
		if err := nc.Publish("fff.heartbeat.dynamo-fetcher."+instance, say(instance, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.Subscribe("fff.instance.answers", func(m *nats.Msg) { _ = m.Respond(say("answers", 2)) }); err != nil {
		t.Fatal(err)
	}
	brokertest.Await(t, "both are heard", func() bool { return len(listener.Beats()) == 2 })
	listener.Ask(t.Context(), b.Client, "writer")
	listener.Ask(t.Context(), b.Client, "dynamo-fetcher")
	got := map[string]float64{}
	for _, beat := range listener.Beats() {
		got[beat.Instance] = beat.Runs["demo"].Units["features"]
	}
	if want := map[string]float64{"answers": 2, "mute": 1}; !maps.Equal(got, want) {
		t.Errorf("asked, they have used %v, want %v", got, want)
	}
}
