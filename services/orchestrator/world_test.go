package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/telemetry"
)

const testMS = int64(1_700_000_000_000)

// world is a run on a real broker and a real dataset. Nothing happens by itself: the test
// makes each step of leaders and writers.
type world struct {
	t        testing.TB
	b        *brokertest.Broker
	run      string
	out      string // output.dir
	families []string
	declared string // what the run file says of the families beside their ids
	bucket   string // a directory that plays S3, when the dataset is to be there and copied to out
	users    int    // samples u0 … that are asked for
	least    int    // parts that are merged
}

func newWorld(t testing.TB, users int, families ...string) *world {
	t.Helper()
	return newWorldOn(t, brokertest.Start(t), "demo", users, families...)
}

// newWorldOn is newWorld on a broker that runs already.
func newWorldOn(t testing.TB, b *brokertest.Broker, run string, users int, families ...string) *world {
	return &world{t: t, b: b, run: run, out: filepath.Join(t.TempDir(), "out"), families: families, users: users, least: leastMerged}
}

// another is a second system on the same dataset.
func (w *world) another() *world {
	o := *w
	o.b = brokertest.Start(w.t)
	return &o
}

func (w *world) ctx() context.Context { return w.t.Context() }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) dir() string {
	if w.bucket != "" {
		return w.bucket
	}
	return dataset.RunDir(w.out, w.run)
}

func (w *world) disk() *dataset.Disk {
	w.t.Helper()
	d, err := dataset.OpenDisk(w.dir())
	w.must(err)
	return d
}

func (w *world) runFile() []byte {
	var b strings.Builder
	s3 := ""
	if w.bucket != "" {
		s3 = ", s3: {bucket: b, prefix: p, local_copy: true}"
	}
	fmt.Fprintf(&b, "run: %s\noutput: {dir: %q%s}\nfeature_service: {url: \"http://127.0.0.1:1\"}\nfamilies:\n", w.run, w.out, s3)
	for _, f := range w.families {
		fmt.Fprintf(&b, "  - {id: %q, cached: false%s}\n", f, w.declared)
	}
	return []byte(b.String())
}

func (w *world) file() *runfile.File {
	w.t.Helper()
	f, err := runfile.Parse("run file", w.runFile())
	w.must(err)
	return f
}

// leader is a service that believes to lead, with the run.
type leader struct {
	*job
	w   *world
	ctx context.Context // of all that it does
}

// newService makes an instance of the orchestrator that does nothing by itself.
func (w *world) newService(store func(dataset.Store) dataset.Store) *Service {
	w.t.Helper()
	return w.newServiceOn(w.b.Connect(), store)
}

func (w *world) newServiceOn(c *broker.Client, store func(dataset.Store) dataset.Store) *Service {
	w.t.Helper()
	s := New(Config{Store: w.b.Dir}, service.Deps{
		Client: c, Instance: service.NewInstance(), Metrics: runner.NewMetrics(telemetry.NewRegistry()), Log: zerolog.Nop(),
	})
	s.swapFiles, s.leastMerged, s.copyPause = 1, w.least, time.Millisecond
	if w.bucket != "" {
		s.openStore = func(context.Context, *runfile.Output, string) (dataset.Store, string, error) {
			d, err := dataset.OpenDisk(w.bucket)
			return d, "s3://b/p/" + w.run, err
		}
	}
	var err error
	s.system, err = s.bucket.SystemID(w.ctx(), service.NewInstance)
	w.must(err)
	if store != nil {
		open := s.openStore
		s.openStore = func(ctx context.Context, out *runfile.Output, run string) (dataset.Store, string, error) {
			d, where, err := open(ctx, out, run)
			return store(d), where, err
		}
	}
	return s
}

// open opens the run, which nobody has opened, and sends its input.
func (w *world) open() *leader {
	w.t.Helper()
	l := w.newcomer(nil)
	w.must(l.openAgain(false))
	w.sendInput(l)
	return l
}

// newcomer is an instance of a system that knows nothing of the run.
func (w *world) newcomer(store func(dataset.Store) dataset.Store) *leader {
	w.t.Helper()
	return w.newcomerOn(w.newService(store))
}

func (w *world) newcomerOn(s *Service) *leader {
	j := newJob(s, &runs.Record{Run: w.run, State: runs.Created, RunFile: string(w.runFile()), Hash: w.file().Hash()})
	j.idle = true
	return &leader{j, w, w.ctx()}
}

