package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// report is what was measured, and where.
type report struct {
	Machine string   `json:"machine"`
	Go      string   `json:"go"`
	Repeat  int      `json:"repeat"`
	Results []result `json:"results"`
}

func newReport(results []result, o *options) *report {
	return &report{
		Machine: fmt.Sprintf("%s/%s, %d CPUs%s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpuModel()),
		Go:      runtime.Version(), Repeat: o.repeat, Results: results,
	}
}

// cpuModel gives ", <model>" where the system tells it.
func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return ", " + strings.TrimSpace(value)
		}
	}
	return ""
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// markdown gives the tables.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; medians of %d. %d families of %d features; a family is a cell.\n\n", r.Machine, r.Go, r.Repeat, families, features)
	b.WriteString("| scenario | samples | families/s | CPU-s per 1M families | stub's CPU-s | peak of a process |\n|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		fmt.Fprintf(&b, "| %s | %d | %.0f | %.1f | %.1f | %s |\n", x.Name, x.Samples, x.PerSecond, x.CPUPerMillion, x.StubCPU/float64(x.Cells)*1e6, mebibytes(x.peak()))
	}
	for _, x := range r.Results {
		if !x.Separate {
			continue
		}
		fmt.Fprintf(&b, "\n%s: %d messages and %s into the broker per 1M families, acks and pulls included; stored of these:%s.\n\n| process | CPU-s per 1M families | messages into the broker | peak |\n|---|---|---|---|\n", x.Name, x.Messages, mebibytes(x.MessageBytes), x.stored())
		for _, name := range x.order() {
			u := x.Processes[name]
			fmt.Fprintf(&b, "| %s | %.2f | %d | %s |\n", name, u.CPU/float64(x.Cells)*1e6, x.Sent[name], mebibytes(u.Peak))
		}
	}
	return b.String()
}

// stored gives the messages of each stream that had some.
func (r *result) stored() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Stored)) {
		if n := r.Stored[name]; n > 0 {
			fmt.Fprintf(&b, " %s %d", name, n)
		}
	}
	return b.String()
}

// order gives the names of the processes as the work flows.
func (r *result) order() []string {
	names := []string{"fff (submits)", "nats-server"}
	for _, s := range services {
		names = append(names, "fff-"+s)
	}
	return names
}

// write writes results.md and results.json.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.md"), []byte("# Results\n\n"+r.markdown()), 0o644)
}
