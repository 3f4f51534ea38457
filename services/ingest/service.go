package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Config is what the environment says of ingest.
type Config struct {
	Quota       int `envconfig:"FFF_INGEST_QUOTA" default:"200" min:"1" max:"100000" unit:"messages" desc:"Messages that a run may have in a queue downstream before its next block is released."`
	WriterQuota int `envconfig:"FFF_INGEST_WRITER_QUOTA" default:"1000" min:"1" max:"100000" unit:"messages" desc:"The same for the writer's queue, whose messages of up to 512 KB wait until a part is full; 500 where all services are one process."`
}

// MemoryBound tells what the service takes at the most: a run's ledger holds its samples.
func (c Config) MemoryBound() service.Memory {
	m := service.MemoryFor(
		service.Room{For: "batches in hand", Bytes: runner.DefaultMemory},
		service.Room{For: "requests on their way to the broker", Bytes: runner.DefaultOutputs})
	m.PerSample = intake.BytesPerSample
	return m
}

// Service is ingest. Of several instances each works on runs of its own: a run's input is
// decided on in order, so one instance has it, by a lease.
type Service struct {
	cfg    Config
	d      service.Deps
	stage  *Stage
	runner *runner.Runner[*Unit]
	bucket *runs.Bucket

	mu     sync.Mutex
	leases map[string]*held
	gates  map[string]*gate
	left   bool // no lease is sought any more
}

// held is the lease on a run's ingest, held or waited for.
type held struct {
	lease *fleet.Lease
	stop  context.CancelFunc
	done  chan struct{}
}

// New makes the service. It starts nothing.
func New(cfg Config, d service.Deps) *Service {
	s := &Service{cfg: cfg, d: d, bucket: runs.Open(d.Client.NC, d.Client.JS), leases: map[string]*held{}, gates: map[string]*gate{}}
	s.stage = NewStage(&brokerDesk{c: d.Client, bucket: s.bucket})
	s.runner = runner.New(runner.Config{
		Stage: stage.Ingest, Service: "ingest", Instance: d.Instance,
		Workers: 1, MaxHeld: 64, Grace: d.Grace, Linger: 20 * time.Millisecond,
		Gate: s.gate, Mine: s.mine,
	}, s.stage, d.Client, d.Metrics, d.Log)
	return s
}

// State gives starting, ready, draining or stopped.
func (s *Service) State() string { return s.runner.State() }

// Run works until ctx ends, then finishes what is in hand.
func (s *Service) Run(ctx context.Context) error {
	return service.Announced(ctx, s.d.Client, "fff-ingest", s.runner.Beat,
		func(ctx context.Context) error {
			defer s.leave()
			return s.runner.Run(ctx)
		},
		func(ctx context.Context) error {
			return s.bucket.Follow(ctx, 2*time.Second, nil, func(all []*runs.Record, err error) {
				if err == nil {
					s.adopt(context.WithoutCancel(ctx), all)
				}
			})
		})
}

// adopt seeks the lease on every run that works, and leaves those that do not.
func (s *Service) adopt(ctx context.Context, all []*runs.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return
	}
	working := map[string]bool{}
	for _, rec := range all {
		if !rec.State.Working() {
			continue
		}
		working[rec.Run] = true
		if s.leases[rec.Run] == nil {
			s.leases[rec.Run] = s.seek(ctx, rec.Run)
		}
	}
	for run, h := range s.leases {
		if !working[run] {
			h.stop()
			delete(s.leases, run)
			delete(s.gates, run)
			s.stage.Forget(run)
		}
	}
}

func (s *Service) seek(ctx context.Context, run string) *held {
	h := &held{lease: fleet.NewLease(s.d.Client, "ingest."+run, s.d.Instance), done: make(chan struct{})}
	ctx, h.stop = context.WithCancel(ctx)
	go func() {
		defer close(h.done)
		h.lease.Keep(ctx, func(ctx context.Context) {
			s.runner.Refresh()
			<-ctx.Done()
		})
	}()
	return h
}

// leave gives all leases back, so that another instance goes on at once.
func (s *Service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	for _, h := range s.leases {
		h.stop()
	}
	for run, h := range s.leases {
		<-h.done
		delete(s.leases, run)
	}
}

func (s *Service) mine(run string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.leases[run]
	return h != nil && h.lease.Held()
}
