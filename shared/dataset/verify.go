package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/bits"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

// Outcome is what Verify concludes.
type Outcome string

// The outcomes.
const (
	Exact        Outcome = "exact"         // every requested cell exactly once, every file as the manifest says
	FailuresOnly Outcome = "failures_only" // as Exact, but for cells that _failures.jsonl lists
	Broken       Outcome = "broken"        // cells missing or doubled, files missing, corrupt or too many
)

// Requested is a sample whose cells a dataset is checked for.
type Requested struct {
	UserID   string
	EpochMS  int64
	Families []string // nil = all of the run's
}

// VerifyOptions are optional.
type VerifyOptions struct {
	Progress func(files, of int) // called after each file, never twice at a time
}

// VerifyReport is what Verify found. Cells count once however often they were requested.
type VerifyReport struct {
	Outcome   Outcome `json:"outcome"`
	Problem   string  `json:"problem,omitempty"` // why nothing could be compared: no manifest, …
	Run       string  `json:"run,omitempty"`
	Requested int64   `json:"requested"`       // cells
	Present   int64   `json:"present"`         // requested cells that are there
	Failed    int64   `json:"listed_failures"` // requested cells that are not there, with their reason in _failures.jsonl
	Missing   int64   `json:"missing"`         // requested cells that are not there, without a reason
	Doubled   int64   `json:"doubled"`         // rows of cells that had a row before
	Extra     int64   `json:"extra"`           // rows of cells that were not requested here; no fault
	Files     int     `json:"files"`
	Rows      int64   `json:"rows"`
	Bytes     int64   `json:"bytes"`

	FirstMissing []CellName    `json:"first_missing,omitempty"` // at most MaxNamed
	FirstDoubled []CellName    `json:"first_doubled,omitempty"` // at most MaxNamed
	Corrupt      []CorruptFile `json:"corrupt,omitempty"`
}

// MaxNamed is how many missing and doubled cells a report names.
const MaxNamed = 10

// CellName names a cell for people.
type CellName struct {
	UserID        string `json:"user_id"`
	PITCTimestamp string `json:"pitc_timestamp"`
	Family        string `json:"family"`
	File          string `json:"file,omitempty"` // of a doubled cell: the later file
}

// CorruptFile is a file that is not as the manifest says.
type CorruptFile struct {
	Path   string `json:"path"` // in the dataset, with slashes
	Reason string `json:"reason"`
}

// Readable is what can be read of a dataset; every Store is one.
type Readable interface {
	Get(ctx context.Context, name string) ([]byte, error)
	Open(ctx context.Context, name string) (Blob, error)
	ListVisible(ctx context.Context) ([]VisibleFile, error)
	OpenVisible(ctx context.Context, family, name string) (Blob, error)
}

// ReadManifest reads the manifest of the dataset in a directory. The error matches
// fs.ErrNotExist if there is none.
func ReadManifest(dir string) (*Manifest, error) {
	return GetManifest(context.Background(), &Disk{dir: dir})
}

// GetManifest reads the manifest of a dataset. The error matches fs.ErrNotExist if there is
// none.
func GetManifest(ctx context.Context, from Readable) (*Manifest, error) {
	data, err := from.Get(ctx, ManifestName)
	if err != nil {
		return nil, err
	}
	return DecodeManifest(data)
}

// Verify is VerifyStore for the dataset in a directory.
func Verify(ctx context.Context, dir string, want iter.Seq2[Requested, error], o VerifyOptions) (*VerifyReport, error) {
	disk, err := DiskOf(dir)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return VerifyStore(ctx, disk, dir, want, o)
}

// VerifyStore checks a dataset against what was requested: every requested cell is in
// exactly one row of the visible files, or listed in _failures.jsonl; every file has the
// size, checksum, rows and columns of the manifest; no other file is visible. It trusts no
// completion index and reads the files themselves. For each sample it needs at most
// sample.BytesPerSample and three bits a family: with 50 families 50 bytes. where is what the report calls the dataset. want is read a second
// time if cells are missing, to name them. The error is for what keeps it from checking at
// all: an error of want, a file that cannot be read for want of rights, a cancelled context.
func VerifyStore(ctx context.Context, from Readable, where string, want iter.Seq2[Requested, error], o VerifyOptions) (*VerifyReport, error) {
	report := &VerifyReport{Outcome: Broken}
	data, err := from.Get(ctx, ManifestName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		report.Problem = fmt.Sprintf("%s has no %s: the run is not finished; run it again to resume", where, ManifestName)
		return report, nil
	case err != nil:
		return nil, fmt.Errorf("verify: %w", err)
	}
	manifest, err := DecodeManifest(data)
	if err != nil {
		report.Problem = err.Error()
		return report, nil
	}
	v := &verifier{from: from, manifest: manifest, report: report, progress: o.Progress}
	if err := v.run(ctx, want); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return report, nil
}

