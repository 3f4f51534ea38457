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
	Rate float64 // cells handed on or failed per second, lately
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
	switch left := f.Total - f.Done; {
	case !known || f.Total == 0:
		f.Total = 0
	case left <= 0:
		f.ETA = 0
	case f.Rate > 0:
		f.ETA = time.Duration(float64(left) / f.Rate * float64(time.Second))
	}
	for _, st := range s.Stages {
		w := m.stages[st.Name]
		if w == nil {
			w = new(window)
			m.stages[st.Name] = w
		}
		f.Stages = append(f.Stages, StageFrame{st, w.add(st.CellsOut+st.CellsFailed, now)})
	}
	return f
}

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
