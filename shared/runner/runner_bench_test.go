package runner_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/testcpu"
	"github.com/fastfeaturefetch/fff/streams"
)

// BenchmarkMessages has a runner take all messages of a queue, whose units make a cell of 60
// doubles each, publish the cells and ack: gathered for as long as the lanes do, or for so
// short that the cells travel nearly by themselves. The server is in the process, and counts.
func BenchmarkMessages(b *testing.B) {
	const messages = 16
	for _, tc := range []struct {
		name   string
		linger time.Duration
		units  int // of each message
	}{
		{"gathered", 50 * time.Millisecond, 1000},
		{"at once", 1, 25},
	} {
		b.Run(tc.name, func(b *testing.B) {
			r, words, published := newRigOf(b), strings.Repeat("word ", tc.units), 0
			cfg := runner.Config{Workers: messages, Linger: tc.linger}
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				for range messages {
					r.send(words)
				}
				before := testcpu.Used(b)
				b.StartTimer()
				run := r.start(cfg, &fake{do: wideCells()})
				brokertest.Await(b, "all messages are done", func() bool { return run.Beat().Runs["demo"].Messages == messages })
				b.StopTimer()
				used += testcpu.Used(b) - before
				run.stop()
				published += r.takeCells()
				b.StartTimer()
			}
			units := float64(b.N * messages * tc.units)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/units, "ns/unit")
			b.ReportMetric(float64(used.Nanoseconds())/units, "cpu-ns/unit")
			b.ReportMetric(units/float64(published), "units/message")
		})
	}
}

// wideCells makes a cell of 60 doubles of each word, of a sample of its own.
func wideCells() func(context.Context, *stage.Message, string, stage.Outputs) verdicts {
	names := make([][]byte, 60)
	for i := range names {
		names[i] = fmt.Appendf(nil, "feature_%02d", i)
	}
	var samples atomic.Int64
	return func(ctx context.Context, _ *stage.Message, word string, out stage.Outputs) verdicts {
		err := out.Cells(ctx, packed.FeatureService, func(b *packed.Builder) error {
			sample := samples.Add(1)
			n := b.Sample(word, sample)
			k := b.Block("credit")
			k.Begin()
			for i, name := range names {
				k.Double(name, float64(sample)+float64(i)/64)
			}
			k.End(n)
			return nil
		})
		if err != nil {
			return failed(word, err)
		}
		return nil
	}
}

// takeCells empties the writer's queue and tells how many messages it had.
func (r *rig) takeCells() int {
	r.t.Helper()
	n := r.Count(streams.Writer, "fff.writer.demo")
	if _, err := streams.PurgeSubject(r.t.Context(), r.JS, streams.Writer, "fff.writer.demo"); err != nil {
		r.t.Fatal(err)
	}
	return n
}
