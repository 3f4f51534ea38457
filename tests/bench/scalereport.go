package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/fastfeaturefetch/fff/tests/bench/charts"
)

// raw and atReference are what a family costs, as measured and computed.
func raw(x *sizeResult) float64         { return x.CPUPerMillion }
func atReference(x *sizeResult) float64 { return x.CPUPerMillion / x.Factor }

// besideStub is what a family costs against what it costs the stub, which did the same work
// for each at the same time.
func besideStub(x *sizeResult) float64 {
	if x.StubCPU == 0 {
		return raw(x)
	}
	return raw(x) / (x.StubCPU / float64(x.Cells) * 1e6)
}

func (r *scaleReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %d families of %d features, all of them in DynamoDB, in one process. Of several jobs of a size the one of median cost is shown; they ran before and after those that were run once.\n\n", r.Machine, families, features)
	fmt.Fprintf(&b, "%d samples from the start of the process to `_SUCCESS` and its end: %.2f s, the median of %d; the bar is 2 s.\n\n", smallSamples, r.Small[len(r.Small)/2], len(r.Small))
	b.WriteString("| samples | jobs | seconds | families/s | CPU-s per 1M families | speed factor | at reference speed | peak memory | dataset | files of a family | index per 1M samples | verify: CPU-s | seconds | peak memory |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, x := range r.Sizes {
		fmt.Fprintf(&b, "| %d | %d | %.1f | %.0f | %.1f | %.2f | %.1f | %s | %.2f GB | %.1f | %.1f MB | %.1f | %.1f | %s |\n", x.Samples, x.Jobs, x.Wall, x.PerSecond, raw(&x), x.Factor, atReference(&x),
			mebibytes(x.peak()), float64(x.OutputBytes)/1e9, float64(x.Files)/families, x.indexPerMillion(), x.Verify.CPU, x.VerifyWall, mebibytes(x.Verify.Peak))
	}
	fmt.Fprintf(&b, "\nThe dearest size costs %.0f %% more a family than the cheapest as measured, and %.0f %% against the stub, which did as much for each family at the same time; the bar is 10 %%. Those of the index and of memory are 100 MB and 1 GiB.\n\n", 100*r.spread(raw), 100*r.spread(besideStub))
	return b.String() + "## How fast the machine was\n\n" + speedTable(r.Speed...)
}

func (r *scaleReport) write(dir string) error {
	text := "# Jobs of several sizes\n\n" + r.markdown() + "\n![Cost and memory by size](scale.svg)\n\n![Memory over time](memory.svg)\n"
	if err := writeBoth(dir, "scale", text, r); err != nil {
		return err
	}
	if err := r.plotSizes(filepath.Join(dir, "scale.svg")); err != nil {
		return err
	}
	return r.plotMemory(filepath.Join(dir, "memory.svg"))
}

// plotSizes draws cost and peak memory against samples.
func (r *scaleReport) plotSizes(path string) error {
	measured, computed := charts.Line{Name: "as measured", Dots: true}, charts.Line{Name: "at reference speed", Dots: true}
	peak, verify := charts.Line{Name: "run", Dots: true}, charts.Line{Name: "verify", Dots: true}
	for _, x := range r.Sizes {
		at := func(l *charts.Line, v float64) { l.Points = append(l.Points, plotter.XY{X: float64(x.Samples), Y: v}) }
		at(&measured, raw(&x))
		at(&computed, atReference(&x))
		at(&peak, float64(x.peak())/(1<<20))
		at(&verify, float64(x.Verify.Peak)/(1<<20))
	}
	cost, err := charts.Lines("What a family costs", "samples", "CPU-s per 1M families", measured, computed)
	if err != nil {
		return err
	}
	memory, err := charts.Lines("Peak memory", "samples", "MiB", peak, verify)
	if err != nil {
		return err
	}
	for _, p := range []*plot.Plot{cost, memory} {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	return charts.Write(path, 18*vg.Centimeter, 7*vg.Centimeter, cost, memory)
}

// plotMemory draws the memory of the largest job over time.
func (r *scaleReport) plotMemory(path string) error {
	x := r.Sizes[len(r.Sizes)-1]
	line := charts.Line{Name: "resident"}
	for i, n := range x.Memory {
		line.Points = append(line.Points, plotter.XY{X: float64(i + 1), Y: float64(n) / (1 << 20)})
	}
	if len(line.Points) == 0 {
		return nil // it has ended within a second, or the system does not tell
	}
	p, err := charts.Lines(fmt.Sprintf("Memory of the process, %d samples", x.Samples), "seconds", "MiB", line)
	if err != nil {
		return err
	}
	return charts.Write(path, 18*vg.Centimeter, 7*vg.Centimeter, p)
}
