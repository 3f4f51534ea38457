package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
)

// Latencies of the sandbox, and how many requests its feature service works on at the
// same time.
const (
	dynamoLatency = 5 * time.Millisecond   // of a call
	loading       = 10 * time.Millisecond  // of a request: the user's data are read
	fastLatency   = 250 * time.Microsecond // of a fast family, beyond that
	slowMin       = 40 * time.Millisecond  // of a slow family
	slowMax       = 360 * time.Millisecond
	threads       = 200
)

// Time-outs are the run file's defaults, as much shorter as the latencies are.
const (
	scale       = 25
	fastTimeout = 60 * time.Second / scale
	slowTimeout = 300 * time.Second / scale
)

// backends are the sandbox in this process, and what was seen of its feature service.
type backends struct {
	*sandbox.Sandbox
	at    sandbox.Endpoints
	first atomic.Int64 // Unix nanoseconds of the first request; 0 = none yet
	stop  context.CancelFunc
	ended chan struct{}
	seen  []moment
}

// moment is how many threads were busy.
type moment struct {
	at   time.Time
	busy int64 // 0 outside the time from the first request to the last
}

const lookEvery = 20 * time.Millisecond

// startBackends starts a sandbox whose hit ratio is given; a job's lanes say which families
// are slow.
func startBackends(ctx context.Context, hits float64) (*backends, error) {
	truth := runFile{cached: true, url: "http://127.0.0.1/"}
	f, err := truth.parsed()
	if err != nil {
		return nil, err
	}
	s, err := sandbox.New(sandbox.Config{
		DynamoDBAddr: "127.0.0.1:0", FeatureServiceAddr: "127.0.0.1:0",
		FeaturesPerFamily: features, HitRatio: hits, DynamoDBLatency: dynamoLatency, Threads: threads,
		FastMin: fastLatency, FastMax: fastLatency, SlowMin: slowMin, SlowMax: slowMax,
	}, f)
	if err != nil {
		return nil, err
	}
	b := &backends{Sandbox: s, ended: make(chan struct{})}
	s.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		b.first.CompareAndSwap(0, time.Now().UnixNano())
		return featureservice.Fault{Delay: loading}
	}})
	if b.at, err = s.Start(ctx); err != nil {
		return nil, err
	}
	ctx, b.stop = context.WithCancel(ctx)
	go b.look(ctx)
	return b, nil
}

// look notes how many threads are busy.
func (b *backends) look(ctx context.Context) {
	defer close(b.ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			b.seen = append(b.seen, moment{now, b.FeatureService.Stats().InFlight})
		case <-ctx.Done():
			return
		}
	}
}

// finish ends the sandbox.
func (b *backends) finish() {
	b.stop()
	<-b.ended
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = b.Stop(ctx) // nobody asks any more
}

// env has clients find the sandbox.
func (b *backends) env() []string {
	return []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + b.at.DynamoDB, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + s3Key, "AWS_SECRET_ACCESS_KEY=" + s3Secret, "FFF_HTTP_ADDR=off",
	}
}

// worked gives the busy threads from the first request to the last answer. It is called
// when the sandbox has ended.
func (b *backends) worked() []moment { return between(b.seen, time.Unix(0, b.first.Load())) }

// between leaves out what is before a time, and what comes after the last busy thread.
func between(seen []moment, first time.Time) []moment {
	for len(seen) > 0 && seen[0].at.Before(first) {
		seen = seen[1:]
	}
	for len(seen) > 0 && seen[len(seen)-1].busy == 0 {
		seen = seen[:len(seen)-1]
	}
	return seen
}

// utilisation gives the share of so many threads' time that they were busy, in the part of
// the time between two shares of it.
func utilisation(seen []moment, threads int, from, to float64) float64 {
	n := float64(len(seen))
	seen = seen[int(from*n):int(to*n)]
	if len(seen) == 0 {
		return 0
	}
	sum := int64(0)
	for _, m := range seen {
		sum += m.busy
	}
	return float64(sum) / float64(len(seen)*threads)
}
