package writer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// desk is a leader that the test plays. Unless verdict is set it commits every part.
type desk struct {
	mu      sync.Mutex
	parts   []*commitlog.Staged
	verdict func(n int, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error)
}

// Commit implements Committer.
func (d *desk) Commit(_ context.Context, _ *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
	d.mu.Lock()
	d.parts = append(d.parts, p)
	n := len(d.parts)
	d.mu.Unlock()
	if d.verdict != nil {
		return d.verdict(n, p)
	}
	return commitlog.Committed, &commitlog.Entry{Type: commitlog.Commit}, nil
}

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.parts)
}

// fixture is a writer on a real dataset.
type fixture struct {
	t     *testing.T
	stage *Stage
	desk  *desk
	disk  *dataset.Disk
	run   *stage.Run
}

const (
	token = "t"
	ms    = int64(1_700_000_000_000)
)

func newFixture(t *testing.T, b Bounds, families string, store func(dataset.Store) dataset.Store) *fixture {
	t.Helper()
	file, err := runfile.Parse("run file", []byte("run: demo\nfeature_service: {url: \"http://127.0.0.1:1\"}\nfamilies:\n"+families))
	if err != nil {
		t.Fatal(err)
	}
	disk, err := dataset.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.BeginEpoch(t.Context(), 1, token); err != nil {
		t.Fatal(err)
	}
	var s dataset.Store = disk
	if store != nil {
		s = store(s)
	}
	f := &fixture{t: t, desk: &desk{}, disk: disk, run: &stage.Run{ID: "demo", Epoch: 1, File: file}}
	b.Flushes = max(b.Flushes, 2)
	f.stage = NewStage(b, "w", func(context.Context, *stage.Run) (*Place, error) { return &Place{Store: s, Token: token}, nil }, f.desk, zerolog.Nop())
	return f
}

const families = "  - {id: a, cached: false}\n  - {id: b, cached: false}\n"

func wide() Bounds {
	return Bounds{EncodeBytes: 1 << 20, PartBytes: 1 << 19, PartAge: time.Hour}
}

// hollow is a dataset whose files hold nothing. Tests with a clock of their own use it: the
// compressor shares channels between them, which such a clock forbids.
func hollow(s dataset.Store) dataset.Store { return &hollowStore{s} }

type hollowStore struct{ dataset.Store }

func (h *hollowStore) Stage(ctx context.Context, epoch uint64, token, part, family, name string, _ func(io.Writer) error) (dataset.StagedFile, error) {
	return h.Store.Stage(ctx, epoch, token, part, family, name, func(w io.Writer) error {
		_, err := w.Write([]byte("hollow"))
		return err
	})
}

// message packs cells, given as family and user in turn.
func message(cells ...string) []byte {
	b := packed.NewBuilder()
	for i := 0; i < len(cells); i += 2 {
		k := b.Block(cells[i])
		n := b.Sample(cells[i+1], ms)
		k.Begin()
		k.Int64([]byte("v"), 7)
		k.End(n)
	}
	return b.Encode(nil, packed.FeatureService)
}

// send works on a message and gives its verdicts when they are there.
func (f *fixture) send(ctx context.Context, data []byte) <-chan []stage.Verdict[*Unit] {
	f.t.Helper()
	return f.sendFor(ctx, f.run, data)
}

func (f *fixture) sendFor(ctx context.Context, run *stage.Run, data []byte) <-chan []stage.Verdict[*Unit] {
	f.t.Helper()
	m := &stage.Message{Run: run, Data: data}
	units, err := f.stage.Units(m)
	if err != nil {
		f.t.Fatal(err)
	}
	done := make(chan []stage.Verdict[*Unit], 1)
	go func() { done <- f.stage.Do(ctx, m, units[0], nil) }()
	return done
}

// rows gives the visible rows of each file.
func (f *fixture) rows() (rows []int64) {
	f.t.Helper()
	for _, p := range f.desk.parts {
		data, err := f.disk.GetIndex(f.t.Context(), dataset.IndexName(p.Epoch, p.Part))
		if err != nil {
			f.t.Fatal(err)
		}
		index, err := dataset.DecodePart(data)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, family := range index.Families {
			if _, err := f.disk.StatVisible(f.t.Context(), family.Family, family.File.Name); err == nil {
				rows = append(rows, int64(family.Rows.Count()))
			}
		}
	}
	return rows
}

func noVerdict(t *testing.T, v []stage.Verdict[*Unit]) {
	t.Helper()
	for i := range v {
		t.Errorf("verdict: %v", v[i].Err)
	}
}

