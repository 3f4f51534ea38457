// Package charts draws the benchmarks' plots as SVG.
package charts

import (
	"errors"
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colour gives the n-th of ten colours that are told apart.
func Colour(n int) color.Color {
	return palette[n%len(palette)]
}

var palette = []color.Color{
	color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff},
	color.RGBA{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff}, color.RGBA{R: 0xff, G: 0x7f, B: 0x0e, A: 0xff},
	color.RGBA{R: 0x94, G: 0x67, B: 0xbd, A: 0xff}, color.RGBA{R: 0x8c, G: 0x56, B: 0x4b, A: 0xff},
	color.RGBA{R: 0xe3, G: 0x77, B: 0xc2, A: 0xff}, color.RGBA{R: 0xbc, G: 0xbd, B: 0x22, A: 0xff},
	color.RGBA{R: 0x17, G: 0xbe, B: 0xcf, A: 0xff}, color.RGBA{R: 0x7f, G: 0x7f, B: 0x7f, A: 0xff},
}

// Write draws plots below each other, each of this size.
func Write(path string, width, height vg.Length, plots ...*plot.Plot) error {
	canvas := vgsvg.New(width, height*vg.Length(len(plots)))
	whole := draw.New(canvas)
	for i, p := range plots {
		bottom := height * vg.Length(len(plots)-i-1)
		p.Draw(draw.Crop(whole, 0, 0, bottom, bottom-height*vg.Length(len(plots)-1)))
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// Series is a part of each bar, or a line.
type Series struct {
	Name   string
	Values []float64 // one for each bar; NaN is none
}

// Bars gives a plot of horizontal bars, the first at the top, whose parts are put on each
// other, with a mark where a bar has a bound (NaN is none).
func Bars(title, x string, names []string, parts []Series, bounds []float64, bound string) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.X.Min = title, x, 0
	p.Add(plotter.NewGrid())
	var below *plotter.BarChart
	for i, s := range parts {
		if len(s.Values) != len(names) {
			return nil, fmt.Errorf("%s has %d values for %d bars", s.Name, len(s.Values), len(names))
		}
		bars, err := plotter.NewBarChart(plotter.Values(upwards(s.Values)), vg.Points(14))
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, Colour(i), 0
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		p.Add(bars)
		if s.Name != "" {
			p.Legend.Add(s.Name, bars)
		}
	}
	if err := mark(p, upwards(bounds), bound); err != nil {
		return nil, err
	}
	p.NominalY(upwards(names)...)
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(4), vg.Points(4)
	p.X.Max *= 1.35 // room for the legend
	return p, nil
}

// mark draws a short line across each bar that has a bound.
func mark(p *plot.Plot, bounds []float64, name string) error {
	named := false
	for i, b := range bounds {
		if b != b {
			continue
		}
		line, err := plotter.NewLine(plotter.XYs{{X: b, Y: float64(i) - 0.4}, {X: b, Y: float64(i) + 0.4}})
		if err != nil {
			return err
		}
		line.Width = vg.Points(2)
		p.Add(line)
		if !named {
			p.Legend.Add(name, line)
			named = true
		}
	}
	return nil
}

func upwards[T any](list []T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[len(list)-1-i] = v
	}
	return out
}

// Line is one line of a plot.
type Line struct {
	Name   string
	Points plotter.XYs
	Dashed bool
	Dots   bool
}

// Lines gives a plot of lines that begins at 0.
func Lines(title, x, y string, lines ...Line) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text, p.Y.Min = title, x, y, 0
	p.Add(plotter.NewGrid())
	seen := map[string]bool{}
	for _, l := range lines {
		line, dots, err := plotter.NewLinePoints(l.Points)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		colour := len(seen)
		if seen[l.Name] {
			colour--
		}
		line.Color, line.Width = Colour(colour), vg.Points(1.2)
		dots.Color, dots.Shape = line.Color, draw.CircleGlyph{}
		if l.Dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line)
		if l.Dots {
			p.Add(dots)
		}
		if !seen[l.Name] {
			seen[l.Name] = true
			p.Legend.Add(l.Name, line)
		}
	}
	p.Y.Max *= 1.15
	p.Legend.Top, p.Legend.Left = true, true
	return p, nil
}
