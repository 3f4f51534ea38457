package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// State is how ready a process is for work.
type State string

// The states of a process, in the order in which it passes through them.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Draining State = "draining"
	Stopped  State = "stopped"
)

// NewRegistry makes a registry that holds the metrics of the Go runtime, of the process
// and of its build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return r
}

// Bounds of the HTTP server: probes and scrapes are small and quick.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	maxHeaderBytes = 16 << 10
	maxScrapes     = 4 // at the same time
)

// Handler serves /healthz (200 while the process lives), /readyz (200 only while state
// gives Ready; the body is the state) and /metrics.
func Handler(metrics prometheus.Gatherer, state func() State) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := state()
		if s != Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, s)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	return mux
}

// Server is a running HTTP server.
type Server struct {
	http *http.Server
	addr string
	done chan error
}

// Serve listens on addr (host:port; port 0 picks a free one) and serves h until Stop.
func Serve(addr string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("FFF_HTTP_ADDR: %w; choose another port or set it to off", err)
	}
	s := &Server{
		http: &http.Server{
			Handler: h, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderBytes,
		},
		addr: l.Addr().String(),
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Addr gives the address that the server listens on.
func (s *Server) Addr() string { return s.addr }

// Stop takes no more requests and waits for those under way, until ctx ends; then it
// breaks them off. A nil server is stopped already.
func (s *Server) Stop(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if serr := <-s.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
