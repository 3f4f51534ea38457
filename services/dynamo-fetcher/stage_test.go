package dynamofetcher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// found answers with an item for each key of a list.
func found(items ...string) getter {
	return func(_ context.Context, _ string, keys []string) (string, error) {
		return reply(slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !slices.Contains(items, k) }), nil), nil
	}
}

func TestHitsGoToTheWriterAndMissesToTheirLanes(t *testing.T) {
	attributes := json.RawMessage(`{"country":"KE"}`)
	m, b := newMessage(t, threeLanes,
		work.Request{UserID: "u1", EpochMS: 1, Families: []string{"a", "b", "s", "z", "auto"}, Direct: []string{"d"}, Attributes: attributes},
		work.Request{UserID: "u2", EpochMS: 2, Families: []string{"a", "b"}},
		work.Request{UserID: "u3", EpochMS: 3, Direct: []string{"d"}},
		work.Request{UserID: "u4", EpochMS: 4, Families: []string{"a"}, Direct: []string{"d"}},
		work.Request{UserID: "u5", EpochMS: 5, Families: []string{"d", "s"}},
	)
	out := newOutputs(t)
	if v := do(t, found("u1/b", "u2/a", "u2/b", "u4/a"), m, b, out); len(v) > 0 {
		t.Errorf("verdicts are %v", v)
	}
	out.wantHits("u1@1/b", "u2@2/a", "u2@2/b", "u4@4/a")
	out.wantRequests(
		`fs-fast u1@1 a,d {"country":"KE"}`, `fs-slow u1@1 s {"country":"KE"}`, `fs-slow u1@1 z {"country":"KE"}`, `fs-slow u1@1 auto {"country":"KE"}`,
		"fs-fast u3@3 d", "fs-fast u4@4 d", "fs-fast u5@5 d", "fs-slow u5@5 s",
	)
}

func TestUnprocessedKeysAreAskedForUntilTheyAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
			calls.Add(1)
			half := len(keys) / 2
			return reply(keys[half:], keys[:half]), nil
		})
		var requests []work.Request
		for i := range 64 {
			requests = append(requests, work.Request{UserID: fmt.Sprintf("u%02d", i), Families: []string{"a"}})
		}
		m, b := newMessage(t, threeLanes, requests...)
		out := newOutputs(t)
		if v := do(t, g, m, b, out); len(v) > 0 {
			t.Errorf("verdicts are %v", v)
		}
		if len(out.hits) != 64 || len(out.requests) > 0 || calls.Load() != 7 {
			t.Errorf("%d hits, requests %v, %d calls", len(out.hits), out.requests, calls.Load())
		}
	})
}

func TestAnAnswerCutByItsSizeIsContinuedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 400<<10)
		g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
			n := min(len(keys), 3)
			return strings.ReplaceAll(reply(keys[:n], keys[n:]), `"v":{"N":"1"}`, `"v":{"S":"`+large+`"}`), nil
		})
		var requests []work.Request
		for i := range 30 {
			requests = append(requests, work.Request{UserID: fmt.Sprintf("u%02d", i), Families: []string{"a"}})
		}
		m, b := newMessage(t, threeLanes, requests...)
		out := newOutputs(t)
		start := time.Now()
		if v := do(t, g, m, b, out); len(v) > 0 || len(out.hits) != 30 {
			t.Errorf("verdicts are %v, %d hits", v, len(out.hits))
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("it waited %v", waited)
		}
	})
}

// A block of two calls, one of which fails at first: what is done twice together is each
// cell once.
func TestOnlyTheCellsOfAFailedCallAreTriedAgain(t *testing.T) {
	var requests []work.Request
	for i := range 100 {
		requests = append(requests, work.Request{UserID: fmt.Sprintf("u%02d", i), Families: []string{"a", "b"}, Direct: []string{"d"}})
	}
	m, b := newMessage(t, threeLanes, requests...)
	failing := true
	g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
		if strings.HasSuffix(keys[0], "/b") && failing {
			return reply(keys[:10], nil) + "garbage", nil
		}
		return reply(keys[:50], nil), nil
	})
	s := dynamofetcher.NewStage(g, dynamofetcher.StageConfig{})
	out := newOutputs(t)
	verdicts := s.Do(t.Context(), m, b, out)
	if len(verdicts) != 1 {
		t.Fatalf("verdicts are %v", verdicts)
	}
	if e := failure.As(verdicts[0].Err); e.Action != failure.TryAgain || e.Code != failure.DynamoDBError {
		t.Errorf("verdict is %+v", e)
	}
	if rest := verdicts[0].Rest; len(rest.Requests) != 90 || rest.Cells() != 90 {
		t.Errorf("rest has %d requests, %d cells; want the 90 that were not read", len(rest.Requests), rest.Cells())
	}
	failing = false
	if again := s.Do(t.Context(), m, verdicts[0].Rest, out); len(again) > 0 {
		t.Errorf("verdicts are %v", again)
	}
	for _, r := range requests {
		for _, family := range []string{"a", "b", "d"} {
			cell := fmt.Sprintf("%s@0/%s", r.UserID, family)
			if n := out.hits[cell] + out.missed[cell]; n != 1 {
				t.Errorf("cell %s is done %d times", cell, n)
			}
		}
	}
}

