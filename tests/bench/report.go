package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
	"github.com/fastfeaturefetch/fff/tests/bench/stages"
)

// submits names the process that gives a job to a fleet and follows it.
const submits = "fff (submits)"

// report is what was measured, and where.
type report struct {
	Machine string   `json:"machine"`
	Repeat  int      `json:"repeat"`
	Speed   speeds   `json:"speed"` // before, between and after the scenarios
	Results []result `json:"results"`
}

func newReport(o *options) *report { return &report{Machine: machine(), Repeat: o.repeat} }

// compute sets the speed factor of all results.
func (r *report) compute() {
	factor := r.Speed.factor()
	for i := range r.Results {
		r.Results[i].Factor = factor
	}
}

// markdown gives the tables.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s. %d families of %d features; a family is a cell. CPU time is that of the pipeline and the broker, without the stub's. Bars are those of the project's goals; the floor is what the parts of the job cost by themselves on the reference machine.\n\n", r.Machine, r.tries(), families, features)
	b.WriteString("| scenario | samples | families/s | at reference speed | bar | CPU-s per 1M | speed factor | at reference speed | bar | floor | stub's CPU-s per 1M | peak of a process |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, x := range r.Results {
		fmt.Fprintf(&b, "| %s | %d | %.0f | %.0f | %s | %.1f | %.2f | %.1f | %s | %s | %.1f | %s |\n", x.Name, x.Samples,
			x.PerSecond, x.rateAtReference(), given(x.BarRate), x.CPUPerMillion, x.Factor, x.CPUPerMillion/x.Factor, given(x.Bar), given(x.Floor),
			x.StubCPU/float64(x.Cells)*1e6, mebibytes(x.peak()))
	}
	b.WriteString("\n## By stage\n\nCPU-seconds per 1M families, as measured. A stage that is a process has what the process took. In one process each stage has its share of a CPU profile of one more try; what a stage allocates has its own collector's help in its share.\n\n")
	r.byStage(&b)
	b.WriteString("\n## Messages\n\nWhat came into the broker per 1M families, and what of it a stream has stored; the rest are pulls, acks and questions.\n\n")
	r.messages(&b)
	for _, x := range r.Results {
		x.processes(&b)
	}
	b.WriteString("\n## How fast the machine was\n\n" + speedTable(r.Speed...))
	return b.String()
}

func (r *report) tries() string {
	if r.Repeat == 1 {
		return "one try of each scenario"
	}
	return fmt.Sprintf("medians of %d", r.Repeat)
}

// rateAtReference is the rate at the reference machine's speed: of the time, that in which
// processors worked is less there, and that in which they waited for the disk is not.
func (r *result) rateAtReference() float64 {
	busy := (r.CPU + r.StubCPU) / float64(runtime.NumCPU())
	return float64(r.Cells) / (r.Wall - busy + busy/r.Factor)
}

// given writes what a scenario has a number for.
func given(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprint(v)
}

func (r *report) byStage(b *strings.Builder) {
	fmt.Fprintf(b, "| scenario | %s |\n|---|%s\n", strings.Join(stages.Order, " | "), strings.Repeat("---|", len(stages.Order)))
	for _, x := range r.Results {
		if x.Stages == nil {
			continue
		}
		fmt.Fprintf(b, "| %s |", x.Name)
		for _, name := range stages.Order {
			fmt.Fprintf(b, " %.2f |", x.Stages[name])
		}
		b.WriteByte('\n')
	}
}

// messages tells what came into the broker.
func (r *report) messages(b *strings.Builder) {
	names := r.streams()
	fmt.Fprintf(b, "| scenario | messages into the broker | MiB into the broker | stored messages | %s |\n|---|---|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, x := range r.Results {
		fmt.Fprintf(b, "| %s | %d | %d | %d |", x.Name, x.Messages, x.MessageBytes>>20, x.storedMessages())
		for _, name := range names {
			fmt.Fprintf(b, " %d |", x.Stored[name])
		}
		b.WriteByte('\n')
	}
}

// streams gives the names of those that stored something.
func (r *report) streams() []string {
	names := map[string]bool{}
	for _, x := range r.Results {
		for name, n := range x.Stored {
			if n > 0 {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// processes tells what those of a fleet took and sent.
func (r *result) processes(b *strings.Builder) {
	if !r.Separate {
		return
	}
	fmt.Fprintf(b, "\n## The processes of %s\n\n| process | CPU-s per 1M families | messages into the broker | peak |\n|---|---|---|---|\n", r.Name)
	for _, name := range order() {
		u := r.Processes[name]
		fmt.Fprintf(b, "| %s | %.2f | %d | %s |\n", name, u.CPU/float64(r.Cells)*1e6, r.Sent[name], mebibytes(u.Peak))
	}
}

// order gives the names of the processes as the work flows.
func order() []string {
	names := []string{submits, "nats-server"}
	for _, s := range services {
		names = append(names, "fff-"+s)
	}
	return names
}

// speedTable gives what the pieces of work cost at several times.
func speedTable(all ...calibrate.Figures) string {
	var b strings.Builder
	b.WriteString(calibrate.Definition + " \"At reference speed\" is what was measured, CPU time divided by it; a rate is that of a job whose processors work for so much less time and wait for as long. It is a computed number, not one that was seen.\n\n| CPU time of | unit | reference machine | here, the least | mean | most | ratio of the means |\n|---|---|---|---|---|---|---|\n")
	mean := calibrate.Mean(all...)
	for i, ref := range calibrate.References {
		least, most := all[0][i], all[0][i]
		for _, f := range all {
			least, most = min(least, f[i]), max(most, f[i])
		}
		ratio := ""
		if ref.On > 0 {
			ratio = fmt.Sprintf("%.2f", mean[i]/ref.On)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %.0f | %.0f | %s |\n", ref.Name, ref.Unit, given(ref.On), least, mean[i], most, ratio)
	}
	return b.String()
}

// write writes results.md, results.json and the plots.
func (r *report) write(dir string) error {
	text := "# Results\n\n" + r.markdown() + "\n![CPU-seconds by stage](stages.svg)\n\n![Families a second](throughput.svg)\n"
	if err := writeBoth(dir, "results", text, r); err != nil {
		return err
	}
	return errors.Join(r.plotStages(filepath.Join(dir, "stages.svg")), r.plotThroughput(filepath.Join(dir, "throughput.svg")))
}

// publish prints a report without plots, and writes it if that is wanted.
func (o *options) publish(name, title, text string, data any) error {
	fmt.Print("\n", text)
	if o.out == "" {
		return nil
	}
	return writeBoth(o.out, name, "# "+title+"\n\n"+text, data)
}

// writeBoth writes <name>.md and <name>.json.
func writeBoth(dir, name, text string, data any) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	j, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".json"), append(j, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, name+".md"), []byte(text), 0o644))
}
