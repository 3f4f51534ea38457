// Package system starts the system in this process, or finds the one elsewhere.
package system

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

// System is a system that can be asked: one of this process, or one elsewhere.
type System struct {
	Broker *broker.Client
	Ctl    *control.Client
	URL    string // of the broker
	// FeatureService is the URL of the sandbox's feature service, which takes the place
	// of the run file's; "" without a sandbox.
	FeatureService string
	Failed         <-chan error                // gives the error of a service of this process that ended by itself; nil elsewhere
	Stop           func(context.Context) error // ends what was started here
}

// Close ends the use of a system elsewhere: a connection, whose end cannot fail.
func (s *System) Close() { _ = s.Stop(context.Background()) }

// Start starts the whole system in this process: embedded broker and every service, over the
// same subjects with the same acks as elsewhere.
func Start(ctx context.Context, o allinone.Options) (*System, error) {
	s, err := allinone.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &System{
		Broker: s.Client, Ctl: control.NewClient(s.Client), URL: s.URL,
		FeatureService: s.FeatureService, Failed: s.Failed(), Stop: s.Stop,
	}, nil
}

// connectTimeout is how long a broker may take to answer.
const connectTimeout = 15 * time.Second

// Connect connects to a system elsewhere.
func Connect(ctx context.Context, at settings.NATS, log zerolog.Logger) (*System, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	nc, err := broker.Connect(ctx, at, "fff", log)
	if err != nil {
		return nil, err
	}
	client, err := broker.NewClient(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &System{
		Broker: client, Ctl: control.NewClient(client), URL: at.URL,
		Stop: func(context.Context) error { nc.Close(); return nil },
	}, nil
}

// Settings reads the settings that every process shares. What a program logs is read by
// people, so unless they ask for more they get warnings in words.
func Settings(to io.Writer) (settings.Common, zerolog.Logger, error) {
	var c settings.Common
	if err := settings.Load(&c); err != nil {
		return c, zerolog.Nop(), err
	}
	if _, set := os.LookupEnv("FFF_LOG_LEVEL"); !set {
		c.Log.Level = "warn"
	}
	if _, set := os.LookupEnv("FFF_LOG_FORMAT"); !set {
		c.Log.Format = "console"
	}
	log, err := telemetry.NewLogger(to, c.Log.Level, c.Log.Format)
	return c, log, err
}
