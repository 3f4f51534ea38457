// Package ramp warms a service up with requests: slowly at first, faster as long as it
// answers as quickly as before, until it has settled at the wanted rate. There is nothing
// to undo.
package ramp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds and steps of a ramp.
const (
	window      = 5 * time.Second // what one look at latency and errors covers
	growth      = 1.5             // of the rate, from a good window to the next
	startShare  = 0.1             // of the wanted rate
	maxWorse    = 1.25            // p95 of a good window against the one before
	maxErrors   = 0.01            // share of failed requests in a good window
	settledFor  = 3               // good windows at the wanted rate
	maxInFlight = 1000            // requests; above it new ones are left out
	noiseFloor  = 5 * time.Millisecond
)

// Config says how a service is warmed up.
type Config struct {
	RequestsPerSecond float64       // at the end of the ramp
	MaxDuration       time.Duration // after it the ramp ends, settled or not
	// Send sends one request and waits for its answer; n counts from 0.
	Send func(ctx context.Context, n int) error
	// Progress is told of each window; nil = nobody listens.
	Progress func(Window)
}

// Window is what was seen in one window.
type Window struct {
	Rate     float64 // requests a second that were begun
	Requests int     // that ended
	Errors   int
	P95      time.Duration
	LastErr  error
}

// Result tells how a ramp ended.
type Result struct {
	Settled bool
	Last    Window
}

// String says it for people.
func (r Result) String() string {
	if r.Settled {
		return fmt.Sprintf("settled at %.3g requests a second, 95 %% of them within %v", r.Last.Rate, r.Last.P95.Round(time.Millisecond))
	}
	text := fmt.Sprintf("not settled: at %.3g requests a second 95 %% took up to %v and %d of %d failed", r.Last.Rate, r.Last.P95.Round(time.Millisecond), r.Last.Errors, r.Last.Requests)
	if r.Last.LastErr != nil {
		text += ", the last with: " + r.Last.LastErr.Error()
	}
	return text
}

// Run ramps up. Its error is the context's; a service that does not settle is none.
func Run(ctx context.Context, cfg Config) (Result, error) {
	limited, cancel := context.WithTimeout(ctx, cfg.MaxDuration)
	defer cancel()
	r := &runner{cfg: cfg, ctx: limited, slots: make(chan struct{}, maxInFlight)}
	defer r.wait.Wait()
	defer cancel()
	var result Result
	rate, good := cfg.RequestsPerSecond*startShare, 0
	for before := (Window{}); ; before = result.Last {
		w, whole := r.window(rate)
		if whole {
			result.Last = w
			if cfg.Progress != nil {
				cfg.Progress(w)
			}
		}
		switch {
		case ctx.Err() != nil:
			return result, context.Cause(ctx)
		case !whole:
			return result, nil
		case !fine(before, w):
			good = 0 // the rate stays until the service has caught up
		case rate < cfg.RequestsPerSecond:
			rate = min(rate*growth, cfg.RequestsPerSecond)
		default:
			if good++; good == settledFor {
				result.Settled = true
				return result, nil
			}
		}
	}
}

// fine tells whether a window was no worse than the one before.
func fine(before, w Window) bool {
	if w.Requests == 0 || float64(w.Errors) > maxErrors*float64(w.Requests) {
		return false
	}
	worse := w.P95 > noiseFloor && float64(w.P95) > maxWorse*float64(before.P95)
	return before.Requests == 0 || !worse
}

// runner sends the requests of a ramp.
type runner struct {
	cfg   Config
	ctx   context.Context
	slots chan struct{}
	wait  sync.WaitGroup
	sent  int

	mu        sync.Mutex
	latencies []time.Duration
	now       Window
}

// window sends requests at a rate for the time of a window, or longer if the rate is so low
// that none would be sent. whole is false when the ramp's time is over before it is.
func (r *runner) window(rate float64) (w Window, whole bool) {
	gap := time.Duration(float64(time.Second) / rate)
	tick := time.NewTicker(gap)
	defer tick.Stop()
	end := time.NewTimer(max(window, 2*gap))
	defer end.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return Window{}, false
		case <-end.C:
			return r.take(rate), true
		case <-tick.C:
			r.begin()
		}
	}
}

// begin sends one request, unless too many are under way.
func (r *runner) begin() {
	select {
	case r.slots <- struct{}{}:
	default:
		return
	}
	n := r.sent
	r.sent++
	r.wait.Go(func() {
		defer func() { <-r.slots }()
		began := time.Now()
		err := r.cfg.Send(r.ctx, n)
		if r.ctx.Err() != nil && errors.Is(err, r.ctx.Err()) {
			return // given up by us
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now.Requests++
		if err != nil {
			r.now.Errors++
			r.now.LastErr = err
		}
		r.latencies = append(r.latencies, time.Since(began))
	})
}

// take gives what has been seen since the last time.
func (r *runner) take(rate float64) Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.now
	w.Rate = rate
	if n := len(r.latencies); n > 0 {
		slices.Sort(r.latencies)
		w.P95 = r.latencies[(n*95-1)/100]
	}
	r.now, r.latencies = Window{}, nil
	return w
}