// takeOver is an instance that takes the lead of a run that another has led.
func (w *world) takeOver() *leader {
	w.t.Helper()
	return w.takeOverOn(nil)
}

func (w *world) takeOverOn(store func(dataset.Store) dataset.Store) *leader {
	w.t.Helper()
	return w.leadOn(w.newService(store))
}

func (w *world) leadOn(s *Service) *leader {
	w.t.Helper()
	rec, err := s.bucket.Get(w.ctx(), w.run)
	w.must(err)
	return &leader{newJob(s, rec), w, w.ctx()}
}

// openAgain asks the leader to open the run, as a client does.
func (l *leader) openAgain(takeOver bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.openFor(l.ctx, l.w.file(), l.w.runFile(), takeOver)
	return err
}

// sendInput publishes the input and closes it.
func (w *world) sendInput(l *leader) {
	w.t.Helper()
	data := []byte(`{"records":[`)
	for i := range w.users {
		if i > 0 {
			data = append(data, ',')
		}
		data = record.AppendJSON(data, &record.Record{UserID: user(i), EpochMS: testMS})
	}
	w.b.Publish("fff.ingest."+w.run, append(data, "]}"...))
	w.await(l, "the run takes its input", func() bool {
		if !l.restored {
			return false
		}
		reply, err := l.s.closeInput(w.ctx(), l.job, &broker.Request{Data: fmt.Appendf(nil, `{"records":%d}`, w.users)})
		if err != nil {
			w.t.Fatal(err)
		}
		return reply != nil && l.rec.Input.Sealed
	})
}

// step has the leader do what is to do next.
func (l *leader) once() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.step(l.ctx)
}

// await has the leader work until a condition holds.
func (w *world) await(l *leader, what string, ok func() bool) {
	w.t.Helper()
	var last error
	for range 50 {
		if ok() {
			return
		}
		last = l.once()
	}
	w.t.Fatalf("it did not come to pass that %s: the run is %s, epoch %d, last error %v", what, l.rec.State, l.rec.Epoch, last)
}

func user(i int) string { return fmt.Sprintf("u%d", i) }

// cells are samples of a family.
type cells map[string][]int

// value is the value of a feature. It is the same whoever fetches it.
type value func(b *packed.Block, family string, user int)

func intValue(b *packed.Block, family string, user int) {
	b.Int64([]byte("v"), int64(len(family)*1000+user))
}

func (c cells) encode(v value) []byte {
	b := packed.NewBuilder()
	for _, f := range slices.Sorted(maps.Keys(c)) {
		k := b.Block(f)
		for _, i := range c[f] {
			n := b.Sample(user(i), testMS)
			k.Begin()
			v(k, f, i)
			k.End(n)
		}
	}
	return b.Encode(nil, packed.FeatureService)
}

// pen is a writer: the real stage, with every step of it in the test's hands.
type pen struct {
	w     *world
	ask   *askLeader
	stage *writer.Stage
	run   *stage.Run
}

// newPen makes a writer of the leader's epoch that asks it for verdicts. before, which may be
// nil, is called ahead of each step and may hold the writer there, or have the step fail.
func (l *leader) newPen(before func(step string) error) *pen {
	l.w.t.Helper()
	run := &stage.Run{ID: l.w.run, Epoch: l.rec.Epoch, File: l.w.file()}
	token := l.rec.Token
	var store dataset.Store = l.w.disk()
	if before != nil {
		store = &hookedStore{Store: store, before: before}
	} else {
		before = func(string) error { return nil }
	}
	ask := &askLeader{l: l, before: before}
	place := func(context.Context, *stage.Run) (*writer.Place, error) {
		return &writer.Place{Store: store, Token: token}, nil
	}
	bounds := writer.Bounds{EncodeBytes: 1 << 20, PartBytes: 1, PartAge: time.Hour, Flushes: 8}
	return &pen{w: l.w, run: run, ask: ask, stage: writer.NewStage(bounds, service.NewInstance(), place, ask, zerolog.Nop())}
}

// stageOnly stages a part that nobody hands over.
func (p *pen) stageOnly(c cells) *commitlog.Staged {
	p.w.t.Helper()
	var staged *commitlog.Staged
	p.ask.instead = func(s *commitlog.Staged) { staged = s }
	if err := p.write(c); err == nil || staged == nil {
		p.w.t.Fatalf("the part was not staged: %v", err)
	}
	return staged
}

// write has a message of cells written and committed. The error is the verdict on it.
func (p *pen) write(c cells) error { return p.writeAs(c, intValue) }

