package warmup

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// tollgate is the way to an account, on which one call is held.
type tollgate struct {
	way   http.Handler
	holds func(operation, body string) bool
	held  atomic.Bool // the one call; others like it pass
	let   sync.Once
	came  chan struct{} // closed when the call is there
	open  chan struct{} // closed to let it go on
}

func newTollgate(t *testing.T, to string, holds func(operation, body string) bool) (*tollgate, string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	g := &tollgate{way: httputil.NewSingleHostReverseProxy(u), holds: holds, came: make(chan struct{}), open: make(chan struct{})}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	t.Cleanup(g.release) // a server closes when its calls have ended
	return g, s.URL
}

func (g *tollgate) release() { g.let.Do(func() { close(g.open) }) }

// ServeHTTP hands a call on, also when whoever made it has given it up meanwhile: it was on
// its way.
func (g *tollgate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if g.holds(operation, string(body)) && g.held.CompareAndSwap(false, true) {
		close(g.came)
		<-g.open
	}
	r = r.Clone(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.way.ServeHTTP(w, r)
}

// A leader is stopped at its call, or just before it, and wakes when another one has taken
// over and brought all down: what it had begun does no lasting harm.
func TestLateLeader(t *testing.T) {
	t.Parallel()
	for name, holds := range map[string]func(operation, body string) bool{
		// The mark that tells what it is about to raise is the last that it writes before it.
		"just before its call": func(op, body string) bool { return op == "TagResource" && strings.Contains(body, "read_units=50/500") },
		"its call on the way":  func(op, _ string) bool { return op == "UpdateTable" },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "its call on the way" && os.Getenv("FFF_CHAOS") == "" {
				harness.Skip(t, "a call that arrives late takes two minutes; `make warmup` has it")
			}
			t.Parallel()
			w := newHits(t)
			w.shut()
			gate, at := newTollgate(t, w.url, holds)
			w.job.Env["AWS_ENDPOINT_URL_DYNAMODB"] = at
			w.job.Env["FFF_WARMUP_WATCH"] = "20s"
			f := newFleet(t, w, 2)
			f.Submit(w.job)
			harness.Await(t, "the leader comes to its call", func() bool {
				select {
				case <-gate.came:
					return true
				default:
					return false
				}
			})
			asleep := f.Leader()
			asleep.Pause()
			harness.Await(t, "another one leads", func() bool { l := f.Leader(); return l != nil && l != asleep })
			harness.Await(t, "the run is cancelled", func() bool {
				return harness.Run(t, w.job.Settings(), "runs", "cancel", w.job.Run, "--nats", f.URL).Code == 0
			})
			w.await("the other one has brought all down", func(s state) bool { return s.unraised(w.before) && down(t, w.job) })
			gate.release()
			asleep.Resume()
			w.clean()
			forgotten(t, f)
		})
	}
}
