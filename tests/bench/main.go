// Command bench measures the pipeline: whole jobs of the real programs, on backends that
// cost next to nothing, in processes of their own.
//
//	go run ./bench                # some two minutes
//	go run ./bench -full          # every scenario, medians of three
//	go run ./bench -only hits-100 # those whose names contain it
//
// It prints a table, and writes it as Markdown and JSON to -out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
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
	full    bool
	only    string
	out     string
	samples int
	repeat  int
}

func run(ctx context.Context) error {
	if len(os.Args) > 1 && os.Args[1] == "stub" {
		return serveStub(ctx, os.Args[2:])
	}
	var o options
	flag.BoolVar(&o.full, "full", false, "every scenario, medians of three")
	flag.StringVar(&o.only, "only", "", "the scenarios whose names contain this")
	flag.StringVar(&o.out, "out", "", "directory for results.json and results.md; none when left out")
	flag.IntVar(&o.samples, "samples", 0, "samples of a job; 20,000 when left out")
	flag.IntVar(&o.repeat, "repeat", 0, "times that each scenario is run; 1, or 3 with -full")
	flag.Parse()
	if o.samples == 0 {
		o.samples = 20_000
	}
	if o.repeat == 0 {
		o.repeat = 1
		if o.full {
			o.repeat = 3
		}
	}
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()
	results, err := measureAll(ctx, p, &o)
	if err != nil {
		return err
	}
	report := newReport(results, &o)
	fmt.Print("\n", report.markdown())
	if o.out == "" {
		return nil
	}
	return report.write(o.out)
}

func measureAll(ctx context.Context, p *programs, o *options) ([]result, error) {
	var results []result
	for _, s := range scenarios {
		if o.only != "" && !strings.Contains(s.Name, o.only) || o.only == "" && !o.full && s.Full {
			continue
		}
		var tries []result
		for range o.repeat {
			r, err := p.measure(ctx, s, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			fmt.Fprintf(os.Stderr, "%-24s %8.0f families/s  %6.1f CPU-s per 1M families  peak %s\n", s.Name, r.PerSecond, r.CPUPerMillion, mebibytes(r.peak()))
			tries = append(tries, *r)
		}
		results = append(results, median(tries))
	}
	return results, nil
}
