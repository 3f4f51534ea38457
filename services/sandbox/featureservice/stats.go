package featureservice

import (
	"sync/atomic"
	"time"
)

// Stats counts what the server did since it started.
type Stats struct {
	Requests       int64         `json:"requests"`
	Families       int64         `json:"families"`        // computed
	WithAttributes int64         `json:"with_attributes"` // requests that had some
	Refused        int64         `json:"refused"`         // requests that break the contract
	Overflowed     int64         `json:"overflowed"`      // refused for want of a thread
	Faults         int64         `json:"faults"`          // requests with which something was made to go wrong
	InFlight       int64         `json:"in_flight"`       // requests that have a thread
	MaxInFlight    int64         `json:"max_in_flight"`
	Queued         int64         `json:"queued"` // requests that wait for one
	MaxQueued      int64         `json:"max_queued"`
	BusyTime       time.Duration `json:"busy_ns"` // of all threads together
}

// gauge is a number that remembers its highest value.
type gauge struct{ now, highest atomic.Int64 }

func (g *gauge) add(n int64) int64 {
	now := g.now.Add(n)
	for {
		highest := g.highest.Load()
		if now <= highest || g.highest.CompareAndSwap(highest, now) {
			return now
		}
	}
}

type counters struct {
	requests, families, withAttributes, refused, overflowed, faults, busy atomic.Int64

	inFlight, queued gauge
}

// Stats gives the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Requests:       c.requests.Load(),
		Families:       c.families.Load(),
		WithAttributes: c.withAttributes.Load(),
		Refused:        c.refused.Load(),
		Overflowed:     c.overflowed.Load(),
		Faults:         c.faults.Load(),
		InFlight:       c.inFlight.now.Load(),
		MaxInFlight:    c.inFlight.highest.Load(),
		Queued:         c.queued.now.Load(),
		MaxQueued:      c.queued.highest.Load(),
		BusyTime:       time.Duration(c.busy.Load()),
	}
}