func (p *pen) writeAs(c cells, v value) error {
	m := &stage.Message{Run: p.run, Data: c.encode(v)}
	units, err := p.stage.Units(m)
	if err != nil {
		return err
	}
	var errs error
	for _, v := range p.stage.Do(p.w.ctx(), m, units[0], nil) {
		errs = errors.Join(errs, v.Err)
	}
	return errs
}

// askLeader implements writer.Committer at a leader.
type askLeader struct {
	l       *leader
	before  func(step string) error
	instead func(*commitlog.Staged) // when set, the leader is not asked
}

func (d *askLeader) Commit(ctx context.Context, run *stage.Run, p *commitlog.Staged) (outcome commitlog.Outcome, entry *commitlog.Entry, err error) {
	if d.instead != nil {
		d.instead(p)
		return "", nil, errors.New("nobody is asked")
	}
	if err := d.before("hand over"); err != nil {
		return "", nil, err
	}
	for range 10 {
		if err = d.l.decide(ctx, p); err == nil {
			break
		}
		_ = d.l.once()
	}
	if err != nil {
		return "", nil, err
	}
	log := commits.New(d.l.w.b.Client, run.ID, nil)
	if err := log.CatchUp(ctx); err != nil {
		return "", nil, err
	}
	log.View(func(s *commitlog.State) { outcome, entry = s.Part(p.Epoch, p.Part) })
	if outcome == "" {
		return "", nil, errors.New("no verdict")
	}
	return outcome, entry, nil
}

// fetch writes what ingest would send: the cells that are asked for and not done.
func (l *leader) fetch() {
	l.w.t.Helper()
	keys := make([]sample.Key, l.w.users)
	for i := range keys {
		keys[i] = sample.KeyOf(user(i), testMS)
	}
	l.s.mu.Lock()
	l.s.jobs[l.w.run] = l.job
	l.s.mu.Unlock()
	done, err := l.s.done(l.w.run, l.rec.Epoch, keys)
	l.w.must(err)
	missing := cells{}
	for i, set := range done {
		for f, id := range l.file.FamilyIDs() {
			if set[f/64]>>(f%64)&1 == 0 {
				missing[id] = append(missing[id], i)
			}
		}
	}
	if len(missing) > 0 {
		l.w.must(l.newPen(nil).write(missing))
	}
}

// finish has the leader finalise the run, and what is missing fetched, until it is torn
// down.
func (l *leader) finish() {
	l.w.t.Helper()
	for range 8 {
		l.w.await(l, "the run is taken up", func() bool { return l.restored || l.rec.State.Ended() })
		if l.rec.State.Working() {
			l.fetch()
			l.finalising()
		}
		l.w.await(l, "the proof is made", func() bool { return l.rec.State != runs.Finalising })
		if l.rec.State.Ended() {
			l.tornDown()
			return
		}
	}
	l.w.t.Fatalf("the run came to no end: %s, epoch %d, round %d", l.rec.State, l.rec.Epoch, l.rec.Round)
}

// finalising says that nothing is under way any more.
func (l *leader) finalising() {
	l.w.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.put(l.w.ctx(), func(r *runs.Record) { r.State = runs.Finalising })
	if !errors.Is(err, runs.ErrConflict) { // with another leader; the run is taken up again
		l.w.must(err)
	}
}

func (w *world) wanted() iter.Seq2[dataset.Requested, error] {
	return func(yield func(dataset.Requested, error) bool) {
		for i := range w.users {
			if !yield(dataset.Requested{UserID: user(i), EpochMS: testMS}, nil) {
				return
			}
		}
	}
}

// isExact proves that the dataset holds each cell exactly once.
func (w *world) isExact() *dataset.Manifest {
	w.t.Helper()
	report, err := dataset.Verify(w.ctx(), w.dir(), w.wanted(), dataset.VerifyOptions{})
	w.must(err)
	if report.Outcome != dataset.Exact || report.Extra != 0 {
		w.t.Fatalf("the dataset is %+v", report)
	}
	if _, err := w.disk().Get(w.ctx(), dataset.SuccessName); err != nil {
		w.t.Errorf("_SUCCESS: %v", err)
	}
	m, err := dataset.ReadManifest(w.dir())
	w.must(err)
	return m
}

// visible gives the visible files by path.
func (w *world) visible() []string {
	w.t.Helper()
	all, err := w.disk().ListVisible(w.ctx())
	w.must(err)
	var paths []string
	for _, v := range all {
		paths = append(paths, v.Path)
	}
	return paths
}
