// Package service is what the services' mains have in common: settings, logger,
// connection, probes, signals.
package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/fleet"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

// Deps is what every service is given.
type Deps struct {
	Client   *broker.Client
	Instance string // unique among all processes, and never used again
	Metrics  *runner.Metrics
	Log      zerolog.Logger
	Grace    time.Duration // how long work in hand may go on after the stop
}

// Service is a service that was made and not started.
type Service interface {
	// Run works until ctx ends, then finishes what is in hand.
	Run(ctx context.Context) error
	// State gives starting, ready, draining or stopped.
	State() string
}

// NewInstance gives an id that nothing else has: ten hexadecimal digits.
func NewInstance() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// process is all that the environment says of a service's process.
type process[C any] struct {
	Common  settings.Common
	Process settings.Process
	Own     C
}

// Main runs a service until SIGINT or SIGTERM and gives its exit code: 0 after a signal, 2
// for wrong settings, 1 for all else. A second signal ends the process at once, as a kill
// would: what it has in hand goes to another instance when the broker has waited long enough.
func Main[C any](name string, make func(context.Context, C, Deps) (Service, error)) int {
	if err := run(untilSignal(), name, make); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		var bad *settings.Error
		if errors.As(err, &bad) {
			return 2
		}
		return 1
	}
	return 0
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM. By then signals
// have their usual effect again: a second one must not be lost, however soon it comes.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

func run[C any](ctx context.Context, name string, make func(context.Context, C, Deps) (Service, error)) (err error) {
	var p process[C]
	if err := errors.Join(settings.Load(&p.Common), settings.Load(&p.Process), settings.Load(&p.Own)); err != nil {
		return err
	}
	limitMemory(p.Own)
	stopProfile, err := Profile(p.Process.CPUProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	instance := NewInstance()
	log, err := telemetry.NewLogger(os.Stderr, p.Common.Log.Level, p.Common.Log.Format)
	if err != nil {
		return err
	}
	log = telemetry.ForInstance(log, name, instance)
	registry := telemetry.NewRegistry()
	var made atomic.Pointer[Service] // nil while it waits for the broker
	stopProbes, err := probe(p.Process.HTTPAddr, registry, &made)
	if err != nil {
		return err
	}
	defer stopProbes()

	work, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	nc, err := broker.Connect(ctx, p.Common.NATS, name+"."+instance, log, broker.OnRefused(lost))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // told to stop before there was a broker
	case err != nil:
		return err
	}
	defer nc.Close()
	client, err := broker.NewClient(nc)
	if err != nil {
		return err
	}
	s, err := make(work, p.Own, Deps{Client: client, Instance: instance, Metrics: runner.NewMetrics(registry), Log: log, Grace: p.Process.ShutdownGrace})
	if err != nil {
		return err
	}
	made.Store(&s)
	log.Info().Msg("started")
	err = s.Run(work)
	log.Info().Msg("stopped")
	if err == nil && ctx.Err() == nil {
		return context.Cause(work)
	}
	return err
}

// probe serves the probes and metrics of a process, from before it has a broker: that it
// waits for one is no reason to end it.
func probe(addr string, metrics prometheus.Gatherer, made *atomic.Pointer[Service]) (stop func(), err error) {
	if addr == "" {
		addr = settings.DefaultHTTPAddr
	}
	if addr == settings.HTTPOff {
		return func() {}, nil
	}
	probes, err := telemetry.Serve(addr, telemetry.Handler(metrics, func() telemetry.State {
		if s := made.Load(); s != nil {
			return telemetry.State((*s).State())
		}
		return telemetry.Starting
	}))
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = probes.Stop(ctx) // the process ends anyway
	}, nil
}

// Announced does the work of an instance, and announces the instance for as long as the work
// lasts: the time included in which it drains, after ctx has ended.
func Announced(ctx context.Context, c *broker.Client, name string, beat func() fleet.Beat, work ...func(context.Context) error) error {
	announcing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	return Together(ctx,
		func(context.Context) error { return fleet.Announce(announcing, c, name, beat) },
		func(ctx context.Context) error {
			defer stop()
			return Together(ctx, work...)
		})
}

// Together runs parts of a service until ctx ends or one of them fails, and gives the
// first error.
func Together(ctx context.Context, parts ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		g.Go(func() error { return part(ctx) })
	}
	return g.Wait()
}
