// Package allinone runs the whole system in one process: an embedded broker and every
// service, over the same subjects with the same acks as anywhere else.
package allinone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
	"github.com/fastfeaturefetch/fff/shared/warmup/awsapi"
	"github.com/fastfeaturefetch/fff/streams"
)

// Options say what is started.
type Options struct {
	Store   string        // directory of the broker's store; made when missing, locked
	Port    int           // of the broker on the loopback; 0 = a free one
	Sandbox bool          // start the stand-in backends too, and point the clients at them
	Once    bool          // the process ends with its run: nobody watches what the run had scaled up
	Job     *runfile.File // the job that the sandbox serves from the start, expanded; nil = none
	Common  settings.Common
	Log     zerolog.Logger
}

// serviceSettings are the settings of the services, read from the environment.
type serviceSettings struct {
	Ingest       ingest.Config
	Dynamo       dynamofetcher.Config
	Writer       writer.Config
	Orchestrator orchestrator.Config
	Process      settings.Process
}

func loadSettings() (c serviceSettings, err error) {
	for _, group := range []any{&c.Ingest, &c.Dynamo, &c.Writer, &c.Orchestrator, &c.Process} {
		err = errors.Join(err, settings.Load(group))
	}
	if os.Getenv("FFF_INGEST_WRITER_QUOTA") == "" {
		c.Ingest.WriterQuota = writerQuota
	}
	return c, err
}

// writerQuota is enough for the one writer: the part that it gathers, one that it writes, and one
// of which the messages are acked. The broker in the same process keeps what was queued in the
// last ten seconds in memory, and more would be up to 240 MB more of that.
const writerQuota = 500

// System is a running system.
type System struct {
	Client         *broker.Client // for the process's own requests
	URL            string         // of the broker, for others
	FeatureService string         // URL of the sandbox's feature service, "" without one

	server  *broker.Embedded
	stop    context.CancelCauseFunc
	work    *errgroup.Group
	closers []func()
	sandbox *sandbox.Sandbox
	probes  *telemetry.Server
	log     zerolog.Logger

	stopProfile func() error
}

// Start starts the system and returns when it takes requests. What it started before an
// error is stopped again.
func Start(ctx context.Context, o Options) (s *System, err error) {
	s = &System{log: o.Log}
	defer func() {
		if err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, s.Stop(end))
			s = nil
		}
	}()
	cfg, err := loadSettings()
	if err != nil {
		return s, err
	}
	s.closers = append(s.closers, service.SaveMemory(service.AllInOneBytes))
	if s.stopProfile, err = service.Profile(cfg.Process.CPUProfile); err != nil {
		return s, err
	}
	store, err := filepath.Abs(o.Store)
	if err != nil {
		return s, fmt.Errorf("store: %w", err)
	}
	if s.server, err = broker.Start(broker.EmbeddedOptions{StoreDir: store, Port: o.Port}); err != nil {
		return s, err
	}
	s.URL = s.server.URL()
	cfg.Orchestrator.Store = store
	if s.Client, err = s.connect(ctx, o, "fff"); err != nil {
		return s, err
	}
	if err := streams.Ensure(ctx, s.Client.JS, 1); err != nil {
		return s, err
	}
	// The store's lock is ours: whoever held a lease in it, or a message, is dead.
	if _, err := streams.PurgeSubject(ctx, s.Client.JS, "KV_"+streams.LeasesBucket, "$KV."+streams.LeasesBucket+".>"); err != nil {
		return s, err
	}
	if err := streams.GiveBack(ctx, s.Client.JS); err != nil {
		return s, err
	}
	if o.Sandbox {
		at, err := s.startSandbox(ctx, o.Job)
		if err != nil {
			return s, err
		}
		cfg.Dynamo.Endpoint = at.DynamoDB
		cfg.Orchestrator.AWS = awsapi.Endpoints{DynamoDB: at.DynamoDB, RDS: at.RDS}
	}
	if o.Once {
		cfg.Orchestrator.Watch = -1
	}
	return s, s.startServices(ctx, o, cfg)
}

// connect connects a part of the system without a socket.
func (s *System) connect(ctx context.Context, o Options, name string) (*broker.Client, error) {
	nc, err := broker.Connect(ctx, settings.NATS{URL: s.URL}, name, o.Log, s.server.InProcess())
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, nc.Close)
	return broker.NewClient(nc)
}

