package dynamodb

import (
	"math"
	"sync"
	"sync/atomic"
)

// Stats counts what the server did since it started.
type Stats struct {
	Calls       map[string]int64 `json:"calls"`        // by operation, refused ones included
	BatchGets   int64            `json:"batch_gets"`   // BatchGetItem calls
	Keys        int64            `json:"keys"`         // asked for by BatchGetItem and GetItem
	Items       int64            `json:"items"`        // returned by them
	Missing     int64            `json:"missing"`      // keys without an item
	Unprocessed int64            `json:"unprocessed"`  // keys that came back unprocessed, for every reason
	Throttled   int64            `json:"throttled"`    // calls refused for want of capacity, injected ones included
	Failed      int64            `json:"failed"`       // calls that a fault made fail otherwise
	ReadUnits   float64          `json:"read_units"`   // consumed
	WriteUnits  float64          `json:"write_units"`  // consumed
	AnswerBytes int64            `json:"answer_bytes"` // bodies of BatchGetItem
}

type counters struct {
	mu    sync.Mutex
	calls map[string]int64

	batchGets, keys, items, missing, unprocessed, throttled, failed, answerBytes atomic.Int64
	halfReadUnits, writeUnits                                                    atomic.Int64
}

func (c *counters) count(operation string) {
	if _, ok := operations[operation]; !ok && operation != "BatchGetItem" {
		operation = "unknown"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int64{}
	}
	c.calls[operation]++
}

// read counts consumed read units, which come in halves.
func (c *counters) read(units float64) { c.halfReadUnits.Add(int64(math.Round(units * 2))) }

// Stats gives the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		Calls:       map[string]int64{},
		BatchGets:   c.batchGets.Load(),
		Keys:        c.keys.Load(),
		Items:       c.items.Load(),
		Missing:     c.missing.Load(),
		Unprocessed: c.unprocessed.Load(),
		Throttled:   c.throttled.Load(),
		Failed:      c.failed.Load(),
		ReadUnits:   float64(c.halfReadUnits.Load()) / 2,
		WriteUnits:  float64(c.writeUnits.Load()),
		AnswerBytes: c.answerBytes.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.calls {
		out.Calls[k] = v
	}
	return out
}
