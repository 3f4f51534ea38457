package progress

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// plainEvery is how often a line is written while nothing else changes.
const plainEvery = 5 * time.Second

// plain writes a line every few seconds and whenever the state of the run changes.
type plain struct {
	w     io.Writer
	last  time.Duration
	state string
}

func (p *plain) Show(f *Frame) {
	if f.Status.State == p.state && f.Elapsed-p.last < plainEvery {
		return
	}
	p.state, p.last = f.Status.State, f.Elapsed
	fmt.Fprintln(p.w, Line(f))
}

func (p *plain) Note(text string) { fmt.Fprintln(p.w, text) }

func (p *plain) Close() {}

// Line gives a frame in one line.
func Line(f *Frame) string {
	parts := []string{fmt.Sprintf("%s %s", f.Status.Run, state(f.Status.State)), cells(f)}
	if f.Status.Waiting != "" {
		parts = append(parts, f.Status.Waiting)
	}
	if f.Status.Round > 0 {
		parts = append(parts, fmt.Sprintf("repair round %d", f.Status.Round))
	}
	if !f.Status.InputSealed {
		parts = append(parts, count(f.Status.RecordsSeen)+" records in")
	}
	var stages []string
	for i := range f.Stages {
		if s := stageShort(&f.Stages[i]); s != "" {
			stages = append(stages, s)
		}
	}
	if len(stages) > 0 {
		parts = append(parts, strings.Join(stages, " · "))
	}
	return strings.Join(parts, " | ")
}

// cells says how far the cells of a run are.
func cells(f *Frame) string {
	var b strings.Builder
	if f.Total > 0 {
		fmt.Fprintf(&b, "%d%%  %s / %s cells", f.Share(), count(f.Done), count(f.Total))
	} else {
		fmt.Fprintf(&b, "%s cells", count(f.Done))
	}
	if f.Rate > 0 {
		fmt.Fprintf(&b, "  %s/s", rate(f.Rate))
	}
	if e := eta(f.ETA); e != "" && f.ETA > 0 {
		b.WriteString("  " + e)
	}
	if f.Status.Failed > 0 {
		fmt.Fprintf(&b, "  %s failed", count(f.Status.Failed))
	}
	if f.Status.BadRecords > 0 {
		fmt.Fprintf(&b, "  %s bad records", count(f.Status.BadRecords))
	}
	units := 0.0
	for _, n := range f.Status.ReadUnits {
		units += n
	}
	if units > 0 {
		fmt.Fprintf(&b, "  %s read units", count(int64(math.Ceil(units))))
	}
	return b.String()
}

// stageShort says what a stage does; "" if it does nothing.
func stageShort(s *StageFrame) string {
	if s.Rate < 0.05 && s.Lag == 0 && s.Waiting == "" {
		return ""
	}
	text := fmt.Sprintf("%s %s/s", s.Name, rate(s.Rate))
	if s.Lag > 0 {
		text += fmt.Sprintf(" %s queued", count(s.Lag))
	}
	if s.Waiting != "" {
		text += " (" + s.Waiting + ")"
	}
	return text
}