func TestPartIsWrittenWhenItHasGrown(t *testing.T) {
	t.Parallel()
	data := message("a", "u1", "b", "u1")
	b := wide()
	b.PartBytes = int64(2*len(data)) - 1
	f := newFixture(t, b, families, nil)
	one, two := f.send(t.Context(), data), f.send(t.Context(), message("a", "u2", "b", "u2"))
	noVerdict(t, <-one)
	noVerdict(t, <-two)
	if got := f.rows(); !slices.Equal(got, []int64{2, 2}) || f.desk.count() != 1 {
		t.Errorf("%d parts, visible rows %v; want one of two files with two rows each", f.desk.count(), got)
	}
}

func TestPartIsWrittenWhenItIsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := wide()
		b.PartAge = 10 * time.Second
		f := newFixture(t, b, families, hollow)
		began := time.Now()
		one := f.send(t.Context(), message("a", "u1"))
		synctest.Wait()
		time.Sleep(9 * time.Second) // of the test's own clock
		two := f.send(t.Context(), message("a", "u2"))
		noVerdict(t, <-one)
		noVerdict(t, <-two)
		if waited := time.Since(began); waited != 10*time.Second || f.desk.count() != 1 {
			t.Errorf("%d parts after %v, want one after 10 s", f.desk.count(), waited)
		}
	})
}

func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, wide(), families, hollow)
		done := f.send(t.Context(), message("a", "u1"))
		synctest.Wait()
		f.stage.Flush("another", 1)
		synctest.Wait()
		if f.desk.count() != 0 {
			t.Error("a part was written for another run's sake")
		}
		f.stage.Flush("demo", 1)
		noVerdict(t, <-done)
	})
}

// A hint is dropped while more of the queue is coming in; what others hold is not waited for.
func TestFlushWaitsForWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, wide(), families, hollow)
		one := f.send(t.Context(), message("a", "u1"))
		synctest.Wait()
		f.stage.Flush("demo", 3)
		two := f.send(t.Context(), message("a", "u2"))
		synctest.Wait()
		f.stage.Flush("demo", 3)
		synctest.Wait()
		if f.desk.count() != 0 {
			t.Error("a part was written while messages were coming in")
		}
		time.Sleep(quiet) // of the test's own clock
		f.stage.Flush("demo", 3)
		noVerdict(t, <-one)
		noVerdict(t, <-two)
		if n := f.desk.count(); n != 1 {
			t.Errorf("%d parts, want 1", n)
		}
	})
}

// When a message waits for memory, its run's part is written, and the largest of all.
func TestFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, wide(), families, hollow)
		one := f.send(t.Context(), message("a", "u1"))
		synctest.Wait()
		if f.desk.count() != 0 {
			t.Fatal("a part was written though nobody waits for memory")
		}
		f.stage.Full("another run")
		noVerdict(t, <-one)
		synctest.Wait()
		decide := make(chan struct{})
		f.desk.verdict = func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
			<-decide
			return commitlog.Committed, &commitlog.Entry{}, nil
		}
		two := f.send(t.Context(), message("a", "u2"))
		synctest.Wait()
		f.stage.Full("demo")
		three := f.send(t.Context(), message("a", "u3"))
		synctest.Wait()
		f.stage.Full("demo")
		synctest.Wait()
		if n := f.desk.count(); n != 2 {
			t.Errorf("%d parts, want 2: another one is written while the one before frees memory", n)
		}
		close(decide)
		noVerdict(t, <-two)
		synctest.Wait()
		f.stage.Full("demo")
		noVerdict(t, <-three)
	})
}

// What a message weighs is at least what the garbage collector finds of it: of one with
// many columns and few rows that is many times its size.
func TestWeigh(t *testing.T) {
	for _, shape := range []struct{ families, features, rows int }{{20, 60, 1}, {1, 60, 500}, {1, 1, 10_000}, {40, 1000, 1}} {
		b, yaml := packed.NewBuilder(), ""
		for f := range shape.families {
			yaml += fmt.Sprintf("  - {id: family-%d, cached: false}\n", f)
			k := b.Block(fmt.Sprintf("family-%d", f))
			for row := range shape.rows {
				k.Begin()
				for i := range shape.features {
					k.Int64(fmt.Appendf(nil, "feature-%d", i), int64(row))
				}
				k.End(b.Sample(fmt.Sprintf("user-%d", row), ms))
			}
		}
		data := b.Encode(nil, packed.DynamoDB)
		const copies = 20
		fixture := newFixture(t, wide(), yaml, hollow)
		a := newAssembly(fixture.run)
		before := heap()
		for range copies {
			units, err := fixture.stage.Units(&stage.Message{Data: bytes.Clone(data)})
			if err != nil {
				t.Fatal(err)
			}
			a.add(units[0].message, 1, int64(len(data)))
		}
		took := heap() - before
		runtime.KeepAlive(a)
		weight, _ := Weigh(data)
		if took > copies*weight || weight > 16*int64(len(data))+(64<<10) {
			t.Errorf("%d messages of %d bytes (%+v) take %d bytes and weigh %d", copies, len(data), shape, took, copies*weight)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCellStandsOnceInAPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, wide(), families, hollow)
		one := f.send(t.Context(), message("a", "u1", "b", "u1"))
		two := f.send(t.Context(), message("a", "u1", "a", "u2", "unknown", "u1"))
		synctest.Wait()
		f.stage.Flush("demo", 1)
		noVerdict(t, <-one)
		noVerdict(t, <-two)
		if got := f.rows(); !slices.Equal(got, []int64{2, 1}) {
			t.Errorf("rows %v, want 2 of a and 1 of b", got)
		}
	})
}

