package fff

import (
	"context"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

// session is a system that can be asked: one of this process, or one elsewhere.
type session struct {
	broker *broker.Client
	ctl    *control.Client
	url    string // of the broker
	// featureService is the URL of the sandbox's feature service, which takes the place
	// of the run file's; "" without a sandbox.
	featureService string
	failed         <-chan error                // gives the error of a service of this process that ended by itself
	stop           func(context.Context) error // ends what the session started
}

// close ends a session with a system elsewhere: a connection, whose end cannot fail.
func (s *session) close() { _ = s.stop(context.Background()) }

// connectTimeout is how long a broker may take to answer.
const connectTimeout = 15 * time.Second

// common reads the settings that every command shares. People read what fff logs, so
// unless they ask for more they get warnings in words.
func (a *app) common() (settings.Common, zerolog.Logger, error) {
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
	log, err := telemetry.NewLogger(a.stderr, c.Log.Level, c.Log.Format)
	return c, log, err
}

// connect connects to a system elsewhere. url is "" for the one of the settings.
func (a *app) connect(ctx context.Context, url string) (*session, error) {
	c, log, err := a.common()
	if err != nil {
		return nil, err
	}
	if url != "" {
		c.NATS.URL = url
		if err := c.NATS.Validate(); err != nil {
			return nil, usage("--nats: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	nc, err := broker.Connect(ctx, c.NATS, "fff", log)
	if err != nil {
		return nil, err
	}
	client, err := broker.NewClient(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &session{
		broker: client, ctl: control.NewClient(client), url: c.NATS.URL,
		stop: func(context.Context) error { nc.Close(); return nil },
	}, nil
}

// isTerminal tells whether a person looks at w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}
