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
// error; format is json or console. Every line carries the service's name and, unless
// it is "", the instance's id.
func NewLogger(w io.Writer, level, format, service, instance string) (zerolog.Logger, error) {
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
	c := zerolog.New(w).Level(l).With().Timestamp().Str("service", service)
	if instance != "" {
		c = c.Str("instance", instance)
	}
	return c.Logger(), nil
}
