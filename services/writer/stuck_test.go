package writer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// funcStore stages as a function says.
type funcStore struct {
	dataset.Store
	stage func(ctx context.Context) error
}

func (s *funcStore) Stage(ctx context.Context, epoch uint64, token, part, family, name string, write func(io.Writer) error) (dataset.StagedFile, error) {
	if err := s.stage(ctx); err != nil {
		return dataset.StagedFile{}, err
	}
	return s.Store.Stage(ctx, epoch, token, part, family, name, write)
}

type committerFunc func(ctx context.Context, run *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error)

func (f committerFunc) Commit(ctx context.Context, run *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
	return f(ctx, run, p)
}

func untilGivenUp(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// A run whose parts get nowhere, for whatever reason, keeps no other run's from being
// committed.
func TestARunThatIsStuckStopsNoOther(t *testing.T) {
	t.Parallel()
	fine := func(context.Context) error { return nil }
	for name, stuck := range map[string]struct {
		stage   func(context.Context) error
		verdict func(context.Context) error
	}{
		"the disk hangs":      {untilGivenUp, fine},
		"the disk refuses":    {func(context.Context) error { return errors.New("no space left on device") }, fine},
		"there is no verdict": {fine, untilGivenUp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testStuck(t, stuck.stage, stuck.verdict) })
		})
	}
}

func testStuck(t *testing.T, staging, verdict func(context.Context) error) {
	b := wide()
	b.PartBytes = 1
	b.EncodeBytes = 5 << 20 // for two files
	f := newFixture(t, b, families, nil)
	dead := &stage.Run{ID: "dead", Epoch: 1, File: f.run.File}
	place := func(_ context.Context, run *stage.Run) (*Place, error) {
		p := &Place{Store: hollow(f.disk), Token: token, FilesAtOnce: 2}
		if run == dead {
			p.Store = &funcStore{p.Store, staging}
		}
		return p, nil
	}
	f.stage = NewStage(f.stage.bounds, "w", place, committerFunc(func(ctx context.Context, run *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
		if run == dead {
			if err := verdict(ctx); err != nil {
				return "", nil, err
			}
		}
		return f.desk.Commit(ctx, run, p)
	}), zerolog.Nop())
	ctx, giveUp := context.WithCancel(t.Context())
	var waiting []<-chan []stage.Verdict[*Unit]
	for i := range 5 {
		user := fmt.Sprintf("u%d", i)
		waiting = append(waiting, f.sendFor(ctx, dead, message("a", user, "b", user)))
	}
	time.Sleep(time.Minute) // of the test's own clock
	for i := range 5 {
		noVerdict(t, <-f.send(t.Context(), message("a", fmt.Sprintf("u%d", i))))
	}
	giveUp()
	for _, w := range waiting {
		if v := <-w; len(v) != 1 || !errors.Is(v[0].Err, context.Canceled) {
			t.Errorf("verdicts %+v of the run that is stuck", v)
		}
	}
	synctest.Wait()
	f.stage.Forget(dead)
	f.stage.Forget(f.run)
	if len(f.stage.runs) != 0 || f.stage.writing != 0 {
		t.Errorf("%d runs and %d parts are kept after their end", len(f.stage.runs), f.stage.writing)
	}
	if used := f.stage.encoding.Used(); used != 0 {
		t.Errorf("%d bytes to encode files are in use at the end", used)
	}
}

// While a part is being written the next one of its run grows, however old it becomes: a
// slow disk gets fewer and larger parts. Its cells are written as soon as the disk is free.
func TestASlowDiskGetsLargerParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		b := wide()
		b.PartAge = time.Second
		f := newFixture(t, b, families, func(s dataset.Store) dataset.Store {
			return &funcStore{hollow(s), func(context.Context) error { <-free; return nil }}
		})
		var waiting []<-chan []stage.Verdict[*Unit]
		for i := range 20 {
			waiting = append(waiting, f.send(t.Context(), message("a", fmt.Sprintf("u%d", i))))
			time.Sleep(2 * time.Second) // of the test's own clock
		}
		close(free)
		for _, w := range waiting {
			noVerdict(t, <-w)
		}
		if n := f.desk.count(); n != 2 {
			t.Errorf("%d parts, want the first and one with all that came meanwhile", n)
		}
	})
}
