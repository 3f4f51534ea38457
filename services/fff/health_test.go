package fff

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadyURLOfAnAddress(t *testing.T) {
	for addr, want := range map[string]string{
		":8080":             "http://127.0.0.1:8080/readyz",
		"0.0.0.0:81":        "http://127.0.0.1:81/readyz",
		"[::]:82":           "http://127.0.0.1:82/readyz",
		"10.1.2.3:83":       "http://10.1.2.3:83/readyz",
		"writer.local:http": "http://writer.local:http/readyz",
	} {
		if got := readyURL(addr); got != want {
			t.Errorf("%s is asked at %s, want %s", addr, got, want)
		}
	}
}

func TestHealthIsWhatTheServiceSays(t *testing.T) {
	ready := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("draining\n"))
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	}))
	defer s.Close()
	t.Setenv("FFF_HTTP_ADDR", strings.TrimPrefix(s.URL, "http://"))
	run(t, "health").expect(t, 0, "ready", "")
	ready = false
	run(t, "health").expect(t, 1, "", "503 Service Unavailable, draining")
	s.Close()
	run(t, "health").expect(t, 1, "", "no answer")
}

func TestHealthNeedsAnAddress(t *testing.T) {
	t.Setenv("FFF_HTTP_ADDR", "off")
	run(t, "health").expect(t, 2, "", "give a URL")
}
