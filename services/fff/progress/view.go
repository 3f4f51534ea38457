package progress

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
)

// Mode is a way to show progress.
type Mode string

// The ways to show progress. Auto is bars on a terminal and Plain elsewhere.
const (
	Auto  Mode = "auto"
	Plain Mode = "plain"
	JSON  Mode = "json"
	None  Mode = "none"
)

// View shows frames and notes. Show and Close are for one goroutine; Note may be called
// from others.
type View interface {
	Show(*Frame)
	Note(text string)
	Close()
}

// NewView makes a view. terminal is where a person looks on, nil if nobody does; people
// takes lines for people and results those for programs.
func NewView(m Mode, terminal, people, results io.Writer) View {
	switch {
	case m == Auto && terminal != nil:
		return newBars(terminal)
	case m == Auto, m == Plain:
		return &plain{w: people}
	case m == JSON:
		return &lines{w: json.NewEncoder(results)}
	}
	return nothing{people}
}

// nothing shows notes only: a wait that nobody explains would look like a stall.
type nothing struct{ w io.Writer }

func (nothing) Show(*Frame) {}
func (n nothing) Note(text string) {
	_, _ = io.WriteString(n.w, text+"\n")
}
func (nothing) Close() {}

// jsonEvery is how often a JSON line is written while the state stays the same.
const jsonEvery = time.Second

// lines writes JSON objects, one a line.
type lines struct {
	mu    sync.Mutex // guards w
	w     *json.Encoder
	state string
	last  time.Duration
	begun bool
}

// Event is one line of the JSON view.
type Event struct {
	Event       string          `json:"event"` // progress, note or summary
	Text        string          `json:"text,omitempty"`
	ElapsedS    float64         `json:"elapsed_seconds,omitempty"`
	CellsPerS   float64         `json:"cells_per_second,omitempty"`
	ETASeconds  *float64        `json:"eta_seconds,omitempty"` // left out while nobody knows
	DonePercent *int            `json:"done_percent,omitempty"`
	Status      *control.Status `json:"status,omitempty"`
}

func (l *lines) Show(f *Frame) {
	if l.begun && f.Status.State == l.state && f.Elapsed-l.last < jsonEvery {
		return
	}
	l.begun, l.state, l.last = true, f.Status.State, f.Elapsed
	l.write(eventOf("progress", f))
}

func (l *lines) Note(text string) { l.write(Event{Event: "note", Text: text}) }

func (l *lines) write(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.w.Encode(e) // nobody is left to tell when stdout is gone
}

func (l *lines) Close() {}

func eventOf(name string, f *Frame) Event {
	e := Event{Event: name, ElapsedS: f.Elapsed.Seconds(), CellsPerS: f.Rate, Status: f.Status}
	if f.ETA >= 0 {
		e.ETASeconds = new(f.ETA.Seconds())
	}
	if f.Total > 0 {
		e.DonePercent = new(f.Share())
	}
	return e
}