// What is committed already is left out, the rest is staged again.
func TestRejectedPart(t *testing.T) {
	t.Parallel()
	b := wide()
	b.PartBytes = 1
	f := newFixture(t, b, families, nil)
	f.desk.verdict = func(n int, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
		if n > 1 {
			return commitlog.Committed, &commitlog.Entry{}, nil
		}
		data, err := f.disk.GetIndex(t.Context(), dataset.IndexName(p.Epoch, p.Part))
		if err != nil {
			return "", nil, err
		}
		index, err := dataset.DecodePart(data)
		if err != nil {
			return "", nil, err
		}
		rejected := map[string][]byte{"b": commitlog.PackBitmap(index.Families[1].Rows)} // all of it
		first := dataset.NewBitmap(len(index.Keys))
		first.Add(0)
		rejected["a"] = commitlog.PackBitmap(first)
		return commitlog.Rejected, &commitlog.Entry{Rejected: rejected}, nil
	}
	noVerdict(t, <-f.send(t.Context(), message("a", "u1", "a", "u2", "b", "u1")))
	if got := f.rows(); !slices.Equal(got, []int64{1}) || f.desk.count() != 2 {
		t.Errorf("%d parts, visible rows %v; want the second to hold the one cell that is left", f.desk.count(), got)
	}
}

func TestPartRejectedWhole(t *testing.T) {
	t.Parallel()
	b := wide()
	b.PartBytes = 1
	f := newFixture(t, b, families, nil)
	f.desk.verdict = func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
		return commitlog.Rejected, &commitlog.Entry{Rejected: map[string][]byte{"a": commitlog.PackBitmap([]uint64{1})}}, nil
	}
	noVerdict(t, <-f.send(t.Context(), message("a", "u1")))
	if f.desk.count() != 1 || len(f.rows()) != 0 {
		t.Errorf("%d parts, rows %v", f.desk.count(), f.rows())
	}
}

// Nothing is wrong with the cells of a part that was voided, or that nobody decided on:
// they are held, and nothing of the part is visible.
func TestPartThatIsNotCommitted(t *testing.T) {
	t.Parallel()
	for name, verdict := range map[string]func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error){
		"voided": func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
			return commitlog.Voided, &commitlog.Entry{Reason: "the epoch has ended"}, nil
		},
		"no verdict": func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
			return "", nil, errors.New("no answer")
		},
		"rejection that cannot be read": func(int, *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
			return commitlog.Rejected, &commitlog.Entry{Rejected: map[string][]byte{"a": {1, 2, 3}}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := wide()
			b.PartBytes = 1
			f := newFixture(t, b, families, nil)
			f.desk.verdict = verdict
			v := <-f.send(t.Context(), message("a", "u1"))
			if len(v) != 1 || failure.As(v[0].Err).Action == failure.GiveUp || v[0].Rest == nil {
				t.Errorf("verdicts %+v, want that the cells are held", v)
			}
			if len(f.rows()) != 0 {
				t.Error("a file is visible that was not committed")
			}
		})
	}
}

// brokenStore fails staging a number of times.
type brokenStore struct {
	dataset.Store
	mu   sync.Mutex
	left int
	err  error
}

func (b *brokenStore) Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (dataset.StagedFile, error) {
	b.mu.Lock()
	b.left--
	fail := b.left >= 0
	b.mu.Unlock()
	if fail {
		return dataset.StagedFile{}, b.err
	}
	return b.Store.Stage(ctx, epoch, token, part, family, name, write)
}

