package fff

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
)

type failedCmd struct {
	List   failedListCmd   `cmd:"" help:"List what failed in a run: dead letters, or the failures of a dataset."`
	Show   failedShowCmd   `cmd:"" help:"Show one dead letter whole, or one failure of a dataset."`
	Replay failedReplayCmd `cmd:"" help:"Send dead letters of a run through the system again."`
	Drop   failedDropCmd   `cmd:"" help:"Remove dead letters of a run, or the batches of a run that nobody opened."`
}

// filters choose among failures.
type filters struct {
	Stage string `placeholder:"STAGE" help:"Only those of this stage: ingest, dynamo, fs-fast, fs-slow, writer."`
	Code  string `placeholder:"CODE" help:"Only those with this code; docs/failures.md lists them."`
	Kind  string `enum:",cell,record,batch" default:"" placeholder:"KIND" help:"Only those of this kind: cell, record or batch."`
}

func (f *filters) selection() control.Selection {
	return control.Selection{Stage: f.Stage, Code: f.Code, Kind: f.Kind}
}

// source says where failures are read: from a run's dead letters, or from a dataset.
type source struct {
	connection
	Dir string `placeholder:"DIR" help:"Read _failures.jsonl of this dataset, a directory or s3://bucket/prefix/run; no broker is needed."`
	ID  string `arg:"" optional:"" name:"run" help:"Id of the run."`
}

func (s *source) check() error {
	if (s.ID == "") == (s.Dir == "") {
		return usage("give either the id of a run or --dir DIR")
	}
	return nil
}

type failedListCmd struct {
	source
	filters
	listing
	Limit int `default:"100" placeholder:"N" help:"At most so many; 0 for all."`
}

// Run is called by kong.
func (c *failedListCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Limit < 0 {
		return usage("--limit %d: give 0 for all, or more", c.Limit)
	}
	if c.Dir != "" {
		return c.listDataset(a)
	}
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	want := c.selection()
	var letters []*control.Letter
	more := false
	for l, err := range s.Ctl.Letters(a.soft, c.ID, 0) {
		if err != nil {
			return err
		}
		if !want.Matches(l) {
			continue
		}
		if more = c.Limit > 0 && len(letters) == c.Limit; more {
			break
		}
		letters = append(letters, l)
	}
	if c.Output == "json" {
		return writeJSON(a.stdout, letters)
	}
	var rows [][]string
	for _, l := range letters {
		rows = append(rows, []string{fmt.Sprint(l.Sequence), l.Kind, l.Stage, l.Code, humanize.Comma(l.Count), fmt.Sprint(l.Attempts), timeText(l.At), oneLine(l.Reason)})
	}
	err = writeTable(a.stdout, columns{">seq", "kind", "stage", "code", ">count", ">attempts", "at", "reason"}, rows)
	c.mention(a, more)
	return err
}

func (c *failedListCmd) mention(a *app, more bool) {
	if more {
		a.note("there are more; give --limit 0 for all")
	}
}

// numbered is a failure of a dataset and its line in _failures.jsonl.
type numbered struct {
	Line int `json:"line"`
	dataset.Failure
}

func (c *failedListCmd) listDataset(a *app) error {
	var list []numbered
	more := false
	err := a.eachFailure(c.Dir, func(n numbered) bool {
		if c.Stage != "" && c.Stage != n.Stage || c.Code != "" && c.Code != n.Code || c.Kind != "" && c.Kind != n.Kind {
			return true
		}
		if more = c.Limit > 0 && len(list) == c.Limit; more {
			return false
		}
		list = append(list, n)
		return true
	})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(a.stdout, list)
	}
	var rows [][]string
	for _, n := range list {
		rows = append(rows, []string{fmt.Sprint(n.Line), n.Kind, n.UserID, n.PITCTimestamp, n.Family, n.Stage, n.Code, fmt.Sprint(n.Attempts), oneLine(n.Reason)})
	}
	err = writeTable(a.stdout, columns{">line", "kind", "user_id", "pitc_timestamp", "family", "stage", "code", ">attempts", "reason"}, rows)
	c.mention(a, more)
	return err
}

// eachFailure goes through the failures of a dataset until fn gives false.
func (a *app) eachFailure(place string, fn func(numbered) bool) error {
	from, err := a.openDataset(place)
	if err != nil {
		return err
	}
	name := strings.TrimRight(place, "/") + "/" + dataset.FailuresName
	blob, err := from.Open(a.soft, dataset.FailuresName)
	if errors.Is(err, fs.ErrNotExist) {
		return usage("%s is not there: either %s is no dataset of a finished run, or nothing failed", name, place)
	}
	if _, s3 := errors.AsType[*awss3.Error](err); s3 {
		return ofS3("failures", err)
	}
	if err != nil {
		return usage("failures: %w", err)
	}
	defer func() { _ = blob.Close() }()
	line := 0
	for failure, err := range dataset.Failures(bufio.NewReader(io.NewSectionReader(blob, 0, blob.Size()))) {
		if err != nil {
			return ofS3("failures", fmt.Errorf("%s: %w", name, err))
		}
		line++
		if !fn(numbered{line, failure}) {
			return nil
		}
	}
	return nil
}

