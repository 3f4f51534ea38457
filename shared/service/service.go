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
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/fastfeaturefetch/fff/shared/broker"
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

// Main runs a service until SIGINT or SIGTERM and gives its exit code.
func Main[C any](name string, make func(context.Context, C, Deps) (Service, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, name, make); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		var bad *settings.Error
		if errors.As(err, &bad) {
			return 2
		}
		return 1
	}
	return 0
}

func run[C any](ctx context.Context, name string, make func(context.Context, C, Deps) (Service, error)) error {
	var p process[C]
	if err := errors.Join(settings.Load(&p.Common), settings.Load(&p.Process), settings.Load(&p.Own)); err != nil {
		return err
	}
	instance := NewInstance()
	log, err := telemetry.NewLogger(os.Stderr, p.Common.Log.Level, p.Common.Log.Format, name, instance)
	if err != nil {
		return err
	}
	nc, err := broker.Connect(ctx, p.Common.NATS, name+"."+instance, log)
	if err != nil {
		return err
	}
	defer nc.Close()
	client, err := broker.NewClient(nc)
	if err != nil {
		return err
	}
	registry := telemetry.NewRegistry()
	s, err := make(ctx, p.Own, Deps{Client: client, Instance: instance, Metrics: runner.NewMetrics(registry), Log: log, Grace: p.Process.ShutdownGrace})
	if err != nil {
		return err
	}
	addr := p.Process.HTTPAddr
	if addr == "" {
		addr = settings.DefaultHTTPAddr
	}
	if addr != settings.HTTPOff {
		probes, err := telemetry.Serve(addr, telemetry.Handler(registry, func() telemetry.State { return telemetry.State(s.State()) }))
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_ = probes.Stop(ctx) // the process ends anyway
		}()
	}
	log.Info().Msg("started")
	err = s.Run(ctx)
	log.Info().Msg("stopped")
	return err
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
