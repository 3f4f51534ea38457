package main

import (
	"context"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/work"
)

// What the pipeline's fetcher has in hand: blocks of full calls.
const (
	fullBlock    = work.MaxSamplesPerBlock
	blocksAtOnce = 8 // as the service does
)

// measureBatching compares ways to put keys into calls.
func measureBatching(ctx context.Context, p *programs, tries int) (*table, error) {
	t := &table{
		Key: "b", Title: "DynamoDB: keys a call",
		Text:    fmt.Sprintf("All cells are in one table, whose partition key is the user; %d calls in flight each time. The three ways are the fetcher's own code (the same client of the SDK, parser and packed columns), in a process that does nothing else, and differ in what they are given to make calls of. The sandbox takes %v a call however many keys it has: a real call of 100 keys takes longer than one of one key.", callsInFlight, dynamoLatency),
		Columns: []column{{"samples", "samples", "%.0f"}, {"calls", "calls", "%.0f"}, {"keys", "keys a call", "%.0f"}, {"wall", "seconds", "%.1f"}, {"units", "read units a family", "%.2f"}, {"rate", "families/s", "%.0f"}, {"cpu", "CPU-s per 1M families", "%.1f"}, {"peak", "peak MiB", "%.0f"}},
		Ratio:   "rate",
		Rows: []row{
			{Name: "one key a call", Text: "a call for each family of each sample."},
			{Name: "one user a call", Text: fmt.Sprintf("a call for each sample: %d keys, all in the user's partition.", families)},
			{Name: "always full, across users", Text: "as the pipeline does it: blocks of 100 samples, calls of 100 keys, family by family; the keys of a call lie in 100 partitions, and an answer is columnar."},
		},
	}
	for range tries {
		for i, cfg := range []fetchConfig{
			{Samples: 100, Block: 1, Families: 1, AtOnce: callsInFlight},
			{Samples: 1_500, Block: 1, Families: families, AtOnce: callsInFlight},
			{Samples: 1_500, Block: fullBlock, Families: families, AtOnce: blocksAtOnce},
		} {
			b, err := startBackends(ctx, 1)
			if err != nil {
				return nil, err
			}
			cfg.Endpoint = b.at.DynamoDB
			var said fetched
			u, err := client(ctx, "fetch", &cfg, &said)
			b.finish()
			if err != nil {
				return nil, err
			}
			got := b.DynamoDB.Stats()
			if said.Cells != int64(cfg.Samples*families) || got.Keys != said.Cells {
				return nil, fmt.Errorf("%s: %d cells of %d keys, want %d", t.Rows[i].Name, said.Cells, got.Keys, cfg.Samples*families)
			}
			f := u.figures(cfg.Samples)
			f["calls"], f["keys"], f["units"] = float64(got.BatchGets), float64(got.Keys)/float64(got.BatchGets), got.ReadUnits/float64(said.Cells)
			t.add(i, f)
		}
	}
	return t, nil
}
