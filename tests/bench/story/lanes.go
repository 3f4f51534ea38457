package main

import (
	"context"
	"fmt"
	"time"

	"gonum.org/v1/plot/plotter"
)

// fastInFlight is what the fast lane takes of the threads' time, and some more.
const fastInFlight = 20

// limits gives a lane's limits of a run file.
func limits(inFlight any, timeout time.Duration) string {
	return fmt.Sprintf("max_in_flight: %v, timeout: %v", inFlight, timeout)
}

// way is how families are put into requests: a run file.
type way struct {
	name, text string
	file       runFile
	samples    int
}

// Samples of a job. A limit that is found is found while the job runs, so it has more.
const (
	laneSamples  = 700
	foundSamples = 5 * laneSamples
)

var ways = []way{
	{
		name: "all families in one request", samples: laneSamples,
		text: fmt.Sprintf("`lane: fast` for all, `max_families: %d`, `max_in_flight: %d`. The slow families make the request slow, some requests are over the time-out of the lane, and are asked again in halves.", families, threads),
		file: runFile{lane: allLanes("fast"), fast: limits(threads, fastTimeout) + fmt.Sprintf(", max_families: %d", families), slow: limits(1, slowTimeout)},
	},
	{
		name: "each family in its own", samples: laneSamples,
		text: fmt.Sprintf("`lane: slow` for all, `max_in_flight: %d`. The service reads the user's data %d times.", threads, families),
		file: runFile{lane: allLanes("slow"), fast: limits(1, fastTimeout), slow: limits(threads, slowTimeout)},
	},
	{
		name: "two lanes", samples: laneSamples,
		text: fmt.Sprintf("the fast families of a user in one request, each slow one in its own; `max_in_flight: %d` and `%d`, as somebody sets it who knows the service.", fastInFlight, threads),
		file: runFile{fast: limits(fastInFlight, fastTimeout) + ", max_families: 40", slow: limits(threads, slowTimeout)},
	},
	{
		name: "two lanes, found", samples: foundSamples,
		text: "`lane: auto` and `max_in_flight: auto`: nothing is known of the families or of the service. The job is longer, since both are found while it runs: look at the settled utilisation.",
		file: runFile{lane: allLanes("auto"), fast: limits("auto", fastTimeout) + ", max_families: 40", slow: limits("auto", slowTimeout)},
	},
}

// measureLanes compares ways to ask the feature service.
func measureLanes(ctx context.Context, p *programs, tries int) (*table, error) {
	t := &table{
		Key: "c", Title: "The feature service: families a request",
		Text: "Nothing is cached: all comes from the feature service, through `fff run`; the ways differ in the run file alone. Utilisation is the share of its threads' time in which they were busy, from the first request to the last answer; settled, in the time from 60 % to 90 % of that. A thread that nobody waits for any more is free at once, which is kind to requests that time out. Thread time is what the service worked for a sample.",
		Columns: []column{
			{"samples", "samples", "%.0f"}, {"requests", "requests a sample", "%.1f"}, {"thread", "thread-ms a sample", "%.0f"}, {"use", "utilisation %", "%.0f"}, {"settled", "settled %", "%.0f"},
			{"sample", "ms a sample", "%.1f"}, {"settledRate", "families/s, settled", "%.0f"}, {"rate", "families/s, whole job", "%.0f"}, {"failed", "failed cells", "%.0f"}, {"cpu", "CPU-s per 1M families", "%.1f"}, {"peak", "peak MiB", "%.0f"},
		},
		Ratio: "settledRate",
	}
	for _, w := range ways {
		t.Rows = append(t.Rows, row{Name: w.name, Text: w.text})
	}
	for try := range tries {
		for i, w := range ways {
			if w.samples > laneSamples && try > 0 {
				continue // once is long enough
			}
			f, c, err := p.ask(ctx, &w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			t.add(i, f)
			if try == 0 {
				t.curves = append(t.curves, c)
			}
		}
	}
	return t, nil
}

// ask runs the job of a way.
func (p *programs) ask(ctx context.Context, w *way) (figures, curve, error) {
	b, err := startBackends(ctx, 0)
	if err != nil {
		return nil, curve{}, err
	}
	file := w.file
	file.url = b.at.FeatureService
	u, err := p.wholeJob(ctx, b, &file, w.samples)
	b.finish()
	if err != nil {
		return nil, curve{}, err
	}
	got, n := b.FeatureService.Stats(), float64(w.samples)
	seen := b.worked()
	f := u.figures(w.samples)
	f["requests"], f["thread"] = float64(got.Requests)/n, got.BusyTime.Seconds()*1e3/n
	f["use"], f["settled"] = 100*utilisation(seen, threads, 0, 1), 100*utilisation(seen, threads, 0.6, 0.9)
	f["settledRate"] = families * f["settled"] / 100 * threads / (f["thread"] / 1e3)
	f["failed"] = failedCells(u.stdout)
	f["queued"] = float64(got.MaxQueued)
	return f, curve{w.name, busy(seen)}, nil
}

// busy gives the busy threads over the seconds, each point the mean of a quarter of one.
func busy(seen []moment) plotter.XYs {
	const points = int(250 * time.Millisecond / lookEvery)
	var xy plotter.XYs
	for i := 0; i+points <= len(seen); i += points {
		xy = append(xy, plotter.XY{
			X: seen[i].at.Sub(seen[0].at).Seconds(),
			Y: 100 * utilisation(seen[i:i+points], threads, 0, 1),
		})
	}
	return xy
}