// startServices starts every service with a connection of its own.
func (s *System) startServices(ctx context.Context, o Options, cfg serviceSettings) error {
	registry := telemetry.NewRegistry()
	registry.MustRegister(traffic{s.server})
	metrics := runner.NewMetrics(registry)
	var errs error
	prepare := func(name string, make func(service.Deps) (service.Service, error)) func(context.Context) error {
		program, instance := "fff-"+name, service.NewInstance() // as where it runs by itself
		var one service.Service
		labelled(ctx, program, func(ctx context.Context) {
			client, err := s.connect(ctx, o, program)
			if err != nil {
				errs = errors.Join(errs, err)
				return
			}
			one, err = make(service.Deps{Client: client, Instance: instance, Metrics: metrics, Log: telemetry.ForInstance(o.Log, program, instance), Grace: cfg.Process.ShutdownGrace})
			errs = errors.Join(errs, err)
		})
		return func(ctx context.Context) (err error) {
			labelled(ctx, program, func(ctx context.Context) { err = one.Run(ctx) })
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
	}
	leader := prepare("orchestrator", func(d service.Deps) (service.Service, error) { return orchestrator.New(cfg.Orchestrator, d), nil })
	others := []func(context.Context) error{
		prepare("ingest", func(d service.Deps) (service.Service, error) { return ingest.New(cfg.Ingest, d), nil }),
		prepare("dynamo-fetcher", func(d service.Deps) (service.Service, error) { return dynamofetcher.New(ctx, cfg.Dynamo, d) }),
		prepare("fs-fast", func(d service.Deps) (service.Service, error) { return fsfast.New(fsfast.Config{}, d), nil }),
		prepare("fs-slow", func(d service.Deps) (service.Service, error) { return fsslow.New(fsslow.Config{}, d), nil }),
		prepare("writer", func(d service.Deps) (service.Service, error) { return writer.New(cfg.Writer, d), nil }),
	}
	if errs != nil {
		return errs
	}
	s.run(ctx, leader, others)
	if cfg.Process.HTTPAddr == "" || cfg.Process.HTTPAddr == settings.HTTPOff {
		return nil
	}
	var err error
	s.probes, err = telemetry.Serve(cfg.Process.HTTPAddr, telemetry.Handler(registry, func() telemetry.State { return telemetry.Ready }))
	return err
}

// labelled does work under the label that tells, in a CPU profile, whose it is. Goroutines
// that are started in it have the label too.
func labelled(ctx context.Context, program string, work func(context.Context)) {
	pprof.Do(ctx, pprof.Labels("service", program), work)
}

// run runs the services until s.stop is called. The leader ends when the others have: what
// they finish at the end needs it. A service that fails ends all.
func (s *System) run(ctx context.Context, leader func(context.Context) error, others []func(context.Context) error) {
	ctx = context.WithoutCancel(ctx)
	working, stop := context.WithCancelCause(ctx)
	leading, stopLeading := context.WithCancel(ctx)
	g, working := errgroup.WithContext(working)
	s.stop, s.work = stop, new(errgroup.Group)
	for _, one := range others {
		g.Go(func() error { return one(working) })
	}
	s.work.Go(func() error {
		defer stopLeading()
		return g.Wait()
	})
	s.work.Go(func() error {
		err := leader(leading)
		stop(err)
		return err
	})
}

// startSandbox starts the stand-in backends on free ports, unless the environment names
// others, and tells where they are. Runs that are opened later get their tables
// as they come.
func (s *System) startSandbox(ctx context.Context, job *runfile.File) (at sandbox.Endpoints, err error) {
	var cfg sandbox.Config
	if err := settings.Load(&cfg); err != nil {
		return at, err
	}
	if _, set := os.LookupEnv("FFF_SANDBOX_DYNAMODB_ADDR"); !set {
		cfg.DynamoDBAddr = "127.0.0.1:0"
	}
	if _, set := os.LookupEnv("FFF_SANDBOX_FEATURE_SERVICE_ADDR"); !set {
		cfg.FeatureServiceAddr = "127.0.0.1:0"
	}
	box, err := sandbox.New(cfg, job)
	if err != nil {
		return at, err
	}
	if at, err = box.Start(context.WithoutCancel(ctx)); err != nil {
		return at, err
	}
	s.sandbox, s.FeatureService = box, at.FeatureService
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.closers = append(s.closers, cancel)
	served := map[string]string{}
	go func() {
		_ = runs.Open(s.Client.NC, s.Client.JS).Follow(following, time.Second, nil, func(all []*runs.Record, err error) {
			for _, rec := range all {
				if served[rec.Run] == rec.Hash {
					continue
				}
				served[rec.Run] = rec.Hash
				if file, err := rec.File(); err == nil && (job == nil || file.Run != job.Run) {
					_ = box.AddRun(file) // a run file that was opened is a valid one
				}
			}
		})
	}()
	return at, nil
}

// Sandbox gives the stand-in backends, nil without them.
func (s *System) Sandbox() *sandbox.Sandbox { return s.sandbox }

// Failed is closed with the error of a service that ended by itself.
func (s *System) Failed() <-chan error {
	c := make(chan error, 1)
	go func() {
		if err := s.work.Wait(); err != nil {
			c <- err
		}
		close(c)
	}()
	return c
}

// Stop ends the services, which finish what is in hand, then the broker.
func (s *System) Stop(ctx context.Context) error {
	var errs error
	if s.work != nil {
		s.stop(nil)
		done := make(chan error, 1)
		go func() { done <- s.work.Wait() }()
		select {
		case err := <-done:
			errs = errors.Join(errs, err)
		case <-ctx.Done():
			errs = errors.Join(errs, fmt.Errorf("services: %w", context.Cause(ctx)))
		}
	}
	for _, c := range s.closers {
		c()
	}
	if s.probes != nil {
		errs = errors.Join(errs, s.probes.Stop(ctx))
	}
	if s.sandbox != nil {
		errs = errors.Join(errs, s.sandbox.Stop(ctx))
	}
	if s.server != nil {
		s.logTraffic()
		errs = errors.Join(errs, s.server.Stop(ctx))
	}
	if s.stopProfile != nil {
		errs = errors.Join(errs, s.stopProfile())
	}
	return errs
}