type verifier struct {
	from     Readable
	manifest *Manifest
	report   *VerifyReport
	progress func(files, of int)
	cells    *cellTable

	mu   sync.Mutex
	done int // files
}

func (v *verifier) run(ctx context.Context, want iter.Seq2[Requested, error]) error {
	v.report.Run = v.manifest.Run
	v.cells = newCellTable(v.manifest.FamilyIDs())
	for r, err := range want {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		v.cells.request(&r)
	}
	if err := v.strangers(ctx); err != nil {
		return err
	}
	if err := v.families(ctx); err != nil {
		return err
	}
	if err := v.failures(ctx); err != nil {
		return err
	}
	v.count()
	if v.report.Missing > 0 {
		if err := v.nameMissing(want); err != nil {
			return err
		}
	}
	v.conclude()
	return nil
}

// strangers finds visible files that the manifest does not name.
func (v *verifier) strangers(ctx context.Context) error {
	named := make(map[string]bool, len(v.manifest.Files))
	for i := range v.manifest.Files {
		named[v.manifest.Files[i].Path] = true
	}
	files, err := v.from.ListVisible(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if !named[f.Path] && !hidden(f.Path) {
			v.corrupt(f.Path, "the manifest does not name it")
		}
	}
	return nil
}

// hidden tells whether readers leave a path out: a name of it begins with _ or a dot.
func hidden(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") {
			return true
		}
	}
	return false
}

func (v *verifier) corrupt(path, format string, args ...any) {
	v.report.Corrupt = append(v.report.Corrupt, CorruptFile{path, fmt.Sprintf(format, args...)})
}

// families checks the files of all families, as many families at a time as there are
// processors. Families share nothing but the table of samples, which is only read.
func (v *verifier) families(ctx context.Context) error {
	checks := make([]familyCheck, len(v.manifest.Families))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(checks)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(checks); i = next.Add(1) - 1 {
				checks[i] = v.family(ctx, &v.manifest.Families[i])
			}
		})
	}
	workers.Wait()
	for i := range checks {
		c := &checks[i]
		if c.err != nil {
			return c.err
		}
		v.report.Files += c.files
		v.report.Rows += c.rows
		v.report.Bytes += c.bytes
		v.report.Doubled += c.doubled
		v.report.Extra += c.extra
		room := MaxNamed - len(v.report.FirstDoubled)
		v.report.FirstDoubled = append(v.report.FirstDoubled, c.firstDoubled[:min(room, len(c.firstDoubled))]...)
		v.report.Corrupt = append(v.report.Corrupt, c.corrupt...)
	}
	return nil
}

func (v *verifier) fileDone() {
	if v.progress == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done++
	v.progress(v.done, len(v.manifest.Files))
}

// failures notes the cells that _failures.jsonl lists.
func (v *verifier) failures(ctx context.Context) error {
	blob, err := v.from.Open(ctx, FailuresName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }()
	for f, err := range Failures(readerOf(blob)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.corrupt(FailuresName, "%v", err)
			return nil
		}
		v.cells.fail(&f)
	}
	return nil
}

// count compares what was requested with what is there.
func (v *verifier) count() {
	for _, f := range v.cells.families {
		for i, requested := range f.requested {
			v.report.Requested += int64(bits.OnesCount64(requested))
			v.report.Present += int64(bits.OnesCount64(requested & f.present[i]))
			v.report.Failed += int64(bits.OnesCount64(requested &^ f.present[i] & f.failed[i]))
		}
	}
	v.report.Missing = v.report.Requested - v.report.Present - v.report.Failed
}

// nameMissing reads the request again, for the table knows samples by their keys only.
func (v *verifier) nameMissing(want iter.Seq2[Requested, error]) error {
	for r, err := range want {
		if err != nil {
			return err
		}
		for _, family := range v.cells.takeMissing(&r) {
			v.report.FirstMissing = append(v.report.FirstMissing, CellName{r.UserID, sample.FormatTime(r.EpochMS), family, ""})
			if len(v.report.FirstMissing) == MaxNamed {
				return nil
			}
		}
	}
	return nil
}

func (v *verifier) conclude() {
	r := v.report
	switch {
	case r.Missing > 0 || r.Doubled > 0 || len(r.Corrupt) > 0:
		r.Outcome = Broken
	case r.Failed > 0:
		r.Outcome = FailuresOnly
	default:
		r.Outcome = Exact
	}
}
