package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// finished is a finished dataset that tests may break before they verify it.
type finished struct {
	t        *testing.T
	disk     *Disk
	manifest *Manifest
	failures []Failure
	wanted   []Requested
}

// finish makes a dataset of families a and b, one sample for each user, in two files a
// family. A user whose name contains a family's name in upper case failed in it.
func finish(t *testing.T, users ...string) *finished {
	t.Helper()
	disk, err := OpenDisk(filepath.Join(t.TempDir(), "demo"))
	if err != nil {
		t.Fatal(err)
	}
	f := &finished{t: t, disk: disk, manifest: &Manifest{Run: "demo", State: "completed"}}
	if err := disk.BeginEpoch(t.Context(), 1, "tok"); err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		f.wanted = append(f.wanted, Requested{UserID: user, EpochMS: 1000})
	}
	for _, family := range []string{"a", "b"} {
		f.manifest.Families = append(f.manifest.Families, ManifestFamily{Family: family})
		var present []string
		for _, user := range users {
			if strings.Contains(user, strings.ToUpper(family)) {
				f.fails(stage.KindCell, user, family)
			} else {
				present = append(present, user)
			}
		}
		for i, half := range [][]string{present[:len(present)/2], present[len(present)/2:]} {
			if len(half) > 0 {
				f.add(family, fmt.Sprintf("part-1-p%d.parquet", i), half...)
			}
		}
	}
	return f
}

func (f *finished) fails(kind, user, family string) {
	f.failures = append(f.failures, Failure{Kind: kind, UserID: user, PITCTimestamp: sample.FormatTime(1000), Family: family, Stage: "fs-fast", Code: "timeout", Reason: "no answer", At: "2025-01-31T12:00:00Z"})
}

