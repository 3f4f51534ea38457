// Command adaptive compares `max_in_flight: auto` with static limits: whole jobs of the
// real program on a feature service whose capacity it does not know.
//
//	go run ./bench/adaptive -out ../docs/benchmarks   # some twelve minutes
//	go run ./bench/adaptive -only queue               # one kind of service
//
// Three kinds of service are measured: one whose requests wait in a queue for a thread,
// one that refuses with 429 what is too much, and one that becomes slower the more it has to
// do. Each has a capacity of 40 requests at first, of 20 then and of 80 at the end. For each
// capacity static limits are swept, a job each; the job that finds its limit itself lives
// through all three. The three kinds are measured side by side. Answers and their latency are what the service sees.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
)

// kind is a kind of feature service.
type kind struct {
	Name    string `json:"name"`
	Text    string `json:"text"`
	service featureservice.Config
	set     func(s *featureservice.Server, capacity int)
}

// capacities are those of each service, one after the other.
var capacities = []int{40, 20, 80}

// A request takes 30 to 70 ms, so that a capacity of 40 is some 800 answers a second.
var latency = featureservice.Range{Min: 30 * time.Millisecond, Max: 70 * time.Millisecond}

var kinds = []kind{
	{
		Name: "queue", Text: "waits in a queue",
		service: featureservice.Config{Threads: capacities[0]},
		set:     (*featureservice.Server).SetThreads,
	},
	{
		Name: "refusing", Text: "refuses with 429 beyond a queue of 8, Retry-After 1 s",
		service: featureservice.Config{Threads: capacities[0], Queue: 8, Overflow: featureservice.TooManyRequests, RetryAfter: time.Second},
		set:     (*featureservice.Server).SetThreads,
	},
	{
		Name: "degrading", Text: "takes 1 + (n/capacity)² times as long",
		service: featureservice.Config{Threads: 10_000, Knee: capacities[0]},
		set:     (*featureservice.Server).SetKnee,
	},
}

// factors give the limits that are swept, in capacities.
var factors = []float64{0.75, 1, 1.2, 1.5, 2, 3}

// Times of a job.
const (
	warm    = 3 * time.Second   // before a static limit is measured
	measure = 8 * time.Second   // of it
	stay    = 150 * time.Second // at each capacity, of the job that finds its limit itself
	last    = 50 * time.Second  // of them, that are measured
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := flag.String("out", "", "directory for adaptive.json, adaptive.md and adaptive.svg; none when left out")
	only := flag.String("only", "", "the kinds of service whose names contain this")
	flag.Parse()
	if err := run(ctx, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "adaptive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, only string) error {
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()
	measured := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return !strings.Contains(k.Name, only) })
	all := make([]result, len(measured))
	g, ctx := errgroup.WithContext(ctx) // side by side: the services have more to do than the machine
	for i := range measured {
		g.Go(func() error {
			r, err := p.compare(ctx, &measured[i])
			if err != nil {
				return fmt.Errorf("%s: %w", measured[i].Name, err)
			}
			all[i] = *r
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	table := markdown(all)
	fmt.Print("\n", table)
	if out == "" {
		return nil
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, data := range map[string][]byte{"adaptive.json": append(data, '\n'), "adaptive.md": []byte("# Limits that are found\n\n" + table)} {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return err
		}
	}
	return plotAll(filepath.Join(out, "adaptive.svg"), all)
}

// result is what was measured on one kind of service.
type result struct {
	kind
	Phases  []phase  `json:"phases"`
	Seconds []second `json:"seconds"` // of the job that finds its limit itself
}

// phase is the time at one capacity.
type phase struct {
	Capacity int             `json:"capacity"`
	Static   map[int]figures `json:"static"` // by limit
	Best     int             `json:"best"`   // the lowest limit that gives nearly the most answers
	Adaptive figures         `json:"adaptive"`
}

func (p *programs) compare(ctx context.Context, k *kind) (*result, error) {
	r := &result{kind: *k}
	for _, capacity := range capacities {
		ph := phase{Capacity: capacity, Static: map[int]figures{}}
		for _, f := range factors {
			limit := int(f * float64(capacity))
			j, err := p.start(k, capacity, fmt.Sprint(limit))
			if err != nil {
				return nil, err
			}
			seconds, err := j.record(ctx, warm+measure)
			j.end()
			if err != nil {
				return nil, err
			}
			got := sum(seconds[int(warm/time.Second):])
			ph.Static[limit] = got
			fmt.Fprintf(os.Stderr, "%-10s capacity %3d  limit %4d  %6.0f/s  p95 %4.0f ms  %5.0f refused/s\n", k.Name, capacity, limit, got.PerSecond, got.P95, got.Refused)
		}
		ph.Best = best(ph.Static)
		r.Phases = append(r.Phases, ph)
	}
	j, err := p.start(k, capacities[0], "auto")
	if err != nil {
		return nil, err
	}
	defer j.end()
	for i, capacity := range capacities {
		k.set(j.service, capacity)
		seconds, err := j.record(ctx, stay)
		if err != nil {
			return nil, err
		}
		r.Seconds = append(r.Seconds, seconds...)
		got := sum(seconds[len(seconds)-int(last/time.Second):])
		r.Phases[i].Adaptive = got
		fmt.Fprintf(os.Stderr, "%-10s capacity %3d  auto        %6.0f/s  p95 %4.0f ms  %5.0f refused/s\n", k.Name, capacity, got.PerSecond, got.P95, got.Refused)
	}
	return r, nil
}

// best gives the lowest limit within 1 % of the most answers.
func best(static map[int]figures) int {
	most := 0.0
	for _, f := range static {
		most = max(most, f.PerSecond)
	}
	best := 0
	for limit, f := range static {
		if f.PerSecond >= 0.99*most && (best == 0 || limit < best) {
			best = limit
		}
	}
	return best
}

func markdown(all []result) string {
	var b strings.Builder
	b.WriteString("`go run ./bench/adaptive` in tests/. ")
	fmt.Fprintf(&b, "A request takes %v to %v. A static limit is measured for %v after %v; the limit that is found for the last %v of %v at each capacity, in one job. The best static limit is the lowest within 1 %% of the most answers of %d limits from %g to %g times the capacity.\n\n",
		latency.Min, latency.Max, measure, warm, last, stay, len(factors), factors[0], factors[len(factors)-1])
	b.WriteString("| service | capacity | best static limit | answers/s | p95 | found: in flight | answers/s | p95 | answers | p95 |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		for _, p := range r.Phases {
			s, a := p.Static[p.Best], p.Adaptive
			fmt.Fprintf(&b, "| %s | %d | %d | %.0f | %.0f ms | %.0f | %.0f | %.0f ms | %.0f %% | %.0f %% |\n",
				r.Text, p.Capacity, p.Best, s.PerSecond, s.P95, a.InFlight, a.PerSecond, a.P95, 100*a.PerSecond/s.PerSecond, 100*a.P95/s.P95)
		}
	}
	b.WriteString("\nThe last two columns compare with the best static limit.\n\n![Answers a second over time](adaptive.svg)\n")
	return b.String()
}
