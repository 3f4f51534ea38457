package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/shared/stage"
)

func TestGateAsksOnceForManyBlocks(t *testing.T) {
	t.Parallel()
	lags, asked := map[stage.Name]uint64{}, 0
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
	flush := func(uint64) { t.Error("the writers were asked to stage what they have") }
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
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	g.credit, lags[stage.Writer] = 0, 700
	if err := g.pass(ended, cfg.queues(), count, func(uint64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a gate that is full ends with %v", err)
	}
}

// While the writers' queue is full they are asked to stage what they have once it stands still:
// asked while it becomes shorter, they would stage ever smaller parts.
func TestGateAsksWritersOnceTheyStandStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Quota: 40, WriterQuota: 100}
		queued, began, stuck := uint64(200), time.Now(), 5*time.Second
		count := func(_ context.Context, of stage.Name) (uint64, error) {
			if of != stage.Writer {
				return 0, nil
			}
			if time.Since(began) < stuck {
				queued = min(queued, 200-uint64(time.Since(began)/(900*time.Millisecond)))
			}
			return queued, nil
		}
		flush := func(length uint64) {
			if waited := time.Since(began); waited < stuck || length != queued {
				t.Errorf("the writers were asked after %v, of %d messages where %d are queued", waited, length, queued)
			}
			queued = 0
		}
		if err := newGate().pass(t.Context(), cfg.queues(), count, flush); err != nil {
			t.Fatal(err)
		}
		if queued != 0 {
			t.Error("the writers were not asked to stage what they have")
		}
	})
}
