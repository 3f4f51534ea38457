package fff

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/awss3"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// verifyCmd proves that a dataset holds what was asked for.
type verifyCmd struct {
	listing
	Dir     string `arg:"" help:"The dataset: the directory <output.dir>/<run>, or s3://bucket/prefix/run."`
	Records string `required:"" placeholder:"FILE" help:"Records file, or s3://bucket/key, that the dataset was made from."`
}

// Run is called by kong.
func (c *verifyCmd) Run(a *app) error {
	if c.Records == recordsfile.Stdin {
		return usage("--records -: the records are read more than once; give a file")
	}
	from, err := a.openDataset(c.Dir)
	if err != nil {
		return err
	}
	options, err := c.options(a, from)
	if err != nil {
		return err
	}
	records, err := a.openRecords(c.Records)
	if err != nil {
		return err
	}
	defer records.Close()
	want := &wanted{file: records, options: options}
	report, err := dataset.VerifyStore(a.soft, from, c.Dir, want.all(), dataset.VerifyOptions{})
	if err != nil {
		if a.soft.Err() != nil {
			return errInterrupted
		}
		if _, s3 := errors.AsType[*awss3.Error](err); s3 {
			return ofS3("verify", err)
		}
		return usage("%w", err)
	}
	if c.Output == "json" {
		err = writeIndented(a.stdout, report)
	} else {
		_, err = fmt.Fprint(a.stdout, verdict(report, want.bad))
	}
	return errors.Join(err, exit(verifyCode(report, want.bad)))
}

// options tell how the records were read, from the run file that the manifest holds. A
// dataset without one is judged all the same: Verify says what is wrong with it.
func (c *verifyCmd) options(a *app, from dataset.Readable) (recordsfile.Options, error) {
	m, err := dataset.GetManifest(a.soft, from)
	if errors.Is(err, fs.ErrNotExist) {
		return recordsfile.Options{}, nil
	}
	if _, s3 := errors.AsType[*awss3.Error](err); s3 {
		return recordsfile.Options{}, ofS3("dataset", err)
	}
	if err != nil {
		return recordsfile.Options{}, &exitError{exitFailed, err}
	}
	o := recordsfile.Options{Families: m.FamilyIDs()}
	file, err := runfile.Parse(dataset.ManifestName, []byte(m.RunFile))
	if err != nil {
		return o, &exitError{exitFailed, fmt.Errorf("the run file in the manifest: %w", err)}
	}
	if expanded, err := file.Expand(a.getenv); err == nil {
		file = expanded
	}
	o.Columns = file.Records
	return o, nil
}

// wanted goes through the samples of a records file, as often as it is asked to.
type wanted struct {
	file    *recordsfile.File
	options recordsfile.Options
	bad     int64 // records that are none, in the last pass
}

func (w *wanted) all() iter.Seq2[dataset.Requested, error] {
	return func(yield func(dataset.Requested, error) bool) {
		r, err := w.file.Read(w.options)
		if err != nil {
			yield(dataset.Requested{}, err)
			return
		}
		defer r.Close()
		w.bad = 0
		for row, err := range r.All() {
			if _, bad := errors.AsType[*recordsfile.BadRecord](err); bad {
				w.bad++
				continue
			}
			if !yield(dataset.Requested{UserID: row.Record.UserID, EpochMS: row.Record.EpochMS, Families: row.Record.Families}, err) || err != nil {
				return
			}
		}
	}
}

func verifyCode(r *dataset.VerifyReport, bad int64) int {
	switch {
	case r.Outcome == dataset.Broken:
		return exitFailed
	case r.Outcome == dataset.FailuresOnly || bad > 0:
		return exitPartial
	}
	return exitOK
}

// verdict says what Verify found.
func verdict(r *dataset.VerifyReport, bad int64) string {
	var b strings.Builder
	if r.Problem != "" {
		fmt.Fprintf(&b, "broken: %s\n", r.Problem)
		return b.String()
	}
	n := humanize.Comma
	fmt.Fprintf(&b, "%s: %s of %s requested cells are there, each once; %s files, %s rows, %s\n",
		strings.ReplaceAll(string(r.Outcome), "_", " "), n(r.Present), n(r.Requested), n(int64(r.Files)), n(r.Rows), humanize.Bytes(uint64(max(r.Bytes, 0))))
	for _, row := range []struct {
		count int64
		text  string
	}{
		{r.Failed, "cells are not there, and _failures.jsonl says why"},
		{r.Missing, "cells are not there, and nothing says why"},
		{r.Doubled, "rows are there for cells that have one already"},
		{r.Extra, "rows are there for cells that these records do not ask for"},
		{int64(len(r.Corrupt)), "files are not as the manifest says"},
		{bad, "records of the file are bad and were left out"},
	} {
		if row.count > 0 {
			fmt.Fprintf(&b, "  %12s %s\n", n(row.count), row.text)
		}
	}
	for _, c := range r.FirstMissing {
		fmt.Fprintf(&b, "  missing: %s\n", cellName(c))
	}
	for _, c := range r.FirstDoubled {
		fmt.Fprintf(&b, "  doubled: %s\n", cellName(c))
	}
	for _, c := range r.Corrupt {
		fmt.Fprintf(&b, "  corrupt: %s: %s\n", c.Path, c.Reason)
	}
	return b.String()
}

func cellName(c dataset.CellName) string {
	text := fmt.Sprintf("user %s at %s, family %s", c.UserID, c.PITCTimestamp, c.Family)
	if c.File != "" {
		text += ", in " + c.File
	}
	return text
}
