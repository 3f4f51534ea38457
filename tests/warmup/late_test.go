package warmup

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// lateCall stands before an account and keeps the first change of a table on its way, though
// whoever has made the call may have gone.
type lateCall struct {
	t      testing.TB
	url    string
	target atomic.Pointer[string]
	first  sync.Once
	came   chan struct{}
	onward chan struct{}
	status chan int // of the answer to the late call
}

func newLateCall(t testing.TB) *lateCall {
	c := &lateCall{t: t, came: make(chan struct{}), onward: make(chan struct{}), status: make(chan int, 1)}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *lateCall) to(url string) { c.target.Store(&url) }

func (c *lateCall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	late := false
	if r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.UpdateTable" {
		c.first.Do(func() { late = true })
	}
	if late {
		close(c.came)
		select {
		case <-c.onward:
		case <-time.After(2 * harness.Patience):
		}
	}
	to, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, *c.target.Load()+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return
	}
	maps.Copy(to.Header, r.Header)
	answer, err := http.DefaultClient.Do(to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	if late {
		c.status <- answer.StatusCode
	}
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the caller may have gone
}

// await waits until the call has been made.
func (c *lateCall) await(what string) {
	c.t.Helper()
	select {
	case <-c.came:
	case <-time.After(harness.Patience):
		c.t.Fatalf("never: %s", what)
	}
}

// arrive lets the call arrive, and waits until it has been answered.
func (c *lateCall) arrive() {
	c.t.Helper()
	close(c.onward)
	select {
	case status := <-c.status:
		if status != http.StatusOK {
			c.t.Fatalf("the late call is answered with %d: it has changed nothing", status)
		}
	case <-time.After(harness.Patience):
		c.t.Fatal("the late call was never answered")
	}
}
