package deadline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/shared/deadline"
)

func TestPausesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, d := deadline.With(t.Context(), 10*time.Second)
		defer d.Stop()
		time.Sleep(4 * time.Second)
		why := errors.New("what the pause gives")
		if err := d.Pause(func() error { time.Sleep(time.Hour); return why }); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		<-ctx.Done()
		if took := time.Since(start) - time.Hour; took != 10*time.Second {
			t.Errorf("it ended after %v beside the pause, want 10s", took)
		}
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("the cause is %v", context.Cause(ctx))
		}
		if err := d.Pause(func() error { return nil }); err != nil {
			t.Errorf("a pause after the end: %v", err)
		}
	})
}

func TestStopped(t *testing.T) {
	ctx, d := deadline.With(t.Context(), time.Hour)
	d.Stop()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}
