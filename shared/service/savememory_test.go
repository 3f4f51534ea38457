package service

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestLimitFor(t *testing.T) {
	for _, tc := range []struct{ limit, used, want int64 }{{900, 0, 900}, {900, 600, 900}, {900, 800, 1066}} {
		if got := limitFor(tc.limit, tc.used); got != tc.want {
			t.Errorf("with a limit of %d and %d in use it is %d, want %d", tc.limit, tc.used, got, tc.want)
		}
	}
}

func TestSaveMemory(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	before := limit()
	stop := SaveMemory(1 << 40)
	if got := limit(); got != 1<<40 {
		t.Errorf("the limit is %d", got)
	}
	stop()
	if got := limit(); got != before {
		t.Errorf("behind the end the limit is %d, was %d", got, before)
	}
	if used := inUse(); used <= 0 || used > math.MaxInt32 {
		t.Errorf("%d bytes in use", used)
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	SaveMemory(1 << 40)()
	if got := limit(); got != before {
		t.Errorf("with GOMEMLIMIT the limit is %d, was %d", got, before)
	}
}
