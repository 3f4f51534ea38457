// Package progress shows people, and programs, how a run is getting on: bars on a
// terminal, plain lines in a pipe, JSON lines, and a summary at the end.
//
// A [Meter] turns the statuses of a run into frames that hold rates, shares and what is
// left; everything that is shown is a pure function of a frame.
package progress

import (
	"slices"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
)

// Expected is what is known of a run before it has started, from its records file;
// zero where it is not known.
type Expected struct {
	Records int64
	Cells   int64
}

// Frame is a run at a moment.
type Frame struct {
	Status  *control.Status
	Elapsed time.Duration // since the first frame
	Done    int64         // cells committed or failed
	Total   int64         // cells requested; 0 while nobody knows
	Rate    float64       // cells done per second, lately
	ETA     time.Duration // until all cells are done; negative while nobody knows
	Stages  []StageFrame
}

// StageFrame is a stage at a moment.
type StageFrame struct {
	control.StageStatus
	Rate float64       // cells handed on or failed per second, lately
	ETA  time.Duration // until all cells of the run are through; negative while nobody knows
}

// Share gives how much of the run is done, in percent, rounded down: 100 means all of
// it. It is negative while nobody knows.
func (f *Frame) Share() int {
	if f.Total <= 0 {
		return -1
	}
	return int(min(f.Done, f.Total) * 100 / f.Total)
}

// Meter makes frames. It is for one goroutine.
type Meter struct {
	expected Expected
	start    time.Time
	cells    window
	stages   map[string]*window
}

// NewMeter makes a meter for a run.
func NewMeter(e Expected) *Meter {
	return &Meter{expected: e, stages: map[string]*window{}}
}

// Observe gives the frame of a status that was read at now.
func (m *Meter) Observe(s *control.Status, now time.Time) *Frame {
	if m.start.IsZero() {
		m.start = now
	}
	f := &Frame{Status: s, Elapsed: now.Sub(m.start), Done: s.Committed + s.Failed, ETA: -1}
	f.Total = max(s.Requested, m.expected.Cells)
	f.Rate = m.cells.add(f.Done, now)
	known := s.InputSealed || m.expected.Cells > 0
	if !known {
		f.Total = 0
	}
	if f.Total > 0 {
		f.ETA = left(f.Total-f.Done, f.Rate)
	}
	for _, st := range s.Stages {
		w := m.stages[st.Name]
		if w == nil {
			w = new(window)
			m.stages[st.Name] = w
		}
		out := st.CellsOut + st.CellsFailed
		stage := StageFrame{StageStatus: st, Rate: w.add(out, now), ETA: -1}
		if f.Total > 0 && s.Epoch == 1 && everyCell(st.Name) {
			stage.ETA = left(f.Total-out, stage.Rate)
		}
		f.Stages = append(f.Stages, stage)
	}
	return f
}

// everyCell tells whether all cells of a run pass through a stage. How the others share
// them is known only when they are through.
func everyCell(stage string) bool { return stage == "ingest" || stage == "writer" }

// left gives how long cells take at a rate per second; negative for ever.
func left(cells int64, rate float64) time.Duration {
	switch {
	case cells <= 0:
		return 0
	case rate <= 0:
		return -1
	}
	return time.Duration(min(float64(cells)/rate, maxSeconds) * float64(time.Second))
}

const maxSeconds = 1e9 // some 30 years; a duration holds more

// A rate is taken over the last windowAge, because commits come in bursts, and only
// once there is something to compare with.
const (
	windowAge = 30 * time.Second
	minAge    = 2 * time.Second
)

type point struct {
	at    time.Time
	value int64
}

// window holds what was counted lately.
type window struct{ points []point }

// add notes a count and gives the rate per second. A count that fell began anew.
func (w *window) add(value int64, now time.Time) float64 {
	if n := len(w.points); n > 0 && w.points[n-1].value > value {
		w.points = w.points[:0]
	}
	w.points = append(w.points, point{now, value})
	// The last point that is old enough stays, so that the window keeps its length.
	keep := 0
	for keep+1 < len(w.points) && now.Sub(w.points[keep+1].at) >= windowAge {
		keep++
	}
	w.points = slices.Delete(w.points, 0, keep)
	first := w.points[0]
	if age := now.Sub(first.at); age >= minAge {
		return float64(value-first.value) / age.Seconds()
	}
	return 0
}
