// Package runner feeds a stage from its queue. It alone fetches, keeps the lease,
// publishes, acks, retries, dead-letters, counts and logs.
//
// A message's life: fetched and held with InProgress; its units worked on, each tried
// again in place or dead-lettered by itself; its outputs gathered with those of other
// messages and published; and only when the broker has acknowledged all of them, acked.
package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Config bounds a runner.
type Config struct {
	Stage    stage.Name
	Service  string // name of the service, e.g. "dynamo-fetcher"
	Instance string // id of this instance

	// Both bounds are for each run: a run that is stuck on its backend leaves the others
	// their share.
	Workers int // messages worked on at the same time
	MaxHeld int // messages in hand, those that wait for their outputs' acks included
	// Prefetch is how many messages of a run wait, lease kept, for a worker; 4 when 0. They are
	// beside those in hand and their memory, and as many are asked for at a time: on busy
	// processors a question takes tens of milliseconds, whatever comes with its answer.
	Prefetch int

	// Memory is how many bytes the messages in hand may take, over all runs; 64 MiB when 0.
	Memory int64
	// Weigh tells how many bytes a message in hand takes: until its units are done, and from
	// then until its outputs are acknowledged. When nil it is ten times its size, which is
	// what requests take that were decoded, and then its size.
	Weigh func(data []byte) (working, held int64)
	// Full, when set, is told that a message of a run waits for memory, unless half of what is in
	// use, by all runs, is about to be free: it belongs to messages that are being settled.
	Full func(run string)
	// Outputs is how many bytes outputs may take on their way to the broker, over all runs;
	// 64 MiB when 0.
	Outputs int64

	MaxLease time.Duration // after it a message is given back to the queue
	Linger   time.Duration // how long an output waits for others to travel with; five times as long at the most while they are few and more are to come
	Grace    time.Duration // how long work in hand may go on after the stop

	// Attempts gives the attempts of a unit; 5 when nil.
	Attempts func(*stage.Run) int
	// Gate, when set, holds back the outputs of a run until the run may have more downstream.
	Gate func(ctx context.Context, run *stage.Run) error
	// Ended, when set, is told that no message of a run's epoch is worked on any more, nor
	// will be: what was kept for it can go.
	Ended func(run *stage.Run)
	// Mine, when set, says whether this instance is to work on a run.
	Mine func(run string) bool
	// DoubleAck waits for the broker's answer to each ack.
	DoubleAck bool
}

// Defaults of Config, in bytes.
const (
	DefaultMemory  = 64 << 20
	DefaultOutputs = 64 << 20
)

func (c *Config) setDefaults() {
	c.Workers = max(c.Workers, 1)
	c.MaxHeld = max(c.MaxHeld, 2*c.Workers)
	if c.MaxLease == 0 {
		c.MaxLease = time.Hour
	}
	if c.Linger == 0 {
		c.Linger = 50 * time.Millisecond
	}
	if c.Grace == 0 {
		c.Grace = 20 * time.Second
	}
	if c.Prefetch == 0 {
		c.Prefetch = 4
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Outputs == 0 {
		c.Outputs = DefaultOutputs
	}
	if c.Weigh == nil {
		c.Weigh = func(data []byte) (working, held int64) { return 10 * int64(len(data)), int64(len(data)) }
	}
	if c.Attempts == nil {
		c.Attempts = func(*stage.Run) int { return 5 }
	}
}

// Runner feeds one stage of one instance.
type Runner[U any] struct {
	cfg     Config
	st      stage.Stage[U]
	c       *broker.Client
	bucket  *runs.Bucket
	log     zerolog.Logger
	metrics *Metrics

	lease *leaseKeeper
	stats *Stats

	memory   *room.Room   // of messages in hand
	settling atomic.Int64 // of it, bytes of messages that are being settled
	outputs  *room.Room   // of what is made of them, on its way to the broker

	refresh chan struct{} // the runs are to be looked at now

	mu    sync.Mutex
	feeds map[string]*feed
	state string
	work  sync.WaitGroup // messages in hand
}

// New makes a runner. It starts nothing.
func New[U any](cfg Config, st stage.Stage[U], c *broker.Client, m *Metrics, log zerolog.Logger) *Runner[U] {
	cfg.setDefaults()
	r := &Runner[U]{
		cfg: cfg, st: st, c: c, bucket: runs.Open(c.NC, c.JS), metrics: m, log: log,
		refresh: make(chan struct{}, 1),
		feeds:   map[string]*feed{},
		lease:   newLeaseKeeper(), stats: newStats(), state: "starting",
		memory: room.New(cfg.Memory), outputs: room.New(cfg.Outputs),
	}
	return r
}

// Refresh has the runs looked at now, because what Mine says has changed.
func (r *Runner[U]) Refresh() {
	select {
	case r.refresh <- struct{}{}:
	default:
	}
}

// Beat tells what the instance is doing.
func (r *Runner[U]) Beat() fleet.Beat {
	r.mu.Lock()
	state := r.state
	held := make(map[string]int64, len(r.feeds))
	for id, f := range r.feeds {
		held[id] = int64(len(f.held))
	}
	r.mu.Unlock()
	b := fleet.Beat{Service: r.cfg.Service, Instance: r.cfg.Instance, State: state}
	b.Runs, b.Errors = r.stats.snapshot()
	for id, n := range held {
		s := b.Runs[id]
		s.Held = n
		b.Runs[id] = s
	}
	return b
}

// State gives starting, ready, draining or stopped.
func (r *Runner[U]) State() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Runner[U]) setState(s string) {
	r.mu.Lock()
	r.state = s
	r.mu.Unlock()
}

