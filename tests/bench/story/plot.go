package main

import (
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a chart.
const (
	chartWidth  = 18 * vg.Centimeter
	chartHeight = 8 * vg.Centimeter
)

var colours = []color.RGBA{
	{R: 0x7f, G: 0x7f, B: 0x7f, A: 0xff}, {R: 0xd6, G: 0x27, B: 0x28, A: 0xff}, {R: 0xff, G: 0x7f, B: 0x0e, A: 0xff}, {R: 0x1f, G: 0x77, B: 0xb4, A: 0xff},
	{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff},
}

// curve is something over the seconds of a try.
type curve struct {
	name   string
	points plotter.XYs
}

// bars draws the ratios of a table.
func (t *table) bars() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = t.Title
	p.Y.Label.Text = t.title(t.Ratio)
	p.Y.Min = 0
	var names []string
	for i := range t.Rows {
		v := t.Rows[i].Figures[t.Ratio]
		b, err := plotter.NewBarChart(plotter.Values{v}, vg.Centimeter)
		if err != nil {
			return nil, err
		}
		b.XMin, b.Color, b.LineStyle.Width = float64(i), colours[i%len(colours)], 0
		p.Add(b)
		p.Y.Max = max(p.Y.Max, 1.1*v)
		names = append(names, t.Rows[i].Name)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.X.Tick.Label.Font.Size = vg.Points(8) // names are sentences, nearly
	return p, nil
}

// lines draws the curves of a table.
func (t *table) lines(y string, most float64) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = y + " over time"
	p.X.Label.Text, p.Y.Label.Text = "seconds", y
	p.Y.Min, p.Y.Max = 0, most
	p.Add(plotter.NewGrid())
	for i, c := range t.curves {
		l, err := plotter.NewLine(c.points)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = colours[i%len(colours)], vg.Points(1.2)
		p.Add(l)
		p.Legend.Add(c.name, l)
	}
	p.Y.Max = most
	p.Legend.Top = true
	return p, nil
}

// save writes plots, one below the other.
func save(path string, plots ...*plot.Plot) error {
	canvas := vgsvg.New(chartWidth, chartHeight*vg.Length(len(plots)))
	whole := draw.New(canvas)
	for i, p := range plots {
		top := chartHeight * vg.Length(len(plots)-i)
		p.Draw(draw.Crop(whole, 0, 0, top-chartHeight, top-chartHeight*vg.Length(len(plots))))
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

// charts names the charts of a table.
func (t *table) charts() []string { return []string{"story-" + t.Key + ".svg"} }

// draw writes the charts of a table.
func (t *table) draw(dir string) error {
	bars, err := t.bars()
	if err != nil {
		return err
	}
	plots := []*plot.Plot{bars}
	if len(t.curves) > 0 {
		lines, err := t.lines("busy threads, %", 170) // room for the legend
		if err != nil {
			return err
		}
		plots = append(plots, lines)
	}
	return save(filepath.Join(dir, t.charts()[0]), plots...)
}
