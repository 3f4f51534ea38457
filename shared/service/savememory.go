package service

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// AllInOneBytes is what the all-in-one process takes of memory before the garbage collector
// works harder.
const AllInOneBytes = 850 << 20

// SaveMemory has the garbage collector work harder before the process takes more than so much
// memory, for as long as what is in use leaves it room to: a limit below that would have it
// do nothing but collect. Left alone it lets memory grow to twice of what is in use. It works
// until stop is called. A limit that somebody has set is left alone.
func SaveMemory(limit int64) (stop func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetMemoryLimit(limit)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for {
			select {
			case <-done:
				debug.SetMemoryLimit(before)
				return
			case <-look.C:
				debug.SetMemoryLimit(limitFor(limit, inUse()))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// limitFor gives the limit for what is in use: never less than a third more, or it would collect
// all the time.
func limitFor(limit, used int64) int64 { return max(limit, used+used/3) }

// inUse is what the last collection has left, and what else the runtime needs.
func inUse() int64 {
	m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(m)
	return int64(m[0].Value.Uint64() + m[1].Value.Uint64())
}
