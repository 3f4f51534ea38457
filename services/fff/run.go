package fff

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
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
	store := ""
	warms := c.NATS == "" && !c.Sandbox && j.expanded.WarmUp != nil
	var s *session
	if c.NATS != "" {
		s, err = a.connect(a.soft, c.NATS)
	} else {
		store = c.storeDir(j)
		s, err = a.startHere(allinone.Options{Store: store, Sandbox: c.Sandbox, Once: true, Job: j.expanded})
	}
	if err != nil {
		return err
	}
	release := func() {}
	if warms {
		if release, err = guarded(j, store); err != nil {
			return errors.Join(err, a.stop(s))
		}
	}
	frame, err := a.drive(s, j, c.progressFlags, true)
	err = also(err, a.stop(s))
	if warms {
		err = also(err, a.lastly(j))
	}
	release()
	if store != "" && err == nil && frame.Status.State == control.Completed {
		err = os.RemoveAll(store)
		_ = os.Remove(filepath.Dir(store)) // the directory of all stores goes with the last of them
	}
	return a.conclude(frame, err, j.file.Families[0].ID, c.progressFlags)
}

func (c *runCmd) storeDir(j *job) string {
	if c.Store != "" {
		return c.Store
	}
	return filepath.Join(j.file.Output.Dir, ".fff", j.file.Run)
}

// stop ends a session; the second interrupt does not wait for it.
func (a *app) stop(s *session) error {
	ctx, cancel := context.WithTimeout(a.hard, a.pace.stop)
	defer cancel()
	return s.stop(ctx)
}

// drive opens a run, publishes its records and follows it to its end. When owned, an
// interrupt cancels the run and waits until it is torn down; else it goes on alone.
func (a *app) drive(s *session, j *job, flags progressFlags, owned bool) (*progress.Frame, error) {
	if err := j.in(s); err != nil {
		return nil, err
	}
	view, done := a.view(flags)
	defer done()
	f := &follower{s: s, run: j.file.Run, pace: a.pace, view: view, meter: progress.NewMeter(j.expected)}
	if owned && j.expanded.WarmUp != nil {
		f.pace.cancel = warmCancel
	}
	fresh, err := j.open(a.soft, s)
	if err != nil && !errors.Is(err, errInterrupted) {
		return nil, err // a refusal: what the run is, if it is, is not ours to end
	}
	switch {
	case err != nil: // interrupted; the run may be open all the same
	case !fresh:
		view.Note("run " + j.file.Run + " has its records already; following it")
		_, err = f.until(a.soft)
	case j.records == "":
		view.Note(invitation(s, j))
		_, err = f.until(a.soft)
	default:
		err = a.publishAndFollow(s, j, f)
	}
	if err != nil && owned {
		view.Note(cause(err) + ": keeping what is committed and tearing down; interrupt to hasten")
		err = also(err, a.cancelRun(s, f))
	}
	return f.last, err
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
func invitation(s *session, j *job) string {
	return fmt.Sprintf("no --records: waiting for batches on fff.ingest.%s at %s; close with `nats req %s.%s '{\"records\":N}'`",
		j.file.Run, s.url, control.SubjectClose, j.file.Run)
}

// publishAndFollow publishes while it follows: a run that fails stops the publishing,
// and publishing that fails ends the following.
func (a *app) publishAndFollow(s *session, j *job, f *follower) error {
	following, endFollowing := context.WithCancelCause(a.soft)
	publishing, endPublishing := context.WithCancelCause(a.soft)
	defer endFollowing(nil)
	published := make(chan error, 1)
	go func() {
		err := a.publish(publishing, s, j, f.view.Note)
		if err != nil {
			endFollowing(err)
		}
		published <- err
	}()
	_, err := f.until(following)
	endPublishing(errEnded)
	perr := <-published
	switch {
	case err == nil && errors.Is(perr, errEnded):
		return nil
	case perr == nil || errors.Is(perr, errEnded):
		return err
	case a.soft.Err() == nil && f.ended(a.soft):
		// The run ended while something was published to it: its end is the cause.
		_, err = f.until(a.soft)
		return err
	}
	return perr
}

// errEnded is the cause of publishing that ends because its run has.
var errEnded = errors.New("the run has ended")

// cancelRun cancels the run and waits until it is torn down, the second interrupt or
// the end of patience.
func (a *app) cancelRun(s *session, f *follower) error {
	ctx, cancel := context.WithTimeoutCause(a.hard, f.pace.cancel,
		fmt.Errorf("run %s was not torn down within %s; see `fff runs show %s`", f.run, f.pace.cancel, f.run))
	defer cancel()
	err := s.ctl.Cancel(ctx, f.run)
	refused, _ := errors.AsType[*control.Error](err)
	switch {
	case err == nil:
	case refused != nil && refused.Code == control.CodeUnknownRun:
		return nil
	case refused != nil && refused.Code == control.CodeWrongState: // it has ended by itself
	default:
		return fmt.Errorf("cancel run %s: %w", f.run, err)
	}
	_, err = f.until(ctx)
	return err
}

// conclude prints the summary of a run and gives the error that its end means.
func (a *app) conclude(f *progress.Frame, err error, family string, flags progressFlags) error {
	if f != nil && f.Status.Ended() && !flags.Quiet {
		err = errors.Join(err, a.summary(f, family, flags))
	}
	if err != nil || f == nil {
		return err
	}
	if f.Status.State == control.Failed && flags.Quiet {
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
	s, err := a.connect(a.soft, c.NATS)
	if err != nil {
		return err
	}
	defer s.close()
	if c.Wait {
		frame, err := a.drive(s, j, c.progressFlags, false)
		return a.conclude(frame, err, j.file.Families[0].ID, c.progressFlags)
	}
	fresh, err := j.open(a.soft, s)
	if err != nil {
		return err
	}
	if !fresh {
		a.note("run %s has its records already", j.file.Run)
		return nil
	}
	if err := a.publish(a.soft, s, j, func(text string) { a.note("%s", text) }); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s\n", j.file.Run)
	a.note("submitted; follow it with `fff runs wait %s`", j.file.Run)
	return nil
}