// Stats gives access to the counters of a run, for what only the service can count.
func (r *Runner[U]) Stats() *Stats { return r.stats }

// Run works until ctx ends, then stops in two phases: it takes no more messages and
// finishes those in hand; what is not finished after the grace period goes back to the
// queue.
func (r *Runner[U]) Run(ctx context.Context) error {
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	go r.lease.run(background)

	told := "" // the failure that has been logged; the same one is not logged at every look
	look := func(all []*runs.Record, err error) {
		if err != nil {
			if told != err.Error() {
				told = err.Error()
				r.log.Warn().Err(err).Msg("the runs cannot be read; going on with those known and looking again")
			}
			return
		}
		told = ""
		r.adopt(ctx, hard, all)
		if r.State() == "starting" {
			r.setState("ready")
		}
	}
	err := r.bucket.Follow(ctx, 2*time.Second, r.refresh, look)
	r.setState("draining")
	r.mu.Lock()
	for _, f := range r.feeds {
		f.stop(nil)
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { r.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(r.cfg.Grace):
		kill(errors.New("stopped; the message goes back to the queue"))
		<-done
	}
	r.setState("stopped")
	return err
}

// adopt starts and stops the feeding of runs as their records say.
func (r *Runner[U]) adopt(ctx, hard context.Context, all []*runs.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted, counted := map[string]bool{}, map[string]bool{}
	for _, rec := range all {
		counted[rec.Run] = rec.Teardown != runs.TeardownDone || time.Since(rec.EndedAt) < keepCounts
		if !rec.State.Working() || (r.cfg.Mine != nil && !r.cfg.Mine(rec.Run)) {
			continue
		}
		wanted[rec.Run] = true
		if f := r.feeds[rec.Run]; f != nil {
			if f.run.Epoch == rec.Epoch {
				f.run.Lanes.Set(rec.Fast)
				continue
			}
			f.stop(errEnded)
		}
		file, err := rec.File()
		if err != nil {
			r.log.Error().Err(err).Str("run", rec.Run).Msg("the run file cannot be used here; this instance leaves the run to others")
			delete(wanted, rec.Run)
			continue
		}
		f := r.newFeed(rec.Stage(file), hard)
		r.feeds[rec.Run] = f
		r.stats.open(rec.Run, rec.Epoch)
		r.work.Go(func() { r.feed(ctx, f) })
	}
	for id, f := range r.feeds {
		if !wanted[id] {
			f.stop(errEnded)
			delete(r.feeds, id)
		}
	}
	r.stats.forget(func(run string) bool { return !counted[run] && r.feeds[run] == nil })
}

// errEnded says that the run's epoch is over: what is in hand of it is of no use.
var errEnded = errors.New("the run's epoch has ended")
