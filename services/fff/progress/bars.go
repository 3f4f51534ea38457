package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	barsRefresh = 200 * time.Millisecond
	barCells    = 28 // width of the bar itself
)

// bars keeps some lines at the foot of a terminal up to date: one for the run, one for
// each stage.
type bars struct {
	progress *mpb.Progress
	rows     []*mpb.Bar

	mu    sync.Mutex
	lines []string
}

func newBars(w io.Writer) *bars {
	return &bars{progress: mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(barsRefresh), mpb.WithAutoRefresh())}
}

func (b *bars) Show(f *Frame) {
	lines := Rows(f)
	for len(lines) < len(b.rows) { // an ended run has no stages any more
		lines = append(lines, "")
	}
	b.mu.Lock()
	b.lines = lines
	b.mu.Unlock()
	for len(b.rows) < len(lines) {
		b.rows = append(b.rows, b.progress.MustAdd(0, b.filler(len(b.rows)), mpb.BarFillerTrim()))
	}
}

// filler draws one row; mpb does the rest of the work with the terminal.
func (b *bars) filler(row int) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		_, err := io.WriteString(w, runewidth.Truncate(b.lines[row], s.AvailableWidth, "…"))
		return err
	})
}

// Write prints whole lines above the bars.
func (b *bars) Write(p []byte) (int, error) { return b.progress.Write(p) }

func (b *bars) Note(text string) { fmt.Fprintln(b, text) }

// Close draws the last frame and leaves it standing.
func (b *bars) Close() {
	for _, r := range b.rows {
		r.SetTotal(1, true)
	}
	b.progress.Wait()
}

// Rows gives a frame as the lines of a terminal.
func Rows(f *Frame) []string {
	rows := []string{fmt.Sprintf("%-8s %s  %s", clip(f.Status.Run, 8), bar(f), cells(f))}
	for i := range f.Stages {
		rows = append(rows, stageRow(f, &f.Stages[i]))
	}
	if f.Status.Waiting != "" {
		rows = append(rows, "  "+f.Status.Waiting)
	}
	return rows
}

// bar draws how much is done; while nobody knows the whole, it names the state.
func bar(f *Frame) string {
	if f.Total == 0 || f.Status.State != "running" && f.Status.State != "draining" && f.Share() < 100 {
		return fmt.Sprintf("[%-*s]", barCells, clip(state(f.Status.State), barCells))
	}
	full := barCells * f.Share() / 100
	head := ""
	if full < barCells {
		head = ">"
	}
	return "[" + strings.Repeat("=", full) + head + strings.Repeat(" ", barCells-full-len(head)) + "]"
}

func stageRow(f *Frame, s *StageFrame) string {
	done := count(s.CellsOut+s.CellsFailed) + " cells"
	if s.Name == "ingest" {
		done = count(f.Status.RecordsSeen) + " records"
	}
	row := fmt.Sprintf("  %-8s %8s cells/s %22s %10s queued", s.Name, rate(s.Rate), done, count(s.Lag))
	if e := eta(s.ETA); s.ETA > 0 {
		row += "  " + e
	}
	if s.CellsFailed > 0 {
		row += fmt.Sprintf("  %s failed", count(s.CellsFailed))
	}
	if s.Instances == 0 {
		row += "  no instance"
	}
	if s.Waiting != "" {
		row += "  " + s.Waiting
	}
	return row
}

func clip(s string, n int) string { return runewidth.Truncate(s, n, "…") }
