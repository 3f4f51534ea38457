package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
	"github.com/fastfeaturefetch/fff/tests/bench/stages"
)

// profiled runs the job of a scenario under the profiler and gives each stage's share of the
// CPU time.
func (p *programs) profiled(ctx context.Context, s scenario, samples int) (map[string]float64, error) {
	name := filepath.Join(p.dir, s.Name+".pprof")
	if _, err := p.try(ctx, s, samples, &trial{profile: name}); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return stages.Shares(f)
}

// byProcess gives the CPU-seconds per million families of each stage that is a process.
func (r *result) byProcess() map[string]float64 {
	out := map[string]float64{}
	for name, u := range r.Processes {
		switch name {
		case "nats-server":
			name = stages.Broker
		case submits:
			name = stages.Other
		}
		out[name] += u.CPU / float64(r.Cells) * 1e6
	}
	return out
}

// speeds are how fast the machine was from time to time.
type speeds []calibrate.Figures

// measure adds how fast it is now.
func (s *speeds) measure(ctx context.Context) error {
	now, err := speed(ctx)
	if err == nil {
		*s = append(*s, now)
	}
	return err
}

// factor is one for all of the time: the machine's speed differs more from one moment to the
// next than jobs do.
func (s speeds) factor() float64 { return calibrate.Mean(s...).Factor() }

// speed measures the machine, in a process of its own: its memory must not be taken for
// that of the processes that are started here.
func speed(ctx context.Context) (calibrate.Figures, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, self, "calibrate").Output()
	if err != nil {
		return nil, fmt.Errorf("measure the machine: %w", err)
	}
	var f calibrate.Figures
	return f, json.Unmarshal(out, &f)
}

// printFigures is that process.
func printFigures() error {
	f, err := calibrate.Measure()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}
