package orchestrator

import (
	"testing"
	"time"
)

// Looks are a second apart here.
func TestEbb(t *testing.T) {
	start := time.Now()
	same := func(n int64) func(int) int64 { return func(int) int64 { return n } }
	for name, c := range map[string]struct {
		settled  func(i int) int64
		underWay func(i int) int64
		used     func(i int) int64
		want     int // look at which it is over, from 0
	}{
		"nothing is under way":        {same(7), same(0), same(0), ebbLooks - 1},
		"what is comes in":            {func(i int) int64 { return int64(i) }, func(i int) int64 { return max(0, int64(100-i)) }, same(0), 100 + ebbLooks - 1},
		"something is now and then":   {func(i int) int64 { return int64(i) }, func(i int) int64 { return int64(max(0, 20-i) * (i % 3)) }, same(0), 19 + ebbLooks},
		"a smaller call is made":      {same(7), same(0), func(i int) int64 { return int64(min(i/3, 3)) }, 9 + ebbLooks},
		"the service gives nothing":   {same(7), same(3), same(0), 61},
		"it gives nothing any longer": {func(i int) int64 { return int64(min(i, 30)) }, same(3), same(0), 30 + 61},
	} {
		var e ebb
		at := -1
		for i := range 300 {
			if e.over(start.Add(time.Duration(i)*time.Second), c.settled(i), c.underWay(i), float64(c.used(i))) {
				at = i
				break
			}
		}
		if at != c.want {
			t.Errorf("%s: over at look %d, want %d", name, at, c.want)
		}
	}
}
