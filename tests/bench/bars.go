package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
)

// fullSpeed is how many times slower than the reference machine one may be that nobody else
// uses at the moment.
const fullSpeed = 1.4

// barsReport compares the scenarios that have a bar with it, by jobs that had the machine for
// themselves.
type barsReport struct {
	Machine string       `json:"machine"`
	Within  float64      `json:"speed_factor_at_most"`
	Speed   speeds       `json:"speed"` // before and after the jobs that count
	Results []barsResult `json:"results"`
}

type barsResult struct {
	result              // the median of the jobs that count
	Jobs      int       `json:"jobs"`
	Hindered  []float64 `json:"hindered_cpu_seconds_per_million_families"` // of the jobs that do not
	Uncounted bool      `json:"uncounted"`                                 // too few counted in time
}

// bars measures the scenarios that have a bar.
func (p *programs) bars(ctx context.Context, o *options) error {
	rep := barsReport{Machine: machine(), Within: fullSpeed}
	until := time.Now().Add(o.patience)
	for _, s := range scenarios {
		if s.Bar == 0 || !strings.Contains(s.Name, o.only) {
			continue
		}
		u := unhindered{
			speed: func() (calibrate.Figures, error) { return speed(ctx) },
			job:   func() (*result, error) { return p.measure(ctx, s, o.samples) },
			wait:  func() error { return pause(ctx, 3*time.Second) },
			until: until,
		}
		if err := u.run(o.repeat); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		rep.Speed = append(rep.Speed, u.speeds...)
		rep.Results = append(rep.Results, u.result(s, o.repeat))
	}
	return o.publish("bars", "Against the bars, at the machine's full speed", rep.markdown(), rep)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unhindered runs a job until enough of its runs had the machine for themselves.
type unhindered struct {
	speed func() (calibrate.Figures, error)
	job   func() (*result, error)
	wait  func() error
	until time.Time

	taken    []result
	hindered []float64 // CPU-seconds per 1M families
	speeds   speeds    // before and after those that are taken
}

func (u *unhindered) run(jobs int) error {
	before, err := u.speed()
	for ; err == nil && len(u.taken) < jobs && time.Now().Before(u.until); before, err = u.next(before) {
	}
	return err
}

// next runs the job, if the machine is at full speed now, and gives how fast it was last.
func (u *unhindered) next(before calibrate.Figures) (calibrate.Figures, error) {
	if before.Factor() > fullSpeed {
		if err := u.wait(); err != nil {
			return nil, err
		}
		return u.speed()
	}
	r, err := u.job()
	if err != nil {
		return nil, err
	}
	after, err := u.speed()
	if err != nil {
		return nil, err
	}
	note := ""
	if after.Factor() > fullSpeed {
		u.hindered = append(u.hindered, r.CPUPerMillion)
		note = ", which does not count"
	} else {
		u.taken = append(u.taken, *r)
		u.speeds = append(u.speeds, before, after)
	}
	fmt.Fprintf(os.Stderr, "%-24s %8.0f families/s  %6.1f CPU-s per 1M families  speed factor %.2f, then %.2f%s\n", r.Name, r.PerSecond, r.CPUPerMillion, before.Factor(), after.Factor(), note)
	return after, nil
}

// result gives the median of the jobs that are taken.
func (u *unhindered) result(s scenario, jobs int) barsResult {
	r := barsResult{result: result{scenario: s}, Jobs: len(u.taken), Hindered: u.hindered, Uncounted: len(u.taken) < jobs}
	if !r.Uncounted {
		r.result = median(u.taken)
	}
	return r
}

// markdown gives the tables.
func (r *barsReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %d families of %d features; a family is a cell. Nothing in the table of scenarios is computed for another machine.\n\n", r.Machine, families, features)
	fmt.Fprintf(&b, "The machine is shared, and the same work takes up to twice the CPU time while others use it. A job counts if the machine was at most %.1f times as slow as the reference machine just before and just after it. The median of those that count is given, and how many do not, with what the cheapest and the dearest of them took.\n\n", r.Within)
	b.WriteString("| scenario | samples | families/s | bar | CPU-s per 1M | bar | jobs | not counted |\n|---|---|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		if x.Uncounted {
			fmt.Fprintf(&b, "| %s | | not measured | %s | not measured | %s | %d | %s |\n", x.Name, given(x.BarRate), given(x.Bar), x.Jobs, spread(x.Hindered))
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %.0f | %s | %.1f | %s | %d | %s |\n", x.Name, x.Samples, x.PerSecond, given(x.BarRate), x.CPUPerMillion, given(x.Bar), x.Jobs, spread(x.Hindered))
	}
	if len(r.Speed) > 0 {
		b.WriteString("\n## How fast the machine was before and after the jobs that count\n\n" + speedTable(r.Speed...))
	}
	return b.String()
}

// spread tells how many there are, with the least and the most.
func spread(all []float64) string {
	if len(all) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %.1f to %.1f", len(all), slices.Min(all), slices.Max(all))
}
