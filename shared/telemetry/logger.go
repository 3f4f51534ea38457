// Package telemetry gives a process its logger, its metrics registry, and the HTTP
// server of /healthz, /readyz and /metrics.
package telemetry

import (
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"
)

// NewLogger makes a logger that writes to w. level is trace, debug, info, warn or
// error; format is json or console.
func NewLogger(w io.Writer, level, format string) (zerolog.Logger, error) {
	l, err := zerolog.ParseLevel(level)
	if err != nil || l == zerolog.NoLevel {
		return zerolog.Nop(), fmt.Errorf("log level %q: use trace, debug, info, warn or error", level)
	}
	switch format {
	case "json":
	case "console":
		w = zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: time.TimeOnly}
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q: use json or console", format)
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}

// ForInstance gives the logger of an instance of a service: every line carries the two
// names. Who makes the instance calls it, once, so that no line carries them twice.
func ForInstance(log zerolog.Logger, service, instance string) zerolog.Logger {
	return log.With().Str("service", service).Str("instance", instance).Logger()
}