// add adds a visible file with a row for each user.
func (f *finished) add(family, name string, users ...string) {
	f.t.Helper()
	var cells []cell
	for _, user := range users {
		cells = append(cells, cell{user, 1000, []value{{"x", 1.5}, {"USER_ID", "renamed"}}})
	}
	m := message(f.t, packed.DynamoDB, family, cells...)
	var cols []Column
	staged, err := f.disk.Stage(f.t.Context(), 1, "tok", "p", family, name, func(w io.Writer) (err error) {
		cols, _, err = WriteFamily(w, runfile.Family{ID: family}, rowsOf(m), nil)
		return err
	})
	if err == nil {
		err = f.disk.Reveal(f.t.Context(), 1, "tok", "p", family, name, staged)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.manifest.Files = append(f.manifest.Files, ManifestFile{Family: family, Name: name, Rows: int64(len(users)), Bytes: staged.Bytes, Checksum: staged.Checksum})
	for i := range f.manifest.Families {
		if m := &f.manifest.Families[i]; m.Family == family {
			m.Columns = ManifestColumns(cols)
			m.Committed += int64(len(users))
		}
	}
}

// path gives the place of the first file of a family, if there are two samples.
func (f *finished) path(family string) string {
	return filepath.Join(f.disk.Dir(), filepath.FromSlash(VisiblePath(family, "part-1-p0.parquet")))
}

func (f *finished) write() {
	f.t.Helper()
	data, err := EncodeManifest(f.manifest)
	if err != nil {
		f.t.Fatal(err)
	}
	var lines []byte
	for i := range f.failures {
		lines = AppendFailure(lines, &f.failures[i])
	}
	if err := errors.Join(f.disk.Put(f.t.Context(), ManifestName, data), f.disk.Put(f.t.Context(), FailuresName, lines)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *finished) verify() *VerifyReport {
	f.t.Helper()
	report, err := Verify(f.t.Context(), f.disk.Dir(), requests(f.wanted...), VerifyOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

func requests(wanted ...Requested) iter.Seq2[Requested, error] {
	return func(yield func(Requested, error) bool) {
		for _, r := range wanted {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// counts are the numbers of a report: requested, present, listed, missing, doubled, extra.
func counts(r *VerifyReport) [6]int64 {
	return [6]int64{r.Requested, r.Present, r.Failed, r.Missing, r.Doubled, r.Extra}
}

func TestVerify(t *testing.T) {
	replace := func(path string, change func([]byte) []byte) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(data), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name    string
		users   []string
		change  func(f *finished) // before manifest and failures are written
		harm    func(f *finished) // after
		outcome Outcome
		counts  [6]int64
		says    string // in the report
	}{
		{name: "exact", users: []string{"u1", "u2", "u3"}, outcome: Exact, counts: [6]int64{6, 6}},
		{name: "listed failures", users: []string{"u1", "uA", "uAB"}, outcome: FailuresOnly, counts: [6]int64{6, 3, 3}},
		{name: "requested twice counts once", users: []string{"u1"}, outcome: Exact, counts: [6]int64{2, 2},
			change: func(f *finished) {
				f.wanted = append(f.wanted, f.wanted[0], Requested{"u1", 1000, []string{"b"}})
			}},
		{name: "fewer families requested", users: []string{"u1", "u2"}, outcome: Exact, counts: [6]int64{3, 3, 0, 0, 0, 1},
			change: func(f *finished) { f.wanted[1].Families = []string{"b"} }},
		{name: "rows of others are no fault", users: []string{"u1", "u2"}, outcome: Exact, counts: [6]int64{2, 2, 0, 0, 0, 2},
			change: func(f *finished) { f.wanted = f.wanted[:1] }},
		{name: "missing", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{7, 4, 0, 3}, says: "never 1970-01-01T00:00:01Z a",
			change: func(f *finished) {
				f.wanted = append(f.wanted, Requested{"never", 1000, nil}, Requested{"u1", 2000, []string{"b"}})
			}},
		{name: "a family that the run does not have", users: []string{"u1"}, outcome: Broken, counts: [6]int64{3, 2, 0, 1}, says: "u1 1970-01-01T00:00:01Z c",
			change: func(f *finished) { f.wanted = append(f.wanted, Requested{"u1", 1000, []string{"c"}}) }},
		{name: "a failure that is not listed", users: []string{"u1", "uA"}, outcome: Broken, counts: [6]int64{4, 3, 0, 1}, says: "uA",
			change: func(f *finished) { f.failures = nil }},
		{name: "a failed record explains its cells", users: []string{"u1"}, outcome: FailuresOnly, counts: [6]int64{4, 2, 2},
			change: func(f *finished) {
				f.wanted = append(f.wanted, Requested{"bad", 1000, nil})
				f.fails(stage.KindRecord, "bad", "")
				f.failures = append(f.failures, Failure{Kind: stage.KindRecord, Code: "bad_record"}, Failure{Kind: stage.KindBatch, Code: "bad_batch"})
			}},
		{name: "a failure of a cell that is there", users: []string{"u1"}, outcome: Exact, counts: [6]int64{2, 2},
			change: func(f *finished) { f.fails(stage.KindCell, "u1", "a"); f.fails(stage.KindCell, "u9", "z") }},
		{name: "doubled in another file", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{4, 4, 0, 0, 1}, says: "u2 1970-01-01T00:00:01Z b features/family=b/part-1-x.parquet",
			change: func(f *finished) { f.add("b", "part-1-x.parquet", "u2") }},
		{name: "doubled in one file", users: []string{"u1"}, outcome: Broken, counts: [6]int64{4, 4, 0, 0, 2}, says: "u5",
			change: func(f *finished) {
				f.add("a", "part-1-x.parquet", "u5", "u5", "u5")
				f.add("b", "part-1-x.parquet", "u5")
				f.wanted = append(f.wanted, Requested{"u5", 1000, nil})
			}},
		{name: "no manifest", users: []string{"u1"}, outcome: Broken, says: "not finished; run it again",
			harm: func(f *finished) { _ = f.disk.Remove(t.Context(), ManifestName) }},
		{name: "a manifest that is none", users: []string{"u1"}, outcome: Broken, says: "_manifest.json",
			harm: func(f *finished) { _ = f.disk.Put(t.Context(), ManifestName, []byte("{")) }},
		{name: "a file is gone", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{4, 3, 0, 1}, says: "the manifest names it, but it is not there",
			harm: func(f *finished) { _ = os.Remove(f.path("a")) }},
		{name: "a file too many", users: []string{"u1"}, outcome: Broken, counts: [6]int64{2, 2}, says: "features/family=a/part-9-x.parquet the manifest does not name it",
			change: func(f *finished) {
				f.add("a", "part-9-x.parquet", "u9")
				f.manifest.Files = slices.DeleteFunc(f.manifest.Files, func(m ManifestFile) bool { return m.Name == "part-9-x.parquet" })
				f.manifest.Families[0].Committed--
			}},
		{name: "hidden files are no fault", users: []string{"u1"}, outcome: Exact, counts: [6]int64{2, 2},
			harm: func(f *finished) {
				_ = os.WriteFile(filepath.Join(filepath.Dir(f.path("a")), ".DS_Store"), nil, 0o644)
			}},
		{name: "a byte altered", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{4, 3, 0, 1}, says: "its checksum is",
			harm: func(f *finished) {
				replace(f.path("b"), func(d []byte) []byte { d[len(d)/2]++; return d })
			}},
		{name: "cut short", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{4, 3, 0, 1}, says: "bytes; the manifest says",
			harm: func(f *finished) { replace(f.path("b"), func(d []byte) []byte { return d[:len(d)-1] }) }},
		{name: "another number of rows", users: []string{"u1", "u2"}, outcome: Broken, counts: [6]int64{4, 3, 0, 1}, says: "it has 1 rows; the manifest says 2",
			change: func(f *finished) { f.manifest.Files[0].Rows++ }},
		{name: "another type", users: []string{"u1"}, outcome: Broken, counts: [6]int64{2, 1, 0, 1}, says: `feature 2 is "x" of type double; the manifest says "x" of type int64`,
			change: func(f *finished) { f.manifest.Families[0].Columns[1].Type = runfile.Int64 }},
		{name: "a column less", users: []string{"u1"}, outcome: Broken, counts: [6]int64{2, 1, 0, 1}, says: "it has 2 features; the manifest says 1",
			change: func(f *finished) { f.manifest.Families[0].Columns = f.manifest.Families[0].Columns[:1] }},
		{name: "another count of committed cells", users: []string{"u1"}, outcome: Broken, counts: [6]int64{2, 2}, says: `family "a": 2 cells are committed, but its files have 1 rows`,
			change: func(f *finished) { f.manifest.Families[0].Committed++ }},
		{name: "failures that cannot be read", users: []string{"u1"}, outcome: Broken, counts: [6]int64{2, 2}, says: "_failures.jsonl:1:",
			harm: func(f *finished) { _ = f.disk.Put(t.Context(), FailuresName, []byte("hello\n")) }},
		{name: "nothing requested", outcome: Exact},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := finish(t, tc.users...)
			if tc.change != nil {
				tc.change(f)
			}
			f.write()
			if tc.harm != nil {
				tc.harm(f)
			}
			r := f.verify()
			if r.Outcome != tc.outcome || counts(r) != tc.counts {
				t.Errorf("%s %v, want %s %v", r.Outcome, counts(r), tc.outcome, tc.counts)
			}
			text := r.Problem
			for _, c := range slices.Concat(r.FirstMissing, r.FirstDoubled) {
				text += fmt.Sprintln(c.UserID, c.PITCTimestamp, c.Family, c.File)
			}
			for _, c := range r.Corrupt {
				text += fmt.Sprintln(c.Path, c.Reason)
			}
			if !strings.Contains(text, tc.says) || tc.outcome != Broken && text != "" {
				t.Errorf("the report says %q, want %q", text, tc.says)
			}
		})
	}
}

// A file of one family that was moved to another is noticed even if the manifest was
// made to fit.
func TestVerifyNoticesAFileOfAnotherFamily(t *testing.T) {
	f := finish(t, "u1", "u2")
	if err := os.Rename(f.path("b"), f.path("a")); err != nil {
		t.Fatal(err)
	}
	a, b := &f.manifest.Files[0], f.manifest.Files[2]
	a.Bytes, a.Checksum = b.Bytes, b.Checksum
	f.manifest.Files = slices.Delete(f.manifest.Files, 2, 3)
	f.manifest.Families[1].Committed--
	f.write()
	r := f.verify()
	if r.Outcome != Broken || len(r.Corrupt) != 1 || !strings.Contains(r.Corrupt[0].Reason, `written for family "b"`) {
		t.Errorf("report %+v", r)
	}
}

func TestVerifyNamesAtMostTen(t *testing.T) {
	f := finish(t, "u1")
	for i := range 25 {
		f.wanted = append(f.wanted, Requested{fmt.Sprint("gone", i), 1000, nil}, Requested{fmt.Sprint("gone", i), 1000, nil})
	}
	f.write()
	r := f.verify()
	if r.Missing != 50 || len(r.FirstMissing) != MaxNamed || r.FirstMissing[9].UserID != "gone4" || r.FirstMissing[9].Family != "b" {
		t.Errorf("%d missing, named %v", r.Missing, r.FirstMissing)
	}
}

func TestVerifyCannot(t *testing.T) {
	f := finish(t, "u1")
	f.write()
	dir := f.disk.Dir()
	if _, err := Verify(t.Context(), filepath.Join(dir, "absent"), requests(), VerifyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, ManifestName), requests(), VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("a file: %v", err)
	}
	bad := errors.New("records.csv:7: bad")
	failing := func(yield func(Requested, error) bool) { yield(Requested{}, bad) }
	if _, err := Verify(t.Context(), dir, failing, VerifyOptions{}); !errors.Is(err, bad) {
		t.Errorf("bad records: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, requests(), VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVerifyTellsProgress(t *testing.T) {
	f := finish(t, "u1", "u2")
	f.write()
	var seen []string
	progress := func(files, of int) { seen = append(seen, fmt.Sprint(files, "/", of)) }
	if _, err := Verify(t.Context(), f.disk.Dir(), requests(f.wanted...), VerifyOptions{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1/4", "2/4", "3/4", "4/4"}; !slices.Equal(seen, want) {
		t.Errorf("progress %v, want %v", seen, want)
	}
}

// A million samples of 50 families stay below 80 MB; here are fewer.
func TestCellTableIsSmall(t *testing.T) {
	const samples, families = 200_000, 50
	ids := make([]string, families)
	for i := range ids {
		ids[i] = fmt.Sprint("family", i)
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	table := newCellTable(ids)
	r := Requested{UserID: "user"}
	for i := range samples {
		r.EpochMS = int64(i)
		table.request(&r)
	}
	used := heap() - before
	if used > 16<<20 {
		t.Errorf("%d samples of %d families take %d MB", samples, families, used>>20)
	}
	n := table.find(sample.KeyOf("user", 777))
	if n != 777 || !table.place["family49"].requested.Has(n) {
		t.Errorf("sample 777 is number %d", n)
	}
}

// BenchmarkVerifyRows measures what a row costs beside reading its columns.
func BenchmarkVerifyRows(b *testing.B) {
	v := &verifier{cells: newCellTable([]string{"a"})}
	const samples = 1 << 20
	for i := range samples {
		v.cells.request(&Requested{UserID: "user", EpochMS: int64(i)})
	}
	check, cells, i := familyCheck{}, v.cells.place["a"], int64(0)
	for b.Loop() {
		v.row([]byte("user"), i%samples, &ManifestFile{}, cells, &check)
		i++
	}
}
