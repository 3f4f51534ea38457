// Package stages tells from a CPU profile of the all-in-one process which stage the time
// went to.
package stages

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

// Rows that are no service.
const (
	Broker  = "broker"
	Runtime = "runtime/GC"
	Other   = "other"
)

// Order lists the rows as the work flows.
var Order = []string{
	"fff-ingest", "fff-dynamo-fetcher", "fff-fs-fast", "fff-fs-slow", "fff-writer", "fff-orchestrator",
	Broker, Runtime, Other,
}

// Shares reads a profile and gives each row's share of the time, 1 in all. The broker is what
// has a frame of its package, whoever called it; then the label counts that the services'
// goroutines have; the runtime is what runs for nobody: collecting garbage and finding work.
func Shares(r io.Reader) (map[string]float64, error) {
	p, err := profile.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	shares, total := map[string]float64{}, 0.0
	for _, s := range p.Sample {
		v := float64(s.Value[len(s.Value)-1]) // nanoseconds
		shares[row(s)] += v
		total += v
	}
	if total == 0 {
		return nil, fmt.Errorf("CPU profile: no sample in it")
	}
	for name := range shares {
		shares[name] /= total
	}
	return shares, nil
}

const (
	brokerPackage = "github.com/nats-io/nats-server/v2/"
	servicesPath  = "github.com/fastfeaturefetch/fff/services/"
)

// row gives the row of a sample: the outermost frame that tells decides.
func row(s *profile.Sample) string {
	functions := outwards(s)
	for _, f := range functions {
		if strings.HasPrefix(f, brokerPackage) {
			return Broker
		}
	}
	if label := s.Label["service"]; len(label) > 0 {
		return label[0]
	}
	for _, f := range functions {
		rest, ok := strings.CutPrefix(f, servicesPath)
		if name, _, _ := strings.Cut(rest, "."); ok && known("fff-"+name) {
			return "fff-" + name
		}
	}
	for _, f := range functions {
		if !strings.HasPrefix(f, "runtime.") && !strings.HasPrefix(f, "internal/runtime/") {
			return Other
		}
	}
	return Runtime
}

func known(name string) bool {
	for _, o := range Order {
		if o == name {
			return true
		}
	}
	return false
}

// outwards gives the functions of a sample, the outermost first.
func outwards(s *profile.Sample) []string {
	var out []string
	for i := len(s.Location) - 1; i >= 0; i-- {
		lines := s.Location[i].Line
		for j := len(lines) - 1; j >= 0; j-- { // inlined ones come first
			if lines[j].Function != nil {
				out = append(out, lines[j].Function.Name)
			}
		}
	}
	return out
}
