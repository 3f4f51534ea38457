// Package orchestrator opens runs, commits parts, follows progress, proves completion and
// tears down.
//
// Any number of instances may run; one leads, by a lease. The lease makes one leader
// likely, no more: what guards the dataset is the commit log, which refuses the append of
// a leader that another has overtaken.
package orchestrator

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/forecast"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/warmup"
	"github.com/fastfeaturefetch/fff/shared/warmup/autoscaler"
	"github.com/fastfeaturefetch/fff/shared/warmup/awsapi"
	"github.com/fastfeaturefetch/fff/shared/warmup/backends"
	"github.com/fastfeaturefetch/fff/streams"
)

// Kubernetes says where its API server is.
type Kubernetes = autoscaler.Config

// Config is what the environment says of the orchestrator.
type Config struct {
	Replicas int `envconfig:"FFF_STREAM_REPLICAS" default:"1" unit:"replicas" desc:"Replicas of every stream; 3 on a cluster of three servers."`
	// AckWait is given to a run's consumers when the run is opened.
	AckWait time.Duration `envconfig:"FFF_ACK_WAIT" default:"30s" min:"5s" max:"10m" desc:"How long the broker waits for a word on a message from the instance that has it, before another one gets it. It is what kill -9 costs; an instance that is stopped for longer does its work twice, without harm."`

	// Watch is how long a call of an instance that was stopped may take to arrive. < 0 = there
	// is nobody who could have been.
	Watch time.Duration `envconfig:"FFF_WARMUP_WATCH" default:"15m" min:"1s" max:"24h" desc:"How long what a warm-up had raised is looked at after it was brought down: a call of an instance that was stopped meanwhile may still arrive."`

	Kubernetes // where autoscalers are

	// AWS are the stand-ins of a sandbox in the same process, if there is one.
	AWS awsapi.Endpoints `ignored:"true"`

	// Store is the directory of an embedded broker's store, "" otherwise. It goes into
	// _owner, so that another process on this machine can tell whether we live.
	Store string `ignored:"true"`
}

// MemoryBound tells what the service takes at the most. For each sample of a run it has its
// number, bits of its families in several sets, and its claim in the ledger of the input,
// which shares the numbers; before its records flow, its demand beside them. Then there are
// the indexes that it reads and the row groups that it writes anew.
func (c Config) MemoryBound() service.Memory {
	m := service.MemoryFor(
		service.Room{For: "completion indexes that are read", Bytes: indexBytes},
		service.Room{For: "files that are written anew", Bytes: rewriteBytes})
	m.PerSample = cellBytesPerSample + intake.BytesPerSample + forecast.BytesPerSample
	return m
}

// Parts of MemoryBound.
const (
	indexBytes         = 64 << 20
	rewriteBytes       = 128 << 20
	cellBytesPerSample = 4 * 8 // requested, committed, failed and missing, with 50 families
)

// Validate checks the number of replicas.
func (c *Config) Validate() error {
	if c.Replicas < 1 || c.Replicas > 5 || c.Replicas%2 == 0 {
		return &settings.Error{Variable: "FFF_STREAM_REPLICAS", Value: strconv.Itoa(c.Replicas), Problem: "no number of replicas", Remedy: "use 1, 3 or 5"}
	}
	return nil
}

// Service is the orchestrator.
type Service struct {
	cfg    Config
	d      service.Deps
	bucket *runs.Bucket
	lease  *fleet.Lease
	state  atomic.Value // string

	// openStore opens the dataset of a run, and tells where it is.
	openStore    func(ctx context.Context, out *runfile.Output, run string) (store dataset.Store, where string, err error)
	swapFiles    int           // that one entry of the log swaps
	leastMerged  int           // files that are worth being merged
	mergesAtOnce int           // families that are merged at the same time
	merging      chan struct{} // has room for the one run that merges
	copyPause    time.Duration // after the first try of a local copy that failed

	// openBackends connects to what a warm-up can raise; nil where it only brings down.
	openBackends func(context.Context, *runfile.WarmUp) ([]warmup.Backend, error)
	poll         time.Duration // between two looks at what is being raised or brought down

	tending sync.Mutex
	tenders map[string]*tender // by run

	mu       sync.Mutex
	system   string // id of this system, which owns datasets
	jobs     map[string]*job
	dropping string // run whose stray batches are being dropped
	beats    *fleet.Listener
	led      bool // somebody led before us, as far as we know
}