func TestABadItemIsAFailedCellAndNoMiss(t *testing.T) {
	g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
		return strings.Replace(reply(keys, nil), `"sk":{"S":"b"},"v":{"N":"1"}`, `"sk":{"S":"b"},"v":{"N":"one"}`, 1), nil
	})
	m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a", "b"}})
	out := newOutputs(t)
	verdicts := do(t, g, m, b, out)
	if len(verdicts) != 1 {
		t.Fatalf("verdicts are %v", verdicts)
	}
	e := failure.As(verdicts[0].Err)
	if e.Code != failure.BadItem || e.Action != failure.GiveUp || e.Error() != `the item pk="u", sk="b": attribute "v": "one" is no number` {
		t.Errorf("verdict is %s: %v", e.Code, e)
	}
	if got := cellsOf(verdicts[0].Rest); !slices.Equal(got, []string{"u@0/b"}) {
		t.Errorf("rest is %v", got)
	}
	out.wantHits("u@0/a")
	out.wantRequests()
}

func TestAKeyThatNoTableCanHold(t *testing.T) {
	m, b := newMessage(t, strings.Replace(threeLanes, "name: pk,", "name: pk, type: N,", 1),
		work.Request{UserID: "u", Families: []string{"a"}, Direct: []string{"d"}})
	out := newOutputs(t)
	verdicts := do(t, found(), m, b, out)
	if len(verdicts) != 1 {
		t.Fatalf("verdicts are %v", verdicts)
	}
	if e := failure.As(verdicts[0].Err); e.Action != failure.GiveUp || !strings.Contains(e.Error(), `value "u" is no number`) {
		t.Errorf("verdict is %v", e)
	}
	out.wantRequests("fs-fast u@0 d")
}

func TestOutputsThatFail(t *testing.T) {
	errFull := errors.New("full")
	t.Run("cells", func(t *testing.T) {
		m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a", "b"}, Direct: []string{"d"}})
		out := newOutputs(t)
		out.cellsErr = func() error { return errFull }
		verdicts := do(t, found("u/a"), m, b, out)
		if len(verdicts) != 1 || !errors.Is(verdicts[0].Err, errFull) || failure.As(verdicts[0].Err).Code != failure.Internal {
			t.Fatalf("verdicts are %v", verdicts)
		}
		if got := cellsOf(verdicts[0].Rest); !slices.Equal(got, []string{"u@0/a", "u@0/b"}) {
			t.Errorf("rest is %v", got)
		}
		out.wantRequests("fs-fast u@0 d")
	})
	t.Run("requests", func(t *testing.T) {
		m, b := newMessage(t, threeLanes,
			work.Request{UserID: "u1", Families: []string{"a", "s", "z"}, Direct: []string{"d"}},
			work.Request{UserID: "u2", Families: []string{"a", "b", "s"}, Direct: []string{"d"}})
		out := newOutputs(t)
		out.requested = func(to stage.Name, r work.Request) error {
			if r.Families[0] == "z" {
				return errFull
			}
			return nil
		}
		verdicts := do(t, found("u2/b"), m, b, out)
		if len(verdicts) != 1 || !errors.Is(verdicts[0].Err, errFull) {
			t.Fatalf("verdicts are %v", verdicts)
		}
		if got, want := cellsOf(verdicts[0].Rest), []string{"u1@0/z", "u2@0/a", "u2@0/s", "u2@0/+d"}; !slices.Equal(got, want) {
			t.Errorf("rest is %v, want %v", got, want)
		}
		out.wantHits("u2@0/b")
		out.wantRequests("fs-fast u1@0 a,d", "fs-slow u1@0 s")
	})
}

func TestCallsInFlightAreBounded(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		process int
		want    int32
	}{
		{"by the process", threeLanes, 3, 3},
		{"by the run", strings.Replace(threeLanes, "table: features,", "table: features, max_in_flight: 2,", 1), 10, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				g := getter(func(ctx context.Context, _ string, keys []string) (string, error) {
					n := now.Add(1)
					defer now.Add(-1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					time.Sleep(time.Second)
					return reply(keys, nil), nil
				})
				var requests []work.Request
				for i := range 1000 {
					requests = append(requests, work.Request{UserID: fmt.Sprintf("u%03d", i), Families: []string{"a"}})
				}
				m, b := newMessage(t, tt.file, requests...)
				out := newOutputs(t)
				s := dynamofetcher.NewStage(g, dynamofetcher.StageConfig{MaxInFlight: tt.process})
				if v := s.Do(t.Context(), m, b, out); len(v) > 0 || len(out.hits) != 1000 {
					t.Errorf("verdicts are %v, %d hits", v, len(out.hits))
				}
				if most.Load() != tt.want {
					t.Errorf("%d calls at the same time, want %d", most.Load(), tt.want)
				}
			})
		})
	}
}

func TestAContextThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		g := getter(func(ctx context.Context, _ string, keys []string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		var requests []work.Request
		for i := range 300 {
			requests = append(requests, work.Request{UserID: fmt.Sprintf("u%03d", i), Families: []string{"a"}, Direct: []string{"d"}})
		}
		m, b := newMessage(t, threeLanes, requests...)
		out := newOutputs(t)
		s := dynamofetcher.NewStage(g, dynamofetcher.StageConfig{MaxInFlight: 1})
		cells := 0
		for _, v := range s.Do(ctx, m, b, out) {
			cells += v.Rest.Cells()
		}
		if cells != 600 {
			t.Errorf("%d cells are not done, want all 600", cells)
		}
	})
}

func TestAPanicIsAFailedAttempt(t *testing.T) {
	var told atomic.Int32
	g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
		if strings.HasSuffix(keys[0], "/a") {
			panic("oops")
		}
		return reply(keys, nil), nil
	})
	var requests []work.Request
	for i := range 100 {
		requests = append(requests, work.Request{UserID: fmt.Sprintf("u%02d", i), Families: []string{"a", "b"}})
	}
	m, b := newMessage(t, threeLanes, requests...)
	out := newOutputs(t)
	s := dynamofetcher.NewStage(g, dynamofetcher.StageConfig{Panicked: func(value any, stack []byte) {
		if value == "oops" && len(stack) > 0 {
			told.Add(1)
		}
	}})
	verdicts := s.Do(t.Context(), m, b, out)
	if len(verdicts) != 1 || verdicts[0].Rest.Cells() != 100 || len(out.hits) != 100 || told.Load() != 1 {
		t.Fatalf("%d verdicts, %d hits, told %d times", len(verdicts), len(out.hits), told.Load())
	}
	if e := failure.As(verdicts[0].Err); e.Code != failure.Internal || e.Action != failure.TryAgain || e.Error() != "panic in a look-up: oops" {
		t.Errorf("verdict is %v", e)
	}
}

func TestReadUnitsAreReported(t *testing.T) {
	var mu sync.Mutex
	units := map[string]float64{}
	s := dynamofetcher.NewStage(found("u/a", "u/b"), dynamofetcher.StageConfig{Consumed: func(_ *stage.Run, table string, n float64) {
		mu.Lock()
		defer mu.Unlock()
		units[table] += n
	}})
	m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a", "b", "s"}})
	s.Do(t.Context(), m, b, newOutputs(t))
	if units["features"] != 2 {
		t.Errorf("units are %v", units)
	}
}

func TestUnitsAndLetters(t *testing.T) {
	s := dynamofetcher.NewStage(found(), dynamofetcher.StageConfig{})
	m, b := newMessage(t, threeLanes, work.Request{UserID: "u", EpochMS: 5, Families: []string{"a", "b"}, Direct: []string{"d"}})
	units, err := s.Units(m)
	if err != nil || len(units) != 1 || !slices.Equal(cellsOf(units[0]), cellsOf(b)) {
		t.Fatalf("units are %v, %v", units, err)
	}
	letter := s.Letter(m, units[0])
	if letter.Kind != stage.KindCell || letter.Count != 3 || letter.ContentType != "application/json" {
		t.Errorf("letter is %+v", letter)
	}
	m.Data = letter.Data
	if again, err := s.Units(m); err != nil || !slices.Equal(cellsOf(again[0]), cellsOf(b)) {
		t.Errorf("a letter gives the units %v, %v", again, err)
	}
	m.Data = []byte("{")
	if _, err := s.Units(m); failure.As(err).Code != failure.BadMessage || failure.As(err).Action != failure.GiveUp {
		t.Errorf("error is %v", err)
	}
}

func TestAFamilyThatTheRunDoesNotHave(t *testing.T) {
	m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"nope"}})
	verdicts := do(t, found(), m, b, newOutputs(t))
	if len(verdicts) != 1 || failure.As(verdicts[0].Err).Code != failure.BadMessage || verdicts[0].Rest != b {
		t.Errorf("verdicts are %v", verdicts)
	}
}

func TestManyRunsOneAfterTheOther(t *testing.T) {
	s := dynamofetcher.NewStage(found("u/a"), dynamofetcher.StageConfig{})
	for range 200 {
		m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a"}})
		out := newOutputs(t)
		if v := s.Do(t.Context(), m, b, out); len(v) > 0 {
			t.Fatalf("verdicts are %v", v)
		}
		out.wantHits("u@0/a")
	}
}
