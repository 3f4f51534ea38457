package progress

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/s3url"
)

// WriteJSONSummary writes the last line of the JSON view.
func WriteJSONSummary(w io.Writer, f *Frame) error {
	return json.NewEncoder(w).Encode(eventOf("summary", f))
}

// WriteSummary writes how a run ended: cells by source, failures by code, rates, files,
// where the dataset is and how to read it. family is one to read as an example.
func WriteSummary(w io.Writer, f *Frame, family string) error {
	var b strings.Builder
	s := f.Status
	fmt.Fprintf(&b, "\n%s\n\n", verdict(s))
	if s.Reason != "" && s.State != control.Failed {
		fmt.Fprintf(&b, "  %s\n\n", s.Reason)
	}
	for _, row := range summaryRows(f) {
		fmt.Fprintf(&b, "  %-11s %s\n", row[0], row[1])
	}
	if s.Failed > 0 || s.BadRecords > 0 {
		b.WriteString(howToRetry(s))
	}
	if s.Dataset != "" && family != "" && s.Committed > 0 {
		b.WriteString(howToRead(s.Dataset, family))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdict says in a sentence how the run ended.
func verdict(s *control.Status) string {
	name := fmt.Sprintf("Run %s (epoch %d)", s.Run, s.Epoch)
	switch s.State {
	case control.Completed:
		return name + " is complete: every requested cell is committed."
	case control.CompletedWithFailures:
		return name + " is finished, but not whole: what failed is listed."
	case control.Failed:
		return name + " failed: " + cmp.Or(s.Reason, "no reason was given") + "\nWhat is committed stays; run it again to fetch what is missing."
	case control.Cancelled:
		return name + " was cancelled. What is committed stays; run it again to fetch what is missing."
	}
	return name + " is " + state(s.State) + "."
}

func summaryRows(f *Frame) [][2]string {
	s := f.Status
	rows := [][2]string{{"records", recordsText(s)}}
	rows = append(rows, [2]string{"cells", fmt.Sprintf("%s requested, %s committed, %s failed", count(s.Requested), count(s.Committed), count(s.Failed))})
	for i, source := range slices.Sorted(maps.Keys(s.BySource)) {
		title := ""
		if i == 0 {
			title = "by source"
		}
		n := s.BySource[source]
		rows = append(rows, [2]string{title, strings.TrimRight(fmt.Sprintf("%-16s %12s  %6s", source, count(n), share(n, s.Committed)), " ")})
	}
	codes := slices.SortedFunc(maps.Keys(s.FailedByCode), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.FailedByCode[b], s.FailedByCode[a]), cmp.Compare(a, b))
	})
	for i, code := range codes {
		title := ""
		if i == 0 {
			title = "failures"
		}
		rows = append(rows, [2]string{title, fmt.Sprintf("%-16s %12s", code, count(s.FailedByCode[code]))})
	}
	for i, table := range slices.Sorted(maps.Keys(s.ReadUnits)) {
		title := ""
		if i == 0 {
			title = "read units"
		}
		rows = append(rows, [2]string{title, fmt.Sprintf("%-16s %12s", table, humanize.CommafWithDigits(s.ReadUnits[table], 1))})
	}
	for i, lane := range []string{"fast", "slow"} {
		title := ""
		if i == 0 {
			title = "lanes found"
		}
		if families := familiesOn(s.Lanes, lane); families != "" {
			rows = append(rows, [2]string{title, fmt.Sprintf("%-16s %s", lane, families)})
		}
	}
	rows = append(rows, [2]string{"time", timeText(f)})
	rows = append(rows, [2]string{"files", fmt.Sprintf("%s, %s", count(int64(s.Files)), humanize.Bytes(uint64(max(s.Bytes, 0))))})
	if s.Dataset != "" {
		rows = append(rows, [2]string{"dataset", s.Dataset})
	}
	for i, warning := range s.Warnings {
		title := ""
		if i == 0 {
			title = "warnings"
		}
		rows = append(rows, [2]string{title, warning})
	}
	return rows
}

