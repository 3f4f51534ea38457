package main

import (
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of the plot of one kind of service.
const (
	width  = 18 * vg.Centimeter
	height = 6 * vg.Centimeter
)

var (
	found  = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	static = color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}
)

// plotAll draws answers over time beside what the best static limits give.
func plotAll(path string, all []result) error {
	canvas := vgsvg.New(width, height*vg.Length(len(all)))
	whole := draw.New(canvas)
	for i, r := range all {
		p, err := r.plot()
		if err != nil {
			return err
		}
		top := height * vg.Length(len(all)-i)
		p.Draw(draw.Crop(whole, 0, 0, top-height, top-height*vg.Length(len(all))))
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (r *result) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "The service " + r.Text
	p.X.Label.Text = "seconds"
	p.Y.Label.Text = "answers a second"
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	answers := plotter.XYs{}
	for n, s := range r.Seconds {
		answers = append(answers, plotter.XY{X: float64(n), Y: float64(s.Answers)})
	}
	line, err := plotter.NewLine(answers)
	if err != nil {
		return nil, err
	}
	line.Color = found
	p.Add(line)
	p.Legend.Add("max_in_flight: auto", line)
	for i, ph := range r.Phases {
		begin := float64(i) * stay.Seconds()
		most := ph.Static[ph.Best].PerSecond
		bound, err := plotter.NewLine(plotter.XYs{{X: begin, Y: most}, {X: begin + stay.Seconds(), Y: most}})
		if err != nil {
			return nil, err
		}
		bound.Color, bound.Width, bound.Dashes = static, vg.Points(1.2), []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(bound)
		if i == 0 {
			p.Legend.Add("best static limit", bound)
		}
		p.Y.Max = max(p.Y.Max, 1.15*most)
	}
	p.Legend.Top = true
	p.Legend.Left = true
	p.X.Max = float64(len(r.Phases)) * stay.Seconds()
	if p.X.Max == 0 {
		return nil, fmt.Errorf("nothing was measured")
	}
	return p, nil
}
