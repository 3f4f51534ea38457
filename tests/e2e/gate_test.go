package e2e

import (
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// gate holds the requests to a feature service, so that a job cannot end before the test
// lets it.
type gate struct {
	came   chan struct{} // a request has come
	opened chan struct{}
}

func newGate(b *harness.Backends) *gate {
	g := &gate{came: make(chan struct{}, 1), opened: make(chan struct{})}
	b.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		select {
		case g.came <- struct{}{}:
		default:
		}
		select {
		case <-g.opened:
		case <-time.After(harness.Patience):
		}
		return featureservice.Fault{}
	}})
	return g
}

// awaitOne waits for a request.
func (g *gate) awaitOne(t *testing.T) {
	t.Helper()
	select {
	case <-g.came:
	case <-time.After(harness.Patience):
		t.Fatal("the feature service was never asked")
	}
}

// open lets all requests pass, those that wait too.
func (g *gate) open() { close(g.opened) }
