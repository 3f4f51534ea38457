package main

import (
	"math"
	"os"

	"gonum.org/v1/plot/vg"

	"github.com/fastfeaturefetch/fff/tests/bench/charts"
	"github.com/fastfeaturefetch/fff/tests/bench/stages"
)

// plotStages draws a bar for each scenario, made of what its stages cost.
func (r *report) plotStages(path string) error {
	var names []string
	var bars []float64
	parts := make([]charts.Series, len(stages.Order))
	for _, x := range r.Results {
		if x.Stages == nil {
			continue
		}
		names, bars = append(names, x.Name), append(bars, orNone(x.Bar))
		for i, stage := range stages.Order {
			parts[i].Name = stage
			parts[i].Values = append(parts[i].Values, x.Stages[stage]/x.Factor)
		}
	}
	return drawBars(path, "CPU-seconds per 1M families by stage, at reference speed", "CPU-s", names, parts, bars)
}

// plotThroughput draws families a second.
func (r *report) plotThroughput(path string) error {
	var names []string
	var bars []float64
	measured := charts.Series{Name: "measured"}
	reference := charts.Series{Name: "more at reference speed"}
	for _, x := range r.Results {
		names, bars = append(names, x.Name), append(bars, orNone(x.BarRate))
		measured.Values = append(measured.Values, x.PerSecond)
		reference.Values = append(reference.Values, max(0, x.rateAtReference()-x.PerSecond))
	}
	return drawBars(path, "Families a second", "families/s", names, []charts.Series{measured, reference}, bars)
}

func orNone(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

func drawBars(path, title, x string, names []string, parts []charts.Series, bars []float64) error {
	if len(names) == 0 {
		return os.RemoveAll(path) // none can be drawn, and an earlier run's must not be taken for this one's
	}
	p, err := charts.Bars(title, x, names, parts, bars, "bar")
	if err != nil {
		return err
	}
	return charts.Write(path, 20*vg.Centimeter, max(7, vg.Length(3+len(names)))*vg.Centimeter, p)
}
