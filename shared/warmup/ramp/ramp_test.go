package ramp_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/shared/warmup/ramp"
)

// pause takes the time of an answer.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rates []float64
		began := time.Now()
		result, err := ramp.Run(t.Context(), ramp.Config{
			RequestsPerSecond: 50, MaxDuration: 10 * time.Minute,
			Send:     func(ctx context.Context, _ int) error { return pause(ctx, 100*time.Millisecond) },
			Progress: func(w ramp.Window) { rates = append(rates, w.Rate) },
		})
		if err != nil || !result.Settled || result.Last.Rate != 50 || result.Last.P95 != 100*time.Millisecond {
			t.Errorf("%s, %v", result, err)
		}
		if rates[0] != 5 || rates[1] != 7.5 || time.Since(began) > 2*time.Minute {
			t.Errorf("the rates were %v, for %v", rates, time.Since(began))
		}
	})
}

// TestWaitsForAColdService: while answers get slower or fail the rate does not grow.
func TestWaitsForAColdService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warm := time.Now().Add(time.Minute)
		fastest := 0.0
		result, err := ramp.Run(t.Context(), ramp.Config{
			RequestsPerSecond: 50, MaxDuration: 10 * time.Minute,
			Send: func(ctx context.Context, n int) error {
				if time.Now().Before(warm) && n%2 == 0 {
					return errors.New("503")
				}
				return pause(ctx, 100*time.Millisecond)
			},
			Progress: func(w ramp.Window) {
				if time.Now().Before(warm) {
					fastest = max(fastest, w.Rate)
				}
			},
		})
		if err != nil || !result.Settled || fastest != 5 {
			t.Errorf("%s, %v; at most %v a second while it was cold", result, err, fastest)
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		result, err := ramp.Run(t.Context(), ramp.Config{
			RequestsPerSecond: 50, MaxDuration: time.Minute,
			Send: func(context.Context, int) error { return errors.New("no such host") },
		})
		if err != nil || result.Settled || !strings.Contains(result.String(), "no such host") || time.Since(began) != time.Minute {
			t.Errorf("%s, %v, after %v", result, err, time.Since(began))
		}
	})
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the run was cancelled")
		time.AfterFunc(20*time.Second, func() { cancel(why) })
		var inFlight atomic.Int64
		_, err := ramp.Run(ctx, ramp.Config{
			RequestsPerSecond: 50, MaxDuration: time.Hour,
			Send: func(ctx context.Context, _ int) error {
				inFlight.Add(1)
				defer inFlight.Add(-1)
				return pause(ctx, time.Hour)
			},
		})
		if !errors.Is(err, why) || inFlight.Load() != 0 {
			t.Errorf("%v, with %d requests in flight", err, inFlight.Load())
		}
	})
}
