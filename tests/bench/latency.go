package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// latencies are those of the backends that take their time: a slow family takes ten times
// as long as the fast ones together.
var latencies = stub.Config{Threads: 200, DynamoLatency: 5 * time.Millisecond, FastLatency: 20 * time.Millisecond, SlowLatency: 200 * time.Millisecond}

// latencyScenarios keep all threads of the service busy: none of the cells is in DynamoDB,
// so each sample makes one request for its fast families and one for each slow one.
var latencyScenarios = []scenario{
	{Name: "static", Layout: "attributes", Slow: 5, FastMax: 45, delays: latencies, inFlight: "fast: {max_families: %d, max_in_flight: 16}, slow: {max_in_flight: 200}"},
	{Name: "auto", Layout: "attributes", Slow: 5, FastMax: 45, delays: latencies, inFlight: "fast: {max_families: %d, max_in_flight: auto}, slow: {max_in_flight: auto}"},
}

// threadTime is how long a sample keeps a thread of the service busy.
func (s *scenario) threadTime() time.Duration {
	fast := families - s.Slow
	return time.Duration((fast+s.FastMax-1)/s.FastMax)*s.delays.FastLatency + time.Duration(s.Slow)*s.delays.SlowLatency
}

// bound is the most families a second that the service's threads allow.
func (s *scenario) bound() float64 {
	return float64(s.delays.Threads) * families / s.threadTime().Seconds()
}

// latencyReport is what was measured with backends that take their time.
type latencyReport struct {
	Machine string            `json:"machine"`
	Speed   calibrate.Figures `json:"speed"`
	Results []latencyResult   `json:"results"`
}

type latencyResult struct {
	result
	Bound   float64 `json:"bound_families_per_second"`
	Whole   float64 `json:"share_of_bound"`             // from the start of the process to its end
	Service float64 `json:"share_of_bound_while_asked"` // from the service's first request to its last answer
	Busy    float64 `json:"threads_busy"`               // of the threads, in that time
	Rest    float64 `json:"rest_seconds"`               // of the job: its start, the last flush, the merge
}

// latency measures jobs that wait for their backends.
func (p *programs) latency(ctx context.Context, o *options) error {
	rep := latencyReport{Machine: machine()}
	var err error
	if rep.Speed, err = speed(ctx); err != nil {
		return err
	}
	for _, s := range latencyScenarios {
		if o.only != "" && !strings.Contains(s.Name, o.only) {
			continue
		}
		r, err := p.measure(ctx, s, int(s.bound()*float64(o.seconds))/families)
		if err != nil {
			return fmt.Errorf("latency, %s: %w", s.Name, err)
		}
		r.Factor = rep.Speed.Factor()
		x := latencyResult{result: *r, Bound: s.bound()}
		x.shares()
		fmt.Fprintf(os.Stderr, "%-24s %8.0f families/s of %.0f  %.1f %%, %.1f %% while the service is asked\n", s.Name, x.PerSecond, x.Bound, 100*x.Whole, 100*x.Service)
		rep.Results = append(rep.Results, x)
	}
	return o.publish("latency", "Backends that take their time", rep.markdown(), rep)
}

func (x *latencyResult) shares() {
	asked := time.Duration(x.Stub.LastNS - x.Stub.FirstNS).Seconds()
	x.Whole = x.PerSecond / x.Bound
	x.Service = float64(x.Cells) / asked / x.Bound
	x.Rest = x.Wall - asked
	x.Busy = time.Duration(x.Stub.BusyNS).Seconds() / asked / float64(x.delays.Threads)
}

func (r *latencyReport) markdown() string {
	s := &latencyScenarios[0]
	var b strings.Builder
	fmt.Fprintf(&b, "%s. DynamoDB takes %v a call and has none of the cells; the feature service has %d threads and takes %v for the %d fast families of a sample in one request and %v for each of %d slow ones. A sample keeps threads busy for %v, so that they allow %d / %v × %d families = %.0f families/s. The bar is 95 %% of it.\n\n",
		r.Machine, s.delays.DynamoLatency, s.delays.Threads, s.delays.FastLatency, families-s.Slow, s.delays.SlowLatency, s.Slow, s.threadTime(), s.delays.Threads, s.threadTime(), families, s.bound())
	b.WriteString("| max_in_flight | samples | seconds | families/s | share of the bound, whole job | while the service was asked | threads busy then | rest of the job, s | CPU-s per 1M | speed factor |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		fmt.Fprintf(&b, "| %s | %d | %.1f | %.0f | %.1f %% | %.1f %% | %.1f %% | %.1f | %.1f | %.2f |\n", x.Name, x.Samples, x.Wall, x.PerSecond, 100*x.Whole, 100*x.Service, 100*x.Busy, x.Rest, x.CPUPerMillion, x.Factor)
	}
	b.WriteString("\nThe whole job is from the start of the process, broker included, to its end with `_SUCCESS`. A request that was sent again counts as work of the threads, not as families.\n")
	return b.String()
}
