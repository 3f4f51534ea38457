package telemetry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

func TestLoggerWritesJSONWithItsOrigin(t *testing.T) {
	var b bytes.Buffer
	log, err := telemetry.NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log = telemetry.ForInstance(log, "writer", "i7")
	log.Info().Msg("not this")
	log.Warn().Msg("this")
	var line map[string]string
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, b.String())
	}
	if line["service"] != "writer" || line["instance"] != "i7" || line["level"] != "warn" || line["message"] != "this" || line["time"] == "" {
		t.Errorf("got %v", line)
	}
}

func TestLoggerForPeople(t *testing.T) {
	var b bytes.Buffer
	log, err := telemetry.NewLogger(&b, "info", "console")
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("hello")
	if got := b.String(); !strings.HasSuffix(got, " INF hello\n") {
		t.Errorf("got %q", got)
	}
}

func TestLoggerRefusesUnknownForms(t *testing.T) {
	for _, c := range [][2]string{{"loud", "json"}, {"", "json"}, {"info", "xml"}} {
		if _, err := telemetry.NewLogger(io.Discard, c[0], c[1]); err == nil {
			t.Errorf("level %q and format %q were accepted", c[0], c[1])
		}
	}
}

func TestServer(t *testing.T) {
	reg := telemetry.NewRegistry()
	cells := prometheus.NewCounter(prometheus.CounterOpts{Name: "fff_cells_total", Help: "Cells."})
	reg.MustRegister(cells)
	cells.Add(3)
	state := telemetry.Starting
	s, err := telemetry.Serve("127.0.0.1:0", telemetry.Handler(reg, func() telemetry.State { return state }))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state telemetry.State
		path  string
		code  int
		want  string
	}{
		{telemetry.Starting, "/healthz", 200, "ok"},
		{telemetry.Starting, "/readyz", 503, "starting"},
		{telemetry.Ready, "/readyz", 200, "ready"},
		{telemetry.Draining, "/readyz", 503, "draining"},
		{telemetry.Ready, "/metrics", 200, "fff_cells_total 3"},
		{telemetry.Ready, "/metrics", 200, "go_goroutines"},
		{telemetry.Ready, "/", 404, ""},
	} {
		state = c.state
		resp, err := http.Get("http://" + s.Addr() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.code || !strings.Contains(string(body), c.want) {
			t.Errorf("%s while %s: %d %q, %v", c.path, c.state, resp.StatusCode, body, err)
		}
	}
	if _, err := telemetry.Serve(s.Addr(), http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "FFF_HTTP_ADDR") {
		t.Errorf("an address in use gives %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := (*telemetry.Server)(nil).Stop(t.Context()); err != nil {
		t.Errorf("stop of none: %v", err)
	}
}
