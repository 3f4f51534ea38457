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
}

// NewGate shuts a gate before the feature service of the stand-ins.
func NewGate(b *Backends) *Gate {
	g := &Gate{came: make(chan struct{}, 1), opened: make(chan struct{})}
	b.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		select {
		case g.came <- struct{}{}:
		default:
		}
		select {
		case <-g.opened:
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
