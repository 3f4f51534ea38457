package plainhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const good = "a good answer"

func hostOf(t *testing.T, handler http.HandlerFunc) *Host {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := New(u, time.Second)
	if h == nil {
		t.Fatal("it needs net/http's transport")
	}
	t.Cleanup(h.CloseIdle)
	return h
}

// form is a request as it is on the wire.
func form(body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// ask sends a request and reads the answer's body.
func ask(ctx context.Context, h *Host, body string) (string, error) {
	response, err := h.Send(ctx, form(body))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func mustAsk(t *testing.T, h *Host) {
	t.Helper()
	if text, err := ask(t.Context(), h, "q"); err != nil || text != good {
		t.Fatalf("%q, %v", text, err)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body) // what is missing of it is missing in the answer
	w.Write(text)
}

func answers(w http.ResponseWriter, r *http.Request) { io.WriteString(w, good) }

// Each of many callers gets the answer to its own request, small or large.
func TestAnswersBelongToTheirRequests(t *testing.T) {
	h := hostOf(t, echo)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				want := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+j*j)
				if text, err := ask(t.Context(), h, want); err != nil || text != want {
					t.Errorf("%d bytes instead of %d, %v", len(text), len(want), err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(h.idle); n == 0 || n > 8 {
		t.Errorf("%d connections for 8 callers", n)
	}
}

// What comes on a connection while it is idle is no answer to the next request.
func TestUnaskedAnswerOnAnIdleConnection(t *testing.T) {
	late := make(chan struct{})
	var first atomic.Bool
	h := hostOf(t, func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(false, true) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, r.Body)
			fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(good), good)
			rw.Flush()
			<-late
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
			late <- struct{}{}
			return
		}
		answers(w, r)
	})
	mustAsk(t, h)
	late <- struct{}{}
	<-late
	for h.idle[0].quiet() {
		runtime.Gosched() // until it has come
	}
	mustAsk(t, h)
}

// A context that ends while the body is read ends the reading, and the connection is not
// used again.
func TestContextThatEndsWithinABody(t *testing.T) {
	release := make(chan struct{})
	h := hostOf(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the first half")
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, err := h.Send(ctx, form("q"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("no error")
	}
	response.Body.Close()
	if len(h.idle) != 0 {
		t.Error("the connection is kept")
	}
}

// A body that was not read to its end spoils its connection.
func TestAnswerThatNobodyReads(t *testing.T) {
	h := hostOf(t, answers)
	response, err := h.Send(t.Context(), form("q"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if len(h.idle) != 0 {
		t.Error("the connection is kept")
	}
	mustAsk(t, h)
}

// A server that ends connections without an answer is not asked for ever.
func TestServerThatNeverAnswers(t *testing.T) {
	var calls atomic.Int32
	h := hostOf(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			answers(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	})
	mustAsk(t, h)
	if _, err := ask(t.Context(), h, "q"); !errors.Is(err, io.EOF) {
		t.Errorf("the error is %v", err)
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls: want one on the kept connection, and one on a new one", n-1)
	}
}

// Connections that nobody needs are closed after a while.
func TestIdleConnectionsAreClosed(t *testing.T) {
	h := hostOf(t, answers)
	mustAsk(t, h)
	h.closeIdle(time.Now().Add(-time.Minute))
	if len(h.idle) != 1 {
		t.Error("a connection that was just used is closed")
	}
	h.CloseIdle()
	if len(h.idle) != 0 {
		t.Error("an idle connection is kept")
	}
}

// What needs more than a connection goes through net/http's transport.
func TestWhichHostsThereAre(t *testing.T) {
	for raw, want := range map[string]string{
		"http://features.test/a?b=c": "features.test:80", "http://[::1]:8090": "[::1]:8090",
		"https://features.test": "", "http://müsli.test": "", "ftp://features.test": "",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		address := ""
		if h := New(u, time.Second); h != nil {
			address = h.address
		}
		if address != want {
			t.Errorf("%s: %q, want %q", raw, address, want)
		}
	}
}
