package main

import (
	"context"
	"fmt"
	"os"
)

// measureSerial compares the serial original with a whole job of the system.
func measureSerial(ctx context.Context, p *programs, tries int) (*table, error) {
	const hits, few, many = 0.8, 8, 1_500
	t := &table{
		Key: "a", Title: "The serial original against the whole system",
		Text:    fmt.Sprintf("%.0f %% of the cells are in DynamoDB, the rest comes from the feature service; time is that of the whole process, from its start to its end, and of the system to the proved dataset.", 100*hits),
		Columns: []column{{"samples", "samples", "%.0f"}, {"rate", "families/s", "%.0f"}, {"sample", "ms a sample", "%.2f"}, {"calls", "DynamoDB calls a sample", "%.1f"}, {"requests", "requests a sample", "%.1f"}, {"cpu", "CPU-s per 1M families", "%.1f"}, {"peak", "peak MiB", "%.0f"}},
		Ratio:   "rate",
		Rows: []row{
			{Name: "serial original (baseline)", Text: fmt.Sprintf("written for this table: a sample after the other; %d families a request; a new client, and so a new connection, for each request to DynamoDB and to the feature service; rows are appended to a file a family, as JSON and without a sync, before the next request.", groupSize)},
			{Name: "fff run", Text: fmt.Sprintf("all-in-one: embedded broker that syncs each message, 64 DynamoDB calls, %d requests of the fast lane and %d of the slow one in flight; Parquet, committed and reconciled.", fastInFlight, threads)},
		},
	}
	for range tries {
		for i, measure := range []func(context.Context, *programs, *backends) (*usage, int, error){
			func(ctx context.Context, p *programs, b *backends) (*usage, int, error) {
				dir, err := os.MkdirTemp(p.dir, "serial-")
				if err != nil {
					return nil, 0, err
				}
				u, err := client(ctx, "serial", &serialConfig{b.at.DynamoDB, b.at.FeatureService, few, dir}, &fetched{})
				return u, few, err
			},
			func(ctx context.Context, p *programs, b *backends) (*usage, int, error) {
				u, err := p.wholeJob(ctx, b, &runFile{cached: true, url: b.at.FeatureService, fast: limits(fastInFlight, fastTimeout), slow: limits(threads, slowTimeout)}, many)
				return u, many, err
			},
		} {
			b, err := startBackends(ctx, hits)
			if err != nil {
				return nil, err
			}
			u, samples, err := measure(ctx, p, b)
			b.finish()
			if err != nil {
				return nil, err
			}
			f := u.figures(samples)
			f["calls"] = float64(b.DynamoDB.Stats().BatchGets) / float64(samples)
			f["requests"] = float64(b.FeatureService.Stats().Requests) / float64(samples)
			t.add(i, f)
		}
	}
	return t, nil
}

// wholeJob runs fff on the sandbox.
func (p *programs) wholeJob(ctx context.Context, b *backends, r *runFile, samples int) (*usage, error) {
	j, err := p.newJob(r, samples)
	if err != nil {
		return nil, err
	}
	defer j.remove()
	return p.fff(ctx, j, b.env())
}

// figures are those that all tables have.
func (u *usage) figures(samples int) figures {
	cells := float64(samples * families)
	return figures{
		"samples": float64(samples), "wall": u.wall, "rate": cells / u.wall, "sample": 1e3 * u.wall / float64(samples),
		"cpu": u.cpu / cells * 1e6, "cpuSeconds": u.cpu, "peak": u.peak,
	}
}

// add adds a try and says so.
func (t *table) add(i int, f figures) {
	t.Rows[i].Tries = append(t.Rows[i].Tries, f)
	fmt.Fprintf(os.Stderr, "%s  %-32s %6.1f s  %8.0f families/s  %6.1f CPU-s  %5.0f MiB\n", t.Key, t.Rows[i].Name, f["wall"], f["rate"], f["cpuSeconds"], f["peak"])
}