// familiesOn names the families whose lane was found to be this one.
func familiesOn(lanes map[string]string, lane string) string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(lanes)) {
		if lanes[id] == lane {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ", ")
}

func recordsText(s *control.Status) string {
	text := fmt.Sprintf("%s (%s samples)", count(s.RecordsSeen), count(s.Samples))
	if s.BadRecords > 0 {
		text += fmt.Sprintf(", %s bad", count(s.BadRecords))
	}
	return text
}

func timeText(f *Frame) string {
	took := f.Elapsed
	if !f.Status.StartedAt.IsZero() && f.Status.EndedAt.After(f.Status.StartedAt) {
		took = f.Status.EndedAt.Sub(f.Status.StartedAt)
	}
	text := span(took)
	if took > 0 && f.Status.Epoch <= 1 { // later epochs count cells that earlier ones fetched
		text += fmt.Sprintf(", %s cells/s", rate(float64(f.Done)/took.Seconds()))
	}
	return text
}

func howToRetry(s *control.Status) string {
	text := "\nSee what failed, and try it again by running the same command:\n"
	if s.Dataset != "" {
		text += "  fff failed list --dir " + s.Dataset + "\n"
	}
	return text
}

// howToRead gives a line for DuckDB and one for pandas that work as they are; for S3 where
// the credentials are those of this process.
func howToRead(where, family string) string {
	at := where + "/features/family=" + dataset.EscapeFamily(family)
	secret, needs := "", ""
	if s3url.Is(at) {
		secret, needs = "CREATE SECRET (TYPE s3, PROVIDER credential_chain); ", "   # pip install s3fs"
	}
	return fmt.Sprintf(`
Read it:
  duckdb -c "%sSELECT * FROM read_parquet('%s/*.parquet') LIMIT 5"
  python3 -c "import pandas; print(pandas.read_parquet('%s').head())"%s
`, secret, at, at, needs)
}

// WriteStatus writes how a run stands.
func WriteStatus(w io.Writer, s *control.Status, now time.Time) error {
	f := NewMeter(Expected{}).Observe(s, now)
	f.Elapsed = now.Sub(s.StartedAt)
	var b strings.Builder
	fmt.Fprintf(&b, "run %s, epoch %d: %s\n", s.Run, s.Epoch, state(s.State))
	if s.Reason != "" {
		fmt.Fprintf(&b, "%s\n", s.Reason)
	}
	b.WriteString("\n")
	for _, row := range summaryRows(f) {
		fmt.Fprintf(&b, "  %-11s %s\n", row[0], row[1])
	}
	if len(f.Stages) > 0 {
		b.WriteString("\n")
	}
	for i := range f.Stages {
		b.WriteString(stageRow(f, &f.Stages[i]) + "\n")
	}
	if s.Waiting != "" {
		fmt.Fprintf(&b, "\n  waiting     %s\n", s.Waiting)
	}
	for i := range s.WarmUp {
		b.WriteString(scaledRow(&s.WarmUp[i]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// scaledRow tells of something that was scaled up.
func scaledRow(u *control.ScaledUp) string {
	text := fmt.Sprintf("\n  %s: ", u.Resource)
	switch {
	case u.Up():
		text += fmt.Sprintf("scaled up from %s to %s, until %s at the latest", u.Before, u.Raised, u.Deadline.UTC().Format(time.DateTime))
	case len(u.Foreign) > 0:
		text += fmt.Sprintf("left as it is, because somebody else has changed %s; before the run it had %s", strings.Join(u.Foreign, ", "), u.Before)
	case u.Shared:
		text += "others hold it; the last one out brings it down"
	default:
		text += "down again, and watched for a while"
	}
	if u.Problem != "" {
		text += fmt.Sprintf("\n    cannot be brought down: %s", u.Problem)
		if u.Attempts > 0 {
			text += fmt.Sprintf(" (attempt %d; again at %s)", u.Attempts, u.NextTry.UTC().Format(time.DateTime))
		}
	}
	return text + "\n"
}
