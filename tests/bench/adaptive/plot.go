package main

import (
	"errors"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/fastfeaturefetch/fff/tests/bench/charts"
)

// plotAll draws answers over time beside what the best static limits give.
func plotAll(path string, all []result) error {
	var plots []*plot.Plot
	for _, r := range all {
		p, err := r.plot()
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	return charts.Write(path, 18*vg.Centimeter, 6*vg.Centimeter, plots...)
}

func (r *result) plot() (*plot.Plot, error) {
	if len(r.Phases) == 0 {
		return nil, errors.New("nothing was measured")
	}
	answers := charts.Line{Name: "max_in_flight: auto"}
	for n, s := range r.Seconds {
		answers.Points = append(answers.Points, plotter.XY{X: float64(n), Y: float64(s.Answers)})
	}
	lines := []charts.Line{answers}
	for i, ph := range r.Phases {
		begin, most := float64(i)*stay.Seconds(), ph.Static[ph.Best].PerSecond
		lines = append(lines, charts.Line{
			Name: "best static limit", Dashed: true,
			Points: plotter.XYs{{X: begin, Y: most}, {X: begin + stay.Seconds(), Y: most}},
		})
	}
	p, err := charts.Lines("The service "+r.Text, "seconds", "answers a second", lines...)
	if err == nil {
		p.X.Max = float64(len(r.Phases)) * stay.Seconds()
	}
	return p, err
}