// New makes the service. It starts nothing.
func New(cfg Config, d service.Deps) *Service {
	s := &Service{
		cfg: cfg, d: d,
		bucket: runs.Open(d.Client.NC, d.Client.JS), lease: fleet.NewLease(d.Client, "leader", d.Instance),
		jobs: map[string]*job{}, tenders: map[string]*tender{},
		swapFiles: commitlog.MaxSwapFiles, leastMerged: leastMerged, mergesAtOnce: mergesAtOnce, merging: make(chan struct{}, 1),
		copyPause: copyPause, poll: warmUpPoll,
	}
	s.openStore = new(destination.Opener).Open
	s.openBackends = func(ctx context.Context, w *runfile.WarmUp) ([]warmup.Backend, error) {
		return backends.New(ctx, w, backends.Config{Kubernetes: cfg.Kubernetes, AWS: cfg.AWS})
	}
	s.state.Store("starting")
	return s
}

// State gives starting, ready, draining or stopped. An instance that does not lead is ready too: it
// stands by.
func (s *Service) State() string { return s.state.Load().(string) }

func (s *Service) beat() fleet.Beat {
	return fleet.Beat{Service: "orchestrator", Instance: s.d.Instance, State: s.State()}
}

// Run makes the streams, then leads whenever the lease is free, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	beats, err := fleet.Listen(s.d.Client)
	if err != nil {
		return err
	}
	defer beats.Stop()
	s.beats = beats
	s.state.Store("ready")
	defer s.state.Store("stopped")
	defer context.AfterFunc(ctx, func() { s.state.CompareAndSwap("ready", "draining") })()
	return service.Announced(ctx, s.d.Client, "fff-orchestrator", s.beat,
		func(ctx context.Context) error {
			s.lease.Keep(ctx, func(leading context.Context) {
				if err := s.lead(leading); err != nil && leading.Err() == nil {
					s.d.Log.Error().Err(err).Msg("leading failed; giving the lease back")
				}
				if ctx.Err() != nil { // the lease is ours until we return
					s.lowerAll(context.WithoutCancel(ctx))
				}
			})
			return nil
		})
}

// prepare waits for the broker to make streams; services start in any order.
func (s *Service) prepare(ctx context.Context) error {
	for {
		err := streams.Ensure(ctx, s.d.Client.JS, s.cfg.Replicas)
		if err == nil {
			s.tellLimits(ctx)
			s.system, err = s.bucket.SystemID(ctx, func() string { return service.NewInstance() })
		}
		if err == nil {
			return nil
		}
		s.d.Log.Warn().Err(err).Msg("the streams cannot be made; trying again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// tellLimits logs which streams somebody has given another size.
func (s *Service) tellLimits(ctx context.Context) {
	all, err := streams.Differing(ctx, s.d.Client.JS)
	if err != nil {
		s.d.Log.Debug().Err(err).Msg("the streams' limits cannot be read")
	}
	for _, what := range all {
		s.d.Log.Info().Msg(what + "; it stays so, `fff streams apply --reset` takes it back")
	}
}

// lead does the leader's work until ctx ends.
func (s *Service) lead(ctx context.Context) error {
	s.d.Log.Debug().Msg("leading")
	g, ctx := errgroup.WithContext(ctx)
	all, err := s.bucket.List(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.jobs = map[string]*job{}
	s.mu.Unlock()
	s.tending.Lock()
	s.tenders = map[string]*tender{}
	s.tending.Unlock()
	left, err := s.leftBehind(ctx, all, func(t *tender) { g.Go(func() error { t.loop(ctx); return nil }) })
	if err != nil {
		return err
	}
	for _, rec := range all {
		s.start(ctx, g, rec, left[rec.Run])
	}
	parts := runner.New(runner.Config{
		Stage: stage.Parts, Service: "orchestrator", Instance: s.d.Instance,
		Workers: 4, Grace: s.d.Grace, DoubleAck: true,
	}, &partsStage{s}, s.d.Client, s.d.Metrics, s.d.Log)
	granter := shares.NewSuccessor(shares.DefaultLease, time.Now())
	if !s.led && (len(all) == 0 || s.cfg.Store != "") {
		// Nobody can hold a share: there was no run, or the store was locked by a process
		// that is dead, and its services with it.
		granter = shares.NewGranter(shares.DefaultLease)
	}
	s.led = true
	stop, err := s.serve(ctx, g, granter)
	if err != nil {
		return err
	}
	defer stop()
	g.Go(func() error { return parts.Run(ctx) })
	g.Go(func() error { return s.tendStrays(ctx) })
	return g.Wait()
}

// start begins to look after a run.
func (s *Service) start(ctx context.Context, g *errgroup.Group, rec *runs.Record, left bool) *job {
	j := newJob(s, rec)
	j.left = left
	s.mu.Lock()
	s.jobs[rec.Run] = j
	s.mu.Unlock()
	g.Go(func() error { j.loop(ctx); return nil })
	g.Go(func() error { j.warm.loop(ctx); return nil })
	return j
}

// warmUpPoll is a second: a table takes some, a database many minutes.
const warmUpPoll = time.Second

func (s *Service) job(run string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[run]
}

func hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return h
}

var errNoLongerLeading = errors.New("this instance leads no longer")
