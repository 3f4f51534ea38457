package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// feed is the flow of one run's messages through this instance.
type feed struct {
	run *stage.Run
	// pull ends when no more messages are to be taken, work when those in hand are to be
	// given up.
	pull     context.Context
	stopPull context.CancelFunc
	work     context.Context
	endWork  context.CancelCauseFunc
	queue    chan *held
	slots    chan struct{} // one for each message worked on
	held     chan struct{} // one for each message in hand
	out      *gatherer
	room     chan struct{} // one for each message fetched or asked for that has no worker yet
	alone    sync.RWMutex  // a suspected poison message is worked on under the write lock
}

func (r *Runner[U]) newFeed(run *stage.Run, hard context.Context) *feed {
	f := &feed{
		run: run, queue: make(chan *held, r.cfg.Prefetch), room: make(chan struct{}, r.cfg.Prefetch),
		slots: make(chan struct{}, r.cfg.Workers), held: make(chan struct{}, r.cfg.MaxHeld),
	}
	f.work, f.endWork = context.WithCancelCause(hard)
	f.pull, f.stopPull = context.WithCancel(f.work)
	f.out = newGatherer(f.work, &r.cfg, run, r.c, r.stats, r.outputs, func() bool { return len(f.slots) > 0 })
	return f
}

// stop takes no more messages; with a cause it also gives up those in hand.
func (f *feed) stop(cause error) {
	f.stopPull()
	if cause != nil {
		f.endWork(cause)
	}
}

// takeRoom waits for room for a message and takes all that there is; 0 when the pulling
// has ended.
func (f *feed) takeRoom() int {
	select {
	case f.room <- struct{}{}:
	case <-f.pull.Done():
		return 0
	}
	if f.pull.Err() != nil { // both came true: a pull that is cancelled at once may lose messages
		f.giveRoom(1)
		return 0
	}
	for n := 1; ; n++ {
		select {
		case f.room <- struct{}{}:
		default:
			return n
		}
	}
}

func (f *feed) giveRoom(n int) {
	for range n {
		<-f.room
	}
}

// feed fetches messages of a run and hands them to workers, until the run's epoch is over
// or the process stops, and nothing is in hand.
func (r *Runner[U]) feed(ctx context.Context, f *feed) {
	stop := context.AfterFunc(ctx, f.stopPull)
	defer stop()
	go r.fetch(f)
	var inHand sync.WaitGroup
	defer func() {
		inHand.Wait()
		if r.cfg.Ended != nil {
			r.cfg.Ended(f.run)
		}
	}()
	for h := range f.queue {
		ok := r.acquire(f, h)
		<-f.room
		if !ok {
			h.giveBack(stopDelay)
			continue
		}
		inHand.Go(func() { r.process(f, h) })
	}
}

// stopDelay keeps the broker from handing a message that we give back as we stop to the
// last pull of ours, which nobody listens to any more.
const stopDelay = 100 * time.Millisecond

// acquire waits for a place in hand, a worker and the memory that the message will take;
// false if the pulling ends before.
func (r *Runner[U]) acquire(f *feed, h *held) bool {
	select {
	case f.held <- struct{}{}:
	case <-f.pull.Done():
		return false
	}
	select {
	case f.slots <- struct{}{}:
	case <-f.pull.Done():
		<-f.held
		return false
	}
	h.working, h.held = r.cfg.Weigh(h.msg.Data())
	h.working = max(h.working, h.held)
	if r.memory.Try(f.run.ID, h.working) {
		return true
	}
	if r.cfg.Full != nil {
		defer r.insist(f)()
	}
	if r.memory.Take(f.pull, f.run.ID, h.working) == nil {
		return true
	}
	<-f.slots
	<-f.held
	return false
}

// insist says that a message of the run waits for memory, again and again until it is
// called off: messages that have just been taken in may not be where it is heard yet.
func (r *Runner[U]) insist(f *feed) (stop func()) {
	ctx, cancel := context.WithCancel(f.pull)
	go func() {
		for ctx.Err() == nil {
			if 2*r.settling.Load() < r.memory.Used() {
				r.cfg.Full(f.run.ID)
			}
			_ = sleep(ctx, 100*time.Millisecond)
		}
	}()
	return cancel
}

// fetch pulls messages as there is room for them, until the feed's pulling ends.
func (r *Runner[U]) fetch(f *feed) {
	defer close(f.queue)
	name := streams.ConsumerName(r.cfg.Stage, f.run.ID)
	wait, failing := firstWait, time.Time{}
	for f.pull.Err() == nil {
		err := r.fetchSome(f, name, func() {
			if !failing.IsZero() {
				r.stats.waiting(f.run.ID, "")
			}
			wait, failing = firstWait, time.Time{}
		})
		if err == nil || f.pull.Err() != nil {
			continue
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		// The consumer is made anew while an epoch begins, and an election takes seconds.
		if time.Since(failing) > patience {
			r.log.Warn().Err(err).Str("run", f.run.ID).Msg("fetching fails; trying on")
			if !errors.Is(err, errLaterEpoch) {
				err = fmt.Errorf("the broker: %w", err)
			}
			r.stats.waiting(f.run.ID, err.Error())
		}
		if sleep(f.pull, wait) == nil {
			wait = min(2*wait, 2*time.Second)
		}
	}
}

const (
	firstWait = 20 * time.Millisecond
	patience  = 3 * time.Second // with errors of the broker, before a person is told
)

// fetchSome keeps one pull request open at a time, for as many messages as there is room.
// works is told after each fetch that went well.
func (r *Runner[U]) fetchSome(f *feed, name string, works func()) error {
	var cons jetstream.Consumer
	for f.pull.Err() == nil {
		free := f.takeRoom()
		if free == 0 {
			return nil
		}
		if cons == nil || r.cfg.Stage == stage.Ingest { // whose consumer is made anew for an epoch
			var err error
			if cons, err = r.bind(f, name); err != nil {
				f.giveRoom(free)
				return err
			}
		}
		if err := r.fetchOnce(f, cons, free); err != nil {
			return fmt.Errorf("fetch from %s: %w", name, err)
		}
		works()
	}
	return nil
}

var errLaterEpoch = errors.New("the consumer is of a later epoch, which this instance has not heard of yet")

// bind finds the run's consumer, unless it belongs to a later epoch: what a feed that is
// about to be ended takes from it, nobody else gets before AckWait is over.
func (r *Runner[U]) bind(f *feed, name string) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(f.pull, 10*time.Second)
	defer cancel()
	cons, err := r.c.JS.Consumer(ctx, streams.Of(r.cfg.Stage), name)
	if err != nil {
		return nil, err
	}
	if streams.ConsumerEpoch(cons.CachedInfo()) > f.run.Epoch {
		return nil, errLaterEpoch
	}
	return cons, nil
}

// fetchOnce has one pull request for as many messages as there was room taken for, and
// gives back the room that is left over.
func (r *Runner[U]) fetchOnce(f *feed, cons jetstream.Consumer, free int) error {
	pull, cancel := context.WithTimeout(f.pull, 5*time.Second)
	defer cancel()
	defer func() { f.giveRoom(free) }()
	batch, err := cons.Fetch(free, jetstream.FetchContext(pull), jetstream.FetchHeartbeat(time.Second))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		h := newHeld(m, cons.CachedInfo().Config.AckWait, time.Now().Add(r.cfg.MaxLease))
		r.lease.add(h)
		f.queue <- h
		free--
	}
	err = batch.Error()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, jetstream.ErrNoMessages) {
		return nil
	}
	return err
}
