package route_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/route"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// outputs hands requests to a function.
type outputs func(to stage.Name, r work.Request) error

func (o outputs) Cells(context.Context, packed.Source, func(*packed.Builder) error) error {
	return errors.New("no cells are routed")
}

func (o outputs) Request(_ context.Context, to stage.Name, r work.Request) error { return o(to, r) }

var file = func() *runfile.File {
	f, err := runfile.Parse("run.yaml", []byte(`run: demo
families:
  - {id: cached}
  - {id: fast, cached: false}
  - {id: auto, cached: false, lane: auto}
  - {id: slow, cached: false, lane: slow}
dynamodb: {table: features, partition_key: {name: k, value: "{user_id}#{family}#{pitc_timestamp}"}}
feature_service: {url: "http://127.0.0.1:8090/features"}
`))
	if err != nil {
		panic(err)
	}
	return f
}()

var run = &stage.Run{File: file}

func TestLane(t *testing.T) {
	unknown, found := &stage.Run{File: file}, &stage.Run{File: file, Lanes: new(stage.Lanes)}
	found.Lanes.Set([]string{"auto", "slow"})
	for _, tt := range []struct {
		run  *stage.Run
		id   string
		want stage.Name
	}{
		{unknown, "fast", stage.FSFast},
		{unknown, "auto", stage.FSSlow},
		{unknown, "slow", stage.FSSlow},
		{found, "auto", stage.FSFast},
		{found, "slow", stage.FSSlow}, // what the run file says holds
	} {
		f, ok := file.Family(tt.id)
		if got := route.Lane(tt.run, f); !ok || got != tt.want {
			t.Errorf("family %s goes to %s, want %s", tt.id, got, tt.want)
		}
	}
}

// Which families go where is tested with the stage that sends most of them, ingest.

func TestWhatTheRunFileDoesNotKnowIsLeftOut(t *testing.T) {
	sent := map[stage.Name]int{}
	count := outputs(func(to stage.Name, r work.Request) error { sent[to] += r.Cells(); return nil })
	if err := route.Send(t.Context(), run, &work.Request{UserID: "u", Families: []string{"gone", "fast"}}, count); err != nil {
		t.Fatal(err)
	}
	if err := route.Send(t.Context(), run, &work.Request{UserID: "u", Families: []string{"gone"}}, count); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent[stage.FSFast] != 1 {
		t.Errorf("cells sent: %v, want the known one", sent)
	}
}

func TestAnErrorOfAnyWayIsTold(t *testing.T) {
	broken := errors.New("no room")
	for _, at := range []stage.Name{stage.Dynamo, stage.FSSlow, stage.FSFast} {
		families := []string{"slow", "fast", "cached"}
		if at == stage.FSFast {
			families = families[:2]
		}
		err := route.Send(t.Context(), run, &work.Request{UserID: "u", Families: families}, outputs(func(to stage.Name, _ work.Request) error {
			if to == at {
				return broken
			}
			return nil
		}))
		if !errors.Is(err, broken) {
			t.Errorf("an error of %s is told as %v", at, err)
		}
	}
}
