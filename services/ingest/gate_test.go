package ingest

import (
	"context"
	"errors"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

func TestGateAsksOnceForManyBlocks(t *testing.T) {
	t.Parallel()
	lags, asked, flushed := map[stage.Name]uint64{}, 0, uint64(0)
	cfg := Config{Quota: 40, WriterQuota: 640}
	drain := func(stage.Name) {}
	count := func(_ context.Context, of stage.Name) (uint64, error) {
		asked++
		if asked%7 == 0 {
			return 0, errors.New("the broker is away")
		}
		n := lags[of]
		drain(of)
		return n, nil
	}
	flush := func(queued uint64) { flushed, lags[stage.Writer] = queued, 0 }
	g := newGate()
	pass := func() {
		t.Helper()
		if err := g.pass(t.Context(), cfg.queues(), count, flush); err != nil {
			t.Fatal(err)
		}
		lags[stage.Dynamo]++
		if lags[stage.Dynamo] > uint64(cfg.Quota) {
			t.Fatalf("%d blocks are in the queue", lags[stage.Dynamo])
		}
	}
	lags[stage.FSSlow] = 8 // leaves room for what two blocks come to
	pass()
	before := asked
	pass()
	if asked != before {
		t.Error("the second block of two asked again")
	}
	lags[stage.FSSlow] = 0
	for range 38 {
		pass()
	}
	drain = func(of stage.Name) {
		if of == stage.Dynamo {
			lags[of]--
		}
	}
	pass()
	if lags[stage.Dynamo] > 31 {
		t.Errorf("a block went through when %d were in a queue that had been full", lags[stage.Dynamo]-1)
	}
	g.credit, lags[stage.Writer] = 0, 640
	pass()
	if flushed != 640 {
		t.Errorf("the writers were asked to stage what they have of %d messages, want 640", flushed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	g.credit, lags[stage.Writer] = 0, 700
	if err := g.pass(ended, cfg.queues(), count, func(uint64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a gate that is full ends with %v", err)
	}
}