// maxReason bounds a reason in a table; show gives it whole.
const maxReason = 120

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxReason {
		s = string(r[:maxReason-1]) + "…"
	}
	return s
}

type failedShowCmd struct {
	connection
	Dir string `placeholder:"DIR" help:"Read _failures.jsonl of this dataset, a directory or s3://bucket/prefix/run; no broker is needed."`
	ID  string `arg:"" name:"run" help:"Id of the run; with --dir, the line in _failures.jsonl."`
	Seq string `arg:"" optional:"" help:"Sequence of the dead letter; none with --dir."`
}

// Run is called by kong.
func (c *failedShowCmd) Run(a *app) error {
	if c.Dir != "" {
		return c.showDataset(a)
	}
	if c.Seq == "" {
		return usage("give the id of a run and the sequence of a dead letter")
	}
	seq, err := parseSequence(c.Seq)
	if err != nil {
		return err
	}
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := s.Ctl.Letter(a.soft, c.ID, seq)
	if err != nil {
		return err
	}
	return writeLetter(a.stdout, l)
}

// writeLetter writes a dead letter's headers as JSON and what it carries below: as text
// where it is text, else its size.
func writeLetter(w io.Writer, l *control.Letter) error {
	if err := writeIndented(w, l); err != nil {
		return err
	}
	body := l.Data
	var indented bytes.Buffer
	switch {
	case json.Indent(&indented, l.Data, "", "  ") == nil:
		body = indented.Bytes()
	case bytes.ContainsFunc(l.Data, func(r rune) bool { return r == '\ufffd' || r < ' ' && !strings.ContainsRune("\t\r\n", r) }):
		body = fmt.Appendf(nil, "(%s that are no text)", humanize.IBytes(uint64(len(l.Data))))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", bytes.TrimRight(body, "\n"))
	return err
}

func (c *failedShowCmd) showDataset(a *app) error {
	if c.Seq != "" {
		return usage("with --dir, give the line of a failure alone")
	}
	want, err := parseSequence(c.ID)
	if err != nil {
		return err
	}
	var found *numbered
	err = a.eachFailure(c.Dir, func(n numbered) bool {
		if uint64(n.Line) != want {
			return true
		}
		found = &n
		return false
	})
	if err != nil {
		return err
	}
	if found == nil {
		return usage("%s has no line %d", filepath.Join(c.Dir, dataset.FailuresName), want)
	}
	return writeIndented(a.stdout, found)
}

func parseSequence(s string) (uint64, error) {
	var n uint64
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n == 0 || fmt.Sprint(n) != s {
		return 0, usage("%q is no sequence; give a number as `fff failed list` shows it", s)
	}
	return n, nil
}

// chosen are the flags of commands that change dead letters.
type chosen struct {
	oneRun
	filters
	Sequences []uint64 `arg:"" optional:"" name:"seq" help:"Sequences of the dead letters."`
	All       bool     `help:"All dead letters of the run."`
}

func (c *chosen) selection() (control.Selection, error) {
	s := c.filters.selection()
	s.Sequences, s.All = c.Sequences, c.All
	if err := s.Check(); err != nil {
		return s, usage("%w", err)
	}
	return s, nil
}

// ask connects for a request about the letters chosen. What is wrong with the choice is
// said first.
func (c *chosen) ask(a *app) (*session, control.Selection, error) {
	want, err := c.selection()
	if err != nil {
		return nil, want, err
	}
	s, err := a.connect(a.soft, c.NATS)
	return s, want, err
}

type failedReplayCmd struct{ chosen }

// Run is called by kong.
func (c *failedReplayCmd) Run(a *app) error {
	s, want, err := c.ask(a)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.Ctl.Replay(a.soft, c.ID, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d replayed in epoch %d\n", r.Replayed, r.Epoch)
	a.note("follow them with `fff runs wait %s`", c.ID)
	return nil
}

type failedDropCmd struct{ chosen }

// Run is called by kong.
func (c *failedDropCmd) Run(a *app) error {
	s, want, err := c.ask(a)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.Ctl.Drop(a.soft, c.ID, want)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d dropped\n", r.Dropped)
	return nil
}
