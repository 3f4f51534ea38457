package runner

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// What a linger brought together travels when it is much, when nothing more is to come, and
// at the latest after five lingers.
func TestFewOutputsLingerOnWhileMoreAreToCome(t *testing.T) {
	for name, tc := range map[string]struct {
		requests int
		more     bool
		lingers  time.Duration
	}{
		"nothing more is to come": {1, false, 1},
		"few, and more to come":   {1, true, maxLingers},
		"many":                    {work.MaxRequestsPerLane / 2, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const linger = 50 * time.Millisecond
				began, waited := time.Now(), time.Duration(0)
				cfg := &Config{Linger: linger, Gate: func(context.Context, *stage.Run) error {
					waited = time.Since(began)
					return errors.New("the test publishes nothing")
				}}
				g := newGatherer(t.Context(), cfg, &stage.Run{ID: "demo"}, nil, newStats(), room.New(DefaultOutputs), func() bool { return tc.more })
				o := &outputs{g: g, t: newTracker()}
				for i := range tc.requests {
					if err := o.Request(t.Context(), stage.FSFast, work.Request{UserID: strconv.Itoa(i), Families: []string{"a"}}); err != nil {
						t.Fatal(err)
					}
				}
				if err := o.t.wait(t.Context()); err == nil {
					t.Error("published?")
				}
				if waited != tc.lingers*linger {
					t.Errorf("the outputs waited %v, want %v", waited, tc.lingers*linger)
				}
			})
		})
	}
}

// When a message is done while its outputs linger on, they go at the end of that linger.
func TestOutputsGoWhenTheLastMessageIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const linger = 50 * time.Millisecond
		began, waited := time.Now(), time.Duration(0)
		var more atomic.Bool
		more.Store(true)
		cfg := &Config{Linger: linger, Gate: func(context.Context, *stage.Run) error {
			waited = time.Since(began)
			return errors.New("the test publishes nothing")
		}}
		g := newGatherer(t.Context(), cfg, &stage.Run{ID: "demo"}, nil, newStats(), room.New(DefaultOutputs), more.Load)
		o := &outputs{g: g, t: newTracker()}
		err := o.Cells(t.Context(), packed.DynamoDB, func(b *packed.Builder) error {
			n := b.Sample("u1", 1)
			k := b.Block("a")
			k.Begin()
			k.Int64([]byte("v"), 7)
			k.End(n)
			time.Sleep(linger + linger/2) // of the test's own clock: the first linger ends while the batch is taken
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		more.Store(false)
		if err := o.t.wait(t.Context()); err == nil {
			t.Error("published?")
		}
		if waited != 2*linger+linger/2 {
			t.Errorf("the outputs waited %v", waited)
		}
	})
}

// Units that are done at the same time share as many messages as there are processors.
func TestManyUnitsShareFewMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var published atomic.Int64
		cfg := &Config{Linger: 50 * time.Millisecond, Gate: func(context.Context, *stage.Run) error {
			published.Add(1)
			return errors.New("the test publishes nothing")
		}}
		g := newGatherer(t.Context(), cfg, &stage.Run{ID: "demo"}, nil, newStats(), room.New(DefaultOutputs), func() bool { return false })
		const units = 500
		for unit := range units {
			go func() {
				o := &outputs{g: g, t: newTracker()}
				_ = o.Cells(t.Context(), packed.FeatureService, func(b *packed.Builder) error {
					k := b.Block("a")
					k.Begin()
					k.Int64([]byte("v"), int64(unit))
					k.End(b.Sample(strconv.Itoa(unit), 1))
					time.Sleep(50 * time.Microsecond) // of the test's own clock
					return nil
				})
			}()
		}
		synctest.Wait()
		time.Sleep(time.Second) // of the test's own clock: all lingers are over
		synctest.Wait()
		if n := published.Load(); n < 1 || n > int64(runtime.GOMAXPROCS(0)) {
			t.Errorf("%d units went in %d messages, want at most one for each of %d processors", units, n, runtime.GOMAXPROCS(0))
		}
	})
}
