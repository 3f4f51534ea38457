package harness

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
)

// Gate holds the requests to a feature service, so that a job cannot end before the test
// lets it.
type Gate struct {
	came   chan struct{} // a request has come
	opened chan struct{}
	steps  <-chan time.Time // one request passes at each; nil = never
}

// NewGate shuts a gate before the feature service of the stand-ins.
func NewGate(b *Backends) *Gate { return newGate(b, nil) }

// NewGateAjar is NewGate, but lets one request through every so often: a job goes on, in
// small steps, for as long as the test needs.
func NewGateAjar(t testing.TB, b *Backends, every time.Duration) *Gate {
	ticker := time.NewTicker(every)
	t.Cleanup(ticker.Stop)
	return newGate(b, ticker.C)
}

func newGate(b *Backends, steps <-chan time.Time) *Gate {
	g := &Gate{came: make(chan struct{}, 1), opened: make(chan struct{}), steps: steps}
	b.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		select {
		case g.came <- struct{}{}:
		default:
		}
		select {
		case <-g.opened:
		case <-g.steps:
		case <-time.After(Patience):
		}
		return featureservice.Fault{}
	}})
	return g
}

// AwaitOne waits for a request.
func (g *Gate) AwaitOne(t testing.TB) {
	t.Helper()
	select {
	case <-g.came:
	case <-time.After(Patience):
		t.Fatal("the feature service was never asked")
	}
}

// Open lets all requests pass, those that wait too.
func (g *Gate) Open() { close(g.opened) }
