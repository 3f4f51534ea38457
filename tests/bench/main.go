// Command bench measures the pipeline: whole jobs of the real programs, on backends that
// cost next to nothing, in processes of their own.
//
//	go run ./bench                # some two minutes
//	go run ./bench -full          # every scenario, medians of three
//	go run ./bench -only hits-100 # those whose names contain it
//	go run ./bench -bars          # those that have a bar, while nobody else uses the machine
//	go run ./bench -latency       # backends that take their time, a service with 200 threads
//	go run ./bench -scale         # 10,000, 100,000 and a million samples: half an hour, 40 GB
//
// It prints tables. With -out it writes them as Markdown and JSON with plots.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	full     bool
	bars     bool
	latency  bool
	scale    bool
	only     string
	out      string
	samples  int
	repeat   int
	sizes    string
	seconds  int
	patience time.Duration
}

func flags() *options {
	var o options
	flag.BoolVar(&o.full, "full", false, "every scenario, medians of three")
	flag.BoolVar(&o.bars, "bars", false, "the scenarios that have a bar, by jobs that had the machine for themselves")
	flag.DurationVar(&o.patience, "patience", 30*time.Minute, "how long -bars waits for the machine in all")
	flag.BoolVar(&o.latency, "latency", false, "backends that take their time, alone")
	flag.BoolVar(&o.scale, "scale", false, "jobs of several sizes, alone")
	flag.StringVar(&o.only, "only", "", "the scenarios whose names contain this")
	flag.StringVar(&o.out, "out", "", "directory for what is printed, as Markdown and JSON, and for plots; none when left out")
	flag.IntVar(&o.samples, "samples", 0, "samples of a job; 5,000, or 10,000 with -full and -bars, when left out")
	flag.IntVar(&o.repeat, "repeat", 0, "times that each scenario is run; 1, or 3 with -full and -bars, when left out")
	flag.StringVar(&o.sizes, "sizes", "10000,100000,1000000", "samples of the jobs of -scale")
	flag.IntVar(&o.seconds, "seconds", 120, "how long a job of -latency takes at the bound")
	flag.Parse()
	usual, times := 5_000, 1
	if o.full || o.bars {
		usual, times = 10_000, 3
	}
	if o.samples == 0 {
		o.samples = usual
	}
	if o.repeat == 0 {
		o.repeat = times
	}
	return &o
}

func run(ctx context.Context) error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "stub":
			return serveStub(ctx, os.Args[2:])
		case "calibrate":
			return printFigures()
		}
	}
	o := flags()
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()
	switch {
	case o.bars:
		return p.bars(ctx, o)
	case o.latency:
		return p.latency(ctx, o)
	case o.scale:
		return p.scale(ctx, o)
	}
	if err := p.scenarios(ctx, o); err != nil || !o.full || o.only != "" {
		return err
	}
	return p.latency(ctx, o)
}

// chosen gives the scenarios that are to be measured.
func (o *options) chosen() []scenario {
	var list []scenario
	for _, s := range scenarios {
		if o.only == "" && (o.full || !s.Full) || o.only != "" && strings.Contains(s.Name, o.only) {
			list = append(list, s)
		}
	}
	return list
}

// scenarios measures whole jobs on backends without latency. The speed of the machine is
// measured before, between and after them.
func (p *programs) scenarios(ctx context.Context, o *options) error {
	rep := newReport(o)
	if err := rep.Speed.measure(ctx); err != nil {
		return err
	}
	for _, s := range o.chosen() {
		r, err := p.repeated(ctx, s, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if err := rep.Speed.measure(ctx); err != nil {
			return err
		}
		rep.Results = append(rep.Results, *r)
	}
	rep.compute()
	fmt.Print("\n", rep.markdown())
	if o.out == "" {
		return nil
	}
	if err := rep.write(o.out); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "\nwritten to %s\n", o.out)
	return nil
}

// repeated runs a scenario several times, and once more under the profiler.
func (p *programs) repeated(ctx context.Context, s scenario, o *options) (*result, error) {
	if s.OneAMessage {
		if err := p.buildVariant(ctx); err != nil {
			return nil, err
		}
	}
	var tries []result
	for range o.repeat {
		r, err := p.measure(ctx, s, o.samples)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%-24s %8.0f families/s  %6.1f CPU-s per 1M families  peak %s\n", s.Name, r.PerSecond, r.CPUPerMillion, mebibytes(r.peak()))
		tries = append(tries, *r)
	}
	r := median(tries)
	switch {
	case s.Separate:
		r.Stages = r.byProcess()
	case o.full || s.Profiled:
		shares, err := p.profiled(ctx, s, o.samples)
		if err != nil {
			return nil, err
		}
		r.Stages = map[string]float64{}
		for name, share := range shares {
			r.Stages[name] = share * r.CPUPerMillion
		}
	}
	return &r, nil
}
