package fff

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// job is a run file and its records, both checked.
type job struct {
	name     string            // of the run file
	file     *runfile.File     // unexpanded, with the flags' changes
	expanded *runfile.File     // nil if ${ENV} is not set here
	records  string            // path or URL, "-" for stdin, "" for none
	opened   *recordsfile.File // nil for stdin and none
	skipBad  bool
	takeOver bool
	expected progress.Expected
	hash     string // of the records file; "" for stdin and none
}

// loadJob reads and checks a run file and its records before anything is started.
// Where this process is the system, ${ENV} must be set here; elsewhere it is the
// services that expand it.
func (a *app) loadJob(flags jobFlags, records string, here bool) (*job, error) {
	file, err := a.loadRunFile(flags)
	if err != nil {
		return nil, err
	}
	j := &job{
		name: flags.File, file: file, records: records,
		skipBad: flags.BadRecords == "skip", takeOver: flags.TakeOver,
	}
	if j.expanded, err = file.Expand(a.getenv); err != nil && here {
		return nil, err
	}
	if records == "" || records == recordsfile.Stdin {
		return j, nil
	}
	if j.opened, err = a.openRecords(records); err != nil {
		return nil, err
	}
	if err := a.checkRecords(j); err != nil {
		return nil, errors.Join(err, j.opened.Close())
	}
	return j, nil
}

// close lets go of the records.
func (j *job) close() {
	if j.opened != nil {
		_ = j.opened.Close() // it was only read
	}
}

func (a *app) loadRunFile(flags jobFlags) (*runfile.File, error) {
	data, err := a.readRunFile(flags.File)
	if err != nil {
		return nil, err
	}
	file, err := runfile.Parse(flags.File, data)
	if err != nil {
		return nil, err
	}
	return file.Override(runfile.Overrides{Run: flags.Run, OutputDir: flags.Out})
}

func (j *job) options() recordsfile.Options {
	file := j.file
	if j.expanded != nil {
		file = j.expanded
	}
	return recordsfile.Options{Columns: file.Records, Families: file.FamilyIDs()}
}

// checkRecords reads the whole records file, so that nothing is published of a file
// that is wrong somewhere.
func (a *app) checkRecords(j *job) error {
	report, err := j.opened.Check(j.options())
	if _, s3 := errors.AsType[*awss3.Error](err); s3 {
		return ofS3("records", err)
	}
	if err != nil {
		return usage("records: %w", err)
	}
	if report.BadTotal > 0 && !j.skipBad {
		return &exitError{exitUsage, badRecords(report)}
	}
	if report.BadTotal > 0 {
		a.note("%s: %d of %d records are bad and will be listed as failures", j.records, report.BadTotal, report.Records)
	}
	if report.Records == 0 {
		return usage("%s: no records in it", j.records)
	}
	j.expected = progress.Expected{Records: report.Records, Cells: report.Cells}
	j.hash = report.Hash
	return nil
}

// badRecords tells of the first bad records and of how many there are.
func badRecords(r *recordsfile.Report) error {
	var b strings.Builder
	for _, bad := range r.Bad {
		fmt.Fprintf(&b, "%s\n", bad.Error())
	}
	if more := r.BadTotal - int64(len(r.Bad)); more > 0 {
		fmt.Fprintf(&b, "… and %d more\n", more)
	}
	fmt.Fprintf(&b, "%d of %d records are bad; nothing was published. Correct them, or give --bad-records skip to list them as failures", r.BadTotal, r.Records)
	return errors.New(b.String())
}

// withRecords reads the job's records for a run. Reading stdin ends when the run wants no
// more, though its writer be silent.
func (a *app) withRecords(j *job, r *fetch.Run, use func(iter.Seq2[fetch.Record, error]) error) error {
	reader, err := a.readRecords(j, r.Done())
	if err != nil {
		return usage("records: %w", err)
	}
	defer reader.Close()
	return use(func(yield func(fetch.Record, error) bool) {
		for row, err := range reader.All() {
			if _, bad := errors.AsType[*recordsfile.BadRecord](err); err != nil && !bad {
				err = ofS3("records", fmt.Errorf("records: %w", err))
			}
			if !yield(row.Record, err) {
				return
			}
		}
	})
}

func (a *app) readRecords(j *job, done <-chan struct{}) (*recordsfile.Reader, error) {
	if j.records != recordsfile.Stdin {
		return j.opened.Read(j.options())
	}
	r, w := io.Pipe()
	go func() {
		<-done
		w.CloseWithError(io.EOF)
	}()
	go func() {
		_, err := io.Copy(w, a.stdin)
		w.CloseWithError(err) // nil is the end of the file
	}()
	return recordsfile.OpenJSONL("standard input", r, j.options())
}
