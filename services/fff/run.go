package fff

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/shared/control"
)

// runCmd runs a job from its records to a finished dataset.
type runCmd struct {
	jobFlags
	progressFlags
	Records string `placeholder:"FILE" help:"Records file or s3://bucket/key: JSONL, CSV or Parquet, or - for JSONL on stdin. Without it the run waits for batches on its subject."`
	Sandbox bool   `help:"Start stand-ins for DynamoDB and the feature service, and use them."`
	Store   string `placeholder:"DIR" help:"Directory of the embedded broker's store; <out>/.fff/<run> when left out."`
	NATS    string `name:"nats" placeholder:"URL" help:"Submit to the system at this broker and follow, instead of running all of it in this process."`
}

// Run is called by kong.
func (c *runCmd) Run(a *app) error {
	if c.NATS != "" && (c.Sandbox || c.Store != "") {
		return usage("--sandbox and --store are for the system of this process; leave them out, or leave out --nats")
	}
	j, err := a.loadJob(c.jobFlags, c.Records, c.NATS == "")
	if err != nil {
		return err
	}
	defer j.close()
	cfg := a.fetching(j)
	cfg.Store, cfg.Sandbox = c.Store, c.Sandbox
	if c.NATS != "" {
		at, _, err := a.broker(c.NATS)
		if err != nil {
			return err
		}
		cfg.NATS = at.URL
		return a.drive(cfg, j, c.progressFlags)
	}
	spareProcessor()
	if j.expanded.WarmUp != nil {
		self, err := a.self()
		if err != nil {
			return fmt.Errorf("start the guard of what is scaled up: %w", err)
		}
		cfg.Guard = []string{self, "guard"}
	}
	return a.drive(cfg, j, c.progressFlags)
}

// fetching gives the configuration of a job.
func (a *app) fetching(j *job) fetch.Config {
	return fetch.Config{
		File: j.name, RunFile: j.file.Source(), InputHash: j.hash, TakeOver: j.takeOver,
		Log: a.stderr, Haste: a.hard, Leave: a.drop, Getenv: a.getenv, Pace: a.pace,
	}
}

// drive opens a run, publishes its records and follows it to its end. An interrupt cancels a
// run and waits until it is torn down, unless it is to be left to a system elsewhere.
func (a *app) drive(cfg fetch.Config, j *job, flags progressFlags) error {
	view, done := a.view(flags)
	meter := progress.NewMeter(j.expected)
	var frame *progress.Frame
	cfg.Note = view.Note
	cfg.Progress = func(s *control.Status) {
		frame = meter.Observe(s, time.Now())
		view.Show(frame)
	}
	err := a.fetch(cfg, j)
	done()
	return a.conclude(frame, err, j.file.Families[0].ID, flags)
}

func (a *app) fetch(cfg fetch.Config, j *job) (err error) {
	r, err := fetch.Open(a.soft, cfg)
	if err != nil {
		return err
	}
	defer func() { err = also(err, r.Close()) }()
	if len(cfg.Guard) > 0 {
		defer context.AfterFunc(a.hard, func() {
			cfg.Note("waiting only for what is scaled up to come down; interrupt once more to leave even that to `fff runs teardown`")
		})()
	}
	switch {
	case r.Sealed():
		cfg.Note("run " + j.file.Run + " has its records already; following it")
		_, err = r.Wait(a.soft)
	case j.records == "":
		cfg.Note(invitation(r, j))
		_, err = r.Wait(a.soft)
	default:
		err = a.withRecords(j, r, func(records iter.Seq2[fetch.Record, error]) error {
			_, err := r.Fetch(a.soft, records)
			return err
		})
	}
	if _, ended := errors.AsType[*fetch.EndError](err); ended {
		return nil // the summary says so, and the exit code
	}
	if err != nil && !cfg.Detach {
		cfg.Note(cause(err) + ": keeping what is committed and tearing down; interrupt to hasten")
	}
	return err
}

// cause says in a word why a run is torn down; the error itself is printed at the end.
func cause(err error) string {
	if errors.Is(err, errInterrupted) {
		return "interrupted"
	}
	return "failed"
}

// also joins errors, but for an interruption that is known already.
func also(err, more error) error {
	if errors.Is(err, errInterrupted) && errors.Is(more, errInterrupted) {
		return err
	}
	return errors.Join(err, more)
}

// invitation says how to give records to a run that has no file.
func invitation(r *fetch.Run, j *job) string {
	return fmt.Sprintf("no --records: waiting for batches on fff.ingest.%s at %s; close with `nats req %s.%s '{\"records\":N}'`",
		j.file.Run, r.BrokerURL(), control.SubjectClose, j.file.Run)
}

// conclude prints the summary of a run and gives the error that its end means.
func (a *app) conclude(f *progress.Frame, err error, family string, flags progressFlags) error {
	if f != nil && f.Status.Ended() && !flags.Quiet {
		err = errors.Join(err, a.summary(f, family, flags))
	}
	if err != nil || f == nil {
		return err
	}
	if f.Status.State == control.Failed { // cause and cure are no result
		return fmt.Errorf("run %s failed: %s", f.Status.Run, f.Status.Reason)
	}
	return exit(codeOf(f.Status))
}

func (a *app) summary(f *progress.Frame, family string, flags progressFlags) error {
	if progress.Mode(flags.Progress) == progress.JSON {
		return progress.WriteJSONSummary(a.stdout, f)
	}
	return progress.WriteSummary(a.stdout, f, family)
}

// submitCmd gives a job to a system that runs already.
type submitCmd struct {
	jobFlags
	progressFlags
	connection
	Records string `required:"" placeholder:"FILE" help:"Records file or s3://bucket/key: JSONL, CSV or Parquet, or - for JSONL on stdin."`
	Wait    bool   `help:"Follow the run to its end and give its exit code."`
}

// Run is called by kong.
func (c *submitCmd) Run(a *app) error {
	j, err := a.loadJob(c.jobFlags, c.Records, false)
	if err != nil {
		return err
	}
	defer j.close()
	cfg := a.fetching(j)
	at, _, err := a.broker(c.NATS)
	if err != nil {
		return err
	}
	cfg.NATS, cfg.Detach = at.URL, true
	if c.Wait {
		return a.drive(cfg, j, c.progressFlags)
	}
	cfg.Note = func(text string) { a.note("%s", text) }
	r, err := fetch.Open(a.soft, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Sealed() {
		a.note("run %s has its records already", j.file.Run)
		return nil
	}
	err = a.withRecords(j, r, func(records iter.Seq2[fetch.Record, error]) error { return r.Publish(a.soft, records) })
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s\n", j.file.Run)
	a.note("submitted; follow it with `fff runs wait %s`", j.file.Run)
	return nil
}
