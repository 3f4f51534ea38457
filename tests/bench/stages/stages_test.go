package stages_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/fastfeaturefetch/fff/tests/bench/stages"
)

// profileOf makes a profile with a sample for each stack, its innermost function first.
func profileOf(t *testing.T, stacks ...stack) *bytes.Buffer {
	t.Helper()
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	for _, s := range stacks {
		sample := &profile.Sample{Value: []int64{1, s.ns}, Label: s.label}
		for _, name := range s.functions {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
			l := &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
			p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			sample.Location = append(sample.Location, l)
		}
		p.Sample = append(p.Sample, sample)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

type stack struct {
	ns        int64
	label     map[string][]string
	functions []string
}

func TestShares(t *testing.T) {
	writer := map[string][]string{"service": {"fff-writer"}}
	shares, err := stages.Shares(profileOf(t,
		stack{30, writer, []string{"runtime.memmove", "github.com/parquet-go/parquet-go.(*Writer).Write", "runtime.goexit"}},
		stack{10, writer, []string{"syscall.Write", "github.com/nats-io/nats-server/v2/server.(*client).flushOutbound", "runtime.goexit"}}, // started by the writer's connection
		stack{20, nil, []string{"syscall.Read", "github.com/fastfeaturefetch/fff/services/dynamo-fetcher.(*Stage).Do", "runtime.goexit"}},
		stack{15, nil, []string{"runtime.scanobject", "runtime.gcDrain", "runtime.gcBgMarkWorker"}},
		stack{5, nil, []string{"internal/runtime/syscall.EpollWait", "runtime.netpoll", "runtime.mcall"}},
		stack{20, nil, []string{"runtime.mallocgc", "github.com/fastfeaturefetch/fff/fetch.Open", "github.com/fastfeaturefetch/fff/services/fff.Main", "main.main", "runtime.main"}},
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"fff-writer": 0.3, stages.Broker: 0.1, "fff-dynamo-fetcher": 0.2, stages.Runtime: 0.2, stages.Other: 0.2,
	} {
		if got := shares[name]; got != want {
			t.Errorf("%s has a share of %v, want %v", name, got, want)
		}
	}
}

func TestAProfileOfNothingIsNone(t *testing.T) {
	if shares, err := stages.Shares(profileOf(t)); err == nil || !strings.Contains(err.Error(), "CPU profile") {
		t.Errorf("an empty profile gives %v", shares)
	}
	if _, err := stages.Shares(strings.NewReader("text")); err == nil || !strings.Contains(err.Error(), "CPU profile") {
		t.Errorf("text is read as a profile: %v", err)
	}
}
