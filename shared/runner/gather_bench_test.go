package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/testcpu"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// gatherUnit hands on what a unit has made.
type gatherUnit func(ctx context.Context, o *outputs, unit int) error

// BenchmarkGather gathers what the units of messages make into batches, which are dropped when
// they are full: no broker is there. 16 messages of 500 units each are worked on at a time.
func BenchmarkGather(b *testing.B) {
	const messages, units = 16, 500
	for _, tc := range []struct {
		name string
		unit gatherUnit
	}{
		{"cells of a lookup", cellsOf(packed.DynamoDB, 1)},
		{"cells of a call, ten families", cellsOf(packed.FeatureService, 10)},
		{"requests", request},
	} {
		b.Run(tc.name, func(b *testing.B) {
			dropped := errors.New("the benchmark publishes nothing")
			cfg := &Config{Gate: func(context.Context, *stage.Run) error { return dropped }}
			cfg.setDefaults()
			g := newGatherer(b.Context(), cfg, &stage.Run{ID: "demo"}, nil, newStats(), room.New(DefaultOutputs), func() bool { return false })
			b.ReportAllocs()
			before := testcpu.Used(b)
			for b.Loop() {
				var all sync.WaitGroup
				for range messages {
					all.Go(func() {
						o := &outputs{g: g, t: newTracker()}
						for unit := range units {
							if err := tc.unit(b.Context(), o, unit); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			}
			done := float64(b.N * messages * units)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/done, "ns/unit")
			b.ReportMetric(float64((testcpu.Used(b)-before).Nanoseconds())/done, "cpu-ns/unit")
		})
	}
}

// cellsOf makes a cell of 60 doubles of each of some families.
func cellsOf(src packed.Source, families int) gatherUnit {
	ids, names := make([]string, families), make([][]byte, 60)
	for i := range ids {
		ids[i] = fmt.Sprintf("family_%02d", i)
	}
	for i := range names {
		names[i] = fmt.Appendf(nil, "feature_%02d", i)
	}
	return func(ctx context.Context, o *outputs, unit int) error {
		return o.Cells(ctx, src, func(b *packed.Builder) error {
			n := b.Sample("user", int64(unit))
			for _, id := range ids {
				k := b.Block(id)
				k.Begin()
				for i, name := range names {
					k.Double(name, float64(unit)+float64(i)/64)
				}
				k.End(n)
			}
			return nil
		})
	}
}

func request(ctx context.Context, o *outputs, unit int) error {
	return o.Request(ctx, stage.FSFast, work.Request{UserID: "user", EpochMS: int64(unit), Families: []string{"a", "b"}})
}
