// Package broker connects to NATS and, for the all-in-one, runs a server inside the
// process.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/settings"
)

// Connect connects to the servers of s and waits until one answers or ctx ends. name
// is what the server's monitoring shows for the connection.
func Connect(ctx context.Context, s settings.NATS, name string, log zerolog.Logger, extra ...nats.Option) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		// A publish made while the server is away fails at once instead of being kept:
		// kept, it would arrive after a restart and act on a state that nobody has looked at.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(3),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrConnectionClosed) {
				return
			}
			e := log.Warn().Err(err)
			if sub != nil {
				e = e.Str("subject", sub.Subject)
			}
			e.Msg("NATS reported an error")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("connection to NATS lost; reconnecting")
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			log.Info().Str("server", c.ConnectedUrlRedacted()).Msg("connected to NATS again")
		}),
	}
	if s.Creds != "" {
		opts = append(opts, nats.UserCredentials(s.Creds))
	}
	if s.TLSCA != "" {
		opts = append(opts, nats.RootCAs(s.TLSCA))
	}
	if s.TLSCert != "" {
		opts = append(opts, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	if s.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	opts = append(opts, extra...)
	return dial(ctx, s.URL, log, opts)
}

// OnRefused is an option that tells fn when a connection is given up for good: the servers,
// when they were back, refused the credentials twice. It tells so too when we close it.
func OnRefused(fn func(error)) nats.Option {
	return nats.ClosedHandler(func(nc *nats.Conn) {
		fn(fmt.Errorf("NATS refuses the connection: %w (check FFF_NATS_CREDS and the certificates)", nc.LastError()))
	})
}

// redacted gives URLs without the passwords in them.
func redacted(urls string) string {
	all := strings.Split(urls, ",")
	for i, one := range all {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
			all[i] = u.Redacted()
		}
	}
	return strings.Join(all, ",")
}

// passing tells whether an error may be gone in a moment: the server or the way to it is
// not there yet. A load balancer takes connections and breaks them off when nobody is behind it.
func passing(err error) bool {
	for _, p := range []error{nats.ErrNoServers, nats.ErrTimeout, nats.ErrMaxConnectionsExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, p) {
			return true
		}
	}
	_, network := errors.AsType[*net.OpError](err)
	_, name := errors.AsType[*net.DNSError](err)
	return network || name
}

// stillWaiting is how often it is said again that no server answers.
const stillWaiting = 10 * time.Second

// dial tries until a server answers: services are started in any order.
func dial(ctx context.Context, urls string, log zerolog.Logger, opts []nats.Option) (*nats.Conn, error) {
	var said time.Time
	for {
		nc, err := nats.Connect(urls, opts...)
		if err == nil {
			return nc, nil
		}
		if !passing(err) {
			return nil, fmt.Errorf("connect to NATS at %s: %w (check FFF_NATS_URL and the credentials)", redacted(urls), err)
		}
		if time.Since(said) >= stillWaiting {
			said = time.Now()
			log.Warn().Err(err).Str("url", redacted(urls)).Msg("waiting for a NATS server to answer (FFF_NATS_URL)")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS at %s: %w (is the server running? check FFF_NATS_URL)", redacted(urls), err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}
