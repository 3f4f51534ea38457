package writer

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/commits"
	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// handOverAgain is how long a part waits for its verdict before it is handed over again: a
// message of the parts' queue may have been lost behind the system's back.
const handOverAgain = 20 * time.Second

// keepLog is how long a commit log is kept when nobody waits for it. The next part of its
// run then reads on instead of reading all of it again, which would take a large run's
// writer time that grows with the square of its parts.
const keepLog = 10 * time.Minute

// logCommitter hands parts over on fff.parts.<run> and reads the verdicts in the commit log.
type logCommitter struct {
	ctx  context.Context // of the service: the logs are followed as long
	c    *broker.Client
	log  zerolog.Logger
	mu   sync.Mutex
	logs map[string]*followed
}

// followed is a commit log that is read on as long as somebody waits for it.
type followed struct {
	log     *commits.Log
	users   int
	stop    context.CancelFunc // nil while nobody waits
	forget  *time.Timer        // runs while nobody waits
	changed chan struct{}      // closed and replaced after each reading
}

func (l *logCommitter) use(run string) *followed {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.logs[run]
	if f == nil {
		f = &followed{log: commits.New(l.c, run, nil), changed: make(chan struct{})}
		l.logs[run] = f
	}
	if f.forget != nil {
		f.forget.Stop()
	}
	if f.users++; f.users == 1 {
		var ctx context.Context
		ctx, f.stop = context.WithCancel(l.ctx)
		go l.follow(ctx, run, f)
	}
	return f
}

func (l *logCommitter) release(run string, f *followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	f.stop()
	f.stop = nil
	f.forget = time.AfterFunc(keepLog, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f.users == 0 {
			delete(l.logs, run)
		}
	})
}

func (l *logCommitter) follow(ctx context.Context, run string, f *followed) {
	err := f.log.Follow(ctx, time.Second, func(err error) {
		if err != nil {
			l.log.Warn().Err(err).Str("run", run).Msg("the commit log cannot be read; trying again")
		}
		l.mu.Lock()
		close(f.changed)
		f.changed = make(chan struct{})
		l.mu.Unlock()
	})
	if err != nil && ctx.Err() == nil {
		l.log.Error().Err(err).Str("run", run).Msg("the commit log cannot be followed")
	}
}

// Commit implements Committer.
func (l *logCommitter) Commit(ctx context.Context, run *stage.Run, p *commitlog.Staged) (commitlog.Outcome, *commitlog.Entry, error) {
	f := l.use(run.ID)
	defer l.release(run.ID, f)
	data, err := p.Encode()
	if err != nil {
		return "", nil, err
	}
	for {
		if err := l.c.PublishStaged(ctx, run.ID, data); err != nil {
			return "", nil, err
		}
		again := time.NewTimer(handOverAgain)
		outcome, entry, err := l.await(ctx, f, p, again.C)
		again.Stop()
		if err != nil || outcome != "" {
			return outcome, entry, err
		}
	}
}

// await reads until the log decides on the part, again fires, or ctx ends.
func (l *logCommitter) await(ctx context.Context, f *followed, p *commitlog.Staged, again <-chan time.Time) (outcome commitlog.Outcome, entry *commitlog.Entry, err error) {
	for {
		l.mu.Lock()
		changed := f.changed
		l.mu.Unlock()
		f.log.View(func(s *commitlog.State) { outcome, entry = s.Part(p.Epoch, p.Part) })
		if outcome != "" {
			return outcome, entry, nil
		}
		select {
		case <-changed:
		case <-again:
			return "", nil, nil
		case <-ctx.Done():
			return "", nil, context.Cause(ctx)
		}
	}
}
