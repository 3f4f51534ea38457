// Command story measures what each decision of the design brings: tables that compare
// ways to do the same job, each in one run, on the sandbox with stated latencies.
//
//	go run ./bench/story                            # some ten minutes
//	go run ./bench/story -only c                    # one table
//	go run ./bench/story -out ../docs/benchmarks    # story.md, story.json and the charts too
//
// The story: the first system took 72 hours, one process doing one thing after another; the
// one after it took 10.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "story:", err)
		os.Exit(1)
	}
}

// clientArg makes the program one of its own clients.
const clientArg = "client"

func start(ctx context.Context) error {
	if len(os.Args) == 4 && os.Args[1] == clientArg {
		return beClient(ctx, os.Args[2], []byte(os.Args[3]))
	}
	out := flag.String("out", "", "directory for story.md, story.json and the charts; none when left out")
	only := flag.String("only", "abcd", "letters of the tables")
	tries := flag.Int("tries", 3, "times that each row is measured")
	flag.Parse()
	return tell(ctx, *out, *only, *tries)
}

// beClient does what a client does and writes what it says as JSON.
func beClient(ctx context.Context, kind string, arg []byte) error {
	var said any
	var err error
	switch kind {
	case "serial":
		said, err = call(ctx, arg, serialClient)
	case "fetch":
		said, err = call(ctx, arg, fetchClient)
	case "writer":
		said, err = call(ctx, arg, writerClient)
	default:
		err = errors.New("there is no client " + kind)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

func call[C, S any](ctx context.Context, arg []byte, do func(context.Context, C) (*S, error)) (*S, error) {
	var cfg C
	if err := json.Unmarshal(arg, &cfg); err != nil {
		return nil, err
	}
	return do(ctx, cfg)
}

// tables are measured in this order.
var tables = []struct {
	key     string
	measure func(ctx context.Context, p *programs, tries int) (*table, error)
}{
	{"a", measureSerial}, {"b", measureBatching}, {"c", measureLanes}, {"d", measureWriter},
}

func tell(ctx context.Context, out, only string, tries int) error {
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()
	var told []*table
	for _, t := range tables {
		if !strings.Contains(only, t.key) {
			continue
		}
		got, err := t.measure(ctx, p, tries)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.key, err)
		}
		got.settle()
		fmt.Print("\n", got.markdown())
		told = append(told, got)
	}
	if out == "" {
		return nil
	}
	return write(out, told)
}

// write writes the tables and their charts.
func write(dir string, told []*table) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The story, told again\n\n`make story`, or `go run ./bench/story -out ../docs/benchmarks` in tests/. %s/%s, %d CPUs, %s. %s\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), preface)
	for _, t := range told {
		b.WriteString("\n" + t.markdown())
		for _, name := range t.charts() {
			fmt.Fprintf(&b, "\n![%s](%s)\n", t.Title, name)
		}
		if err := t.draw(dir); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(told, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "story.md"), []byte(b.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "story.json"), append(data, '\n'), 0o644))
}

// preface says what holds for all tables.
var preface = fmt.Sprintf(`The first system took 72 hours for what its successor did in 10: one process, one thing after another. Each table below takes one decision of the design and compares ways to do the same job, by turns in one run; figures are medians of the tries.

Jobs have samples of %d families of %d features, %d of the families slow. The backends are the sandbox's stand-ins, within the process that measures, so they compete with what is measured for the processor but are not counted: CPU and memory are those of the measured process. Latencies are scaled down, some 1 : %d: a call of DynamoDB takes %v, a request to the feature service %v for the user's data, %v more for each fast family (so %v for all of them), and %v to %v more for each slow one; it works on %d requests at the same time, and time-outs of 60 s and 300 s are %v and %v here. Ratios between ways that wait for backends carry over to real latencies; those between ways that work the processor do too, but absolute rates do not.`,
	families, features, slow, scale, dynamoLatency, loading, fastLatency, loading+(families-slow)*fastLatency, slowMin, slowMax, threads, fastTimeout, slowTimeout)
