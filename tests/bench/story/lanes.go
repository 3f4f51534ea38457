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
	watched    time.Duration // 0 = to its end
}

// Samples of a job. A limit that is found is found while the job runs, so that one has more
// than it comes to while it is watched.
const (
	laneSamples  = 700
	foundSamples = 20 * laneSamples
	foundFor     = 40 * time.Second
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
		name: "two lanes, limits found", samples: foundSamples, watched: foundFor,
		text: fmt.Sprintf("the same with `max_in_flight: auto` for both: nobody knows the service. It is watched for %v, because limits are found while it runs.", foundFor),
		file: runFile{fast: limits("auto", fastTimeout) + ", max_families: 40", slow: limits("auto", slowTimeout)},
	},
	{
		name: "all found", samples: foundSamples, watched: foundFor,
		text: "and with `lane: auto` for all: nobody knows the families either.",
		file: runFile{lane: allLanes("auto"), fast: limits("auto", fastTimeout) + ", max_families: 40", slow: limits("auto", slowTimeout)},
	},
}

// measureLanes compares ways to ask the feature service.
func measureLanes(ctx context.Context, p *programs, tries int) (*table, error) {
	t := &table{
		Key: "c", Title: "The feature service: families a request",
		Text: fmt.Sprintf("Nothing is cached: all comes from the feature service, through `fff run`; the ways differ in the run file alone. Utilisation is the share of its threads' time in which they were busy, from the first request to the last answer; settled, in the time from %.0f %% to %.0f %% of that. A thread that nobody waits for any more is free at once, which is kind to requests that time out. Thread time is what the service worked for a sample. The chart is of the last try.", 100*settledFrom, 100*settledTo),
		Columns: []column{
			{"samples", "samples", "%.0f"}, {"requests", "requests a sample", "%.1f"}, {"thread", "thread-ms a sample", "%.0f"}, {"use", "utilisation %", "%.0f"}, {"settled", "settled %", "%.0f"},
			{"sample", "ms a sample", "%.1f"}, {"settledRate", "families/s, settled", "%.0f"}, {"rate", "families/s, whole job", "%.0f"}, {"failed", "failed cells", "%.0f"}, {"cpu", "CPU-s per 1M families", "%.1f"}, {"peak", "peak MiB", "%.0f"},
		},
		Ratio: "settledRate",
	}
	for _, w := range ways {
		t.Rows = append(t.Rows, row{Name: w.name, Text: w.text})
	}
	for range tries {
		t.curves = nil // those of the last are drawn
		for i, w := range ways {
			f, c, err := p.ask(ctx, &w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			t.add(i, f)
			t.curves = append(t.curves, c)
		}
	}
	return t, nil
}

// The part of the time in which a job is settled: its start and its last requests are not.
const settledFrom, settledTo = 0.5, 0.8

// ask runs the job of a way.
func (p *programs) ask(ctx context.Context, w *way) (figures, curve, error) {
	b, err := startBackends(ctx, 0)
	if err != nil {
		return nil, curve{}, err
	}
	file := w.file
	file.url = b.at.FeatureService
	if w.watched > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.watched)
		defer cancel()
	}
	u, err := p.wholeJob(ctx, b, &file, w.samples)
	b.finish()
	if err != nil {
		return nil, curve{}, err
	}
	got := b.FeatureService.Stats()
	n := float64(got.Families) / families // samples, of those families that were answered
	seen := b.worked()
	f := u.figures(int(n))
	f["requests"], f["thread"] = float64(got.Requests)/n, got.BusyTime.Seconds()*1e3/n
	f["use"], f["settled"] = 100*utilisation(seen, threads, 0, 1), 100*utilisation(seen, threads, settledFrom, settledTo)
	f["settledRate"] = families * f["settled"] / 100 * threads / (f["thread"] / 1e3)
	if w.watched == 0 {
		f["failed"] = failedCells(u.stdout)
	}
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