// A full disk is waited for.
func TestDiskThatRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := wide()
		b.PartBytes = 1
		f := newFixture(t, b, families, func(s dataset.Store) dataset.Store {
			return &brokenStore{Store: hollow(s), left: 5, err: errors.New("no space left on device")}
		})
		noVerdict(t, <-f.send(t.Context(), message("a", "u1")))
		if got := f.rows(); !slices.Equal(got, []int64{1}) || f.desk.count() != 1 {
			t.Errorf("%d parts, rows %v", f.desk.count(), got)
		}
	})
}

// An epoch that has ended is not waited for.
func TestFencedWriter(t *testing.T) {
	t.Parallel()
	b := wide()
	b.PartBytes = 1
	f := newFixture(t, b, families, nil)
	if err := f.disk.EndEpoch(t.Context(), 1, token); err != nil {
		t.Fatal(err)
	}
	v := <-f.send(t.Context(), message("a", "u1"))
	if len(v) != 1 || !errors.Is(v[0].Err, dataset.ErrFenced) || f.desk.count() != 0 {
		t.Errorf("verdicts %+v, %d parts", v, f.desk.count())
	}
}

// A part whose messages all give up is given up too.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := wide()
		b.PartBytes = 1
		f := newFixture(t, b, families, func(s dataset.Store) dataset.Store {
			return &brokenStore{Store: hollow(s), left: 1 << 30, err: errors.New("no space left on device")}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := f.send(ctx, message("a", "u1"))
		synctest.Wait()
		cancel()
		if v := <-done; len(v) != 1 || !errors.Is(v[0].Err, context.Canceled) {
			t.Errorf("verdicts %+v", v)
		}
		synctest.Wait() // the part's goroutine ends, or the test does not
	})
}

// A part names at most MaxStagedFiles files, so that its message stays small.
func TestManyFamilies(t *testing.T) {
	t.Parallel()
	const n = commitlog.MaxStagedFiles + 20
	var lines strings.Builder
	var cells []string
	for i := range n {
		fmt.Fprintf(&lines, "  - {id: f%03d, cached: false}\n", i)
		cells = append(cells, fmt.Sprintf("f%03d", i), "u1")
	}
	b := wide()
	b.PartBytes = 1
	f := newFixture(t, b, lines.String(), nil)
	noVerdict(t, <-f.send(t.Context(), message(cells...)))
	if f.desk.count() != 2 || len(f.desk.parts[0].Files) != commitlog.MaxStagedFiles || len(f.desk.parts[1].Files) != 20 {
		t.Errorf("%d parts, the first with %d files", f.desk.count(), len(f.desk.parts[0].Files))
	}
}

// A value that does not fit its declared type is a failed cell; the others go on.
func TestDrift(t *testing.T) {
	t.Parallel()
	b := wide()
	b.PartBytes = 1
	f := newFixture(t, b, "  - {id: a, cached: false, features: {v: int64}}\n", nil)
	p := packed.NewBuilder()
	k := p.Block("a")
	for i, v := range []float64{1, 2.5, 3} {
		n := p.Sample(fmt.Sprintf("u%d", i), ms)
		k.Begin()
		k.Double([]byte("v"), v)
		k.End(n)
	}
	v := <-f.send(t.Context(), p.Encode(nil, packed.DynamoDB))
	if len(v) != 1 || failure.As(v[0].Err).Code != failure.TypeDrift {
		t.Fatalf("verdicts %+v, want one of a drifted type", v)
	}
	letter := f.stage.Letter(&stage.Message{Run: f.run}, v[0].Rest)
	requests, err := work.Decode(letter.Data)
	if err != nil || letter.Count != 1 || len(requests.Requests) != 1 || requests.Requests[0].UserID != "u1" {
		t.Errorf("the letter is %+v, %v", requests, err)
	}
	if got := f.rows(); !slices.Equal(got, []int64{2}) {
		t.Errorf("rows %v, want the two that fit", got)
	}
}

// A message that failed as a whole becomes requests that would fetch its cells again.
func TestLetterOfAMessage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wide(), families, nil)
	m := &stage.Message{Run: f.run, Data: message("a", "u1", "b", "u1", "a", "u2")}
	units, err := f.stage.Units(m)
	if err != nil {
		t.Fatal(err)
	}
	letter := f.stage.Letter(m, units[0])
	b, err := work.Decode(letter.Data)
	if err != nil || letter.Kind != stage.KindCell || letter.Count != 3 || len(b.Requests) != 2 || !slices.Equal(b.Requests[0].Families, []string{"a", "b"}) {
		t.Errorf("letter %+v with %+v, %v", letter, b, err)
	}
	if _, err := f.stage.Units(&stage.Message{Run: f.run, Data: []byte("no cells")}); err == nil || failure.As(err).Action != failure.GiveUp {
		t.Errorf("what cannot be read: %v", err)
	}
}
