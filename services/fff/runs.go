package fff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/shared/control"
)

type runsCmd struct {
	List     runsListCmd     `cmd:"" help:"List the runs, and batches for runs that nobody opened."`
	Show     runsShowCmd     `cmd:"" help:"Show how a run stands."`
	Wait     runsWaitCmd     `cmd:"" help:"Follow a run to its end and give its exit code."`
	Cancel   runsCancelCmd   `cmd:"" help:"End a run; what is committed stays."`
	Teardown runsTeardownCmd `cmd:"" help:"Take down what an ended run has left in the broker."`
}

// oneRun are the flags of commands about one run.
type oneRun struct {
	connection
	ID string `arg:"" name:"run" help:"Id of the run."`
}

type runsListCmd struct {
	connection
	listing
}

// Run is called by kong.
func (c *runsListCmd) Run(a *app) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.Ctl.List(a.soft)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(x, y control.Status) int {
		return cmp.Or(y.StartedAt.Compare(x.StartedAt), cmp.Compare(x.Run, y.Run))
	})
	if c.Output == "json" {
		return writeJSON(a.stdout, all)
	}
	var rows [][]string
	for i := range all {
		rows = append(rows, runRow(&all[i]))
	}
	return writeTable(a.stdout, columns{"run", "state", ">epoch", ">records", ">requested", ">committed", ">failed", "started", "dataset"}, rows)
}

func runRow(s *control.Status) []string {
	state := s.State
	if s.Teardown == control.TeardownPending {
		state += ", teardown pending"
	}
	return []string{s.Run, state, fmt.Sprint(s.Epoch), humanize.Comma(s.RecordsSeen), humanize.Comma(s.Requested),
		humanize.Comma(s.Committed), humanize.Comma(s.Failed), timeText(s.StartedAt), s.Dataset}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

type runsShowCmd struct {
	oneRun
	listing
}

// Run is called by kong.
func (c *runsShowCmd) Run(a *app) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	status, err := s.Ctl.Status(a.soft, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeIndented(a.stdout, status)
	}
	return progress.WriteStatus(a.stdout, status, time.Now())
}

type runsWaitCmd struct {
	oneRun
	progressFlags
}

// Run is called by kong.
func (c *runsWaitCmd) Run(a *app) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	view, done := a.view(c.progressFlags)
	meter := progress.NewMeter(progress.Expected{})
	var frame *progress.Frame
	pace := a.pace.OrUsual()
	f := &control.Follower{Client: s.Ctl, Run: c.ID, Poll: pace.Poll, Silence: pace.Silence, Note: view.Note, Progress: func(s *control.Status) {
		frame = meter.Observe(s, time.Now())
		view.Show(frame)
	}}
	_, err = f.Until(a.soft)
	done()
	return a.conclude(frame, err, "", c.progressFlags)
}

type runsCancelCmd struct{ oneRun }

// Run is called by kong.
func (c *runsCancelCmd) Run(a *app) error {
	return a.steer(c.oneRun, "cancelled", (*control.Client).Cancel)
}

type runsTeardownCmd struct {
	connection
	ID  string `arg:"" optional:"" name:"run" help:"Id of the run."`
	All bool   `help:"Every run that has ended, and whatever is left scaled up."`
	Dir string `placeholder:"DIR" help:"Ask no broker: bring down what the undo journals of the datasets in this directory, or at s3://bucket/prefix, say is scaled up."`
}

// Run is called by kong.
func (c *runsTeardownCmd) Run(a *app) error {
	switch {
	case c.ID != "" && c.All:
		return usage("give a run or --all, not both")
	case c.Dir != "":
		return a.tearDownIn(c.Dir, c.ID, c.All)
	case c.All:
		return a.tearDownAll(c.connection)
	case c.ID == "":
		return usage("name a run, or give --all")
	}
	return a.steer(oneRun{c.connection, c.ID}, "torn down", (*control.Client).Teardown)
}

// tearDownAll tears down every run that has ended, or is gone and has left something up.
func (a *app) tearDownAll(c connection) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.Ctl.List(a.soft)
	if err != nil {
		return err
	}
	var errs []error
	for i := range all {
		run := all[i].Run
		switch {
		case all[i].State == control.Stray && len(all[i].WarmUp) == 0:
		case all[i].State != control.Stray && !all[i].Ended():
			a.note("run %s is %s; cancel it first", run, all[i].State)
		default:
			if err := s.Ctl.Teardown(a.soft, run); err != nil {
				errs = append(errs, fmt.Errorf("run %s: %w", run, err))
				continue
			}
			a.note("run %s is torn down", run)
		}
	}
	return errors.Join(errs...)
}

// steer asks the orchestrator to do something with a run.
func (a *app) steer(c oneRun, done string, do func(*control.Client, context.Context, string) error) error {
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := do(s.Ctl, a.soft, c.ID); err != nil {
		return err
	}
	a.note("run %s is %s", c.ID, done)
	return nil
}
