package ingest

import (
	"context"
	"time"

	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// gate holds a run's blocks back until the run has less than its quota in every queue
// downstream, so that a large run does not fill them before a small one comes. The broker is
// asked once for many blocks, by one of those who wait, and less often the less there is to
// be had: a question costs it as much as a small message.
type gate struct {
	turn   chan struct{} // who has put something in may go through, or ask
	credit int           // blocks that may go through before somebody asks again
}

func newGate() *gate { return &gate{turn: make(chan struct{}, 1)} }

// queue is what the quota of a run is about.
type queue struct {
	of      stage.Name
	quota   int
	answers int // messages that a block may come to be in it, about
}

// queues gives the queues downstream in the order of the work.
func (c *Config) queues() []queue {
	return []queue{{stage.Dynamo, c.Quota, 1}, {stage.FSFast, c.Quota, 16}, {stage.FSSlow, c.Quota, 16}, {stage.Writer, c.WriterQuota, 32}}
}

// pass returns when a block may go through. count counts a run's messages in a queue, flush is
// called with the length of the writer's queue while that is full: the writers may be waiting for
// more before they stage a part, and we for them.
func (g *gate) pass(ctx context.Context, queues []queue, count func(context.Context, stage.Name) (uint64, error), flush func(queued uint64)) error {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g.turn }()
	if g.credit > 0 {
		g.credit--
		return nil
	}
	var full stage.Name // the queue that was full when it was looked at last, "" if none was
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		credit, now, length, err := credit(ctx, queues, full, count)
		if err == nil {
			full = now
			if full == "" {
				g.credit = credit - 1
				return nil
			}
			if full == stage.Writer {
				flush(length)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// credit gives how many blocks may go through, or the queue that is full and its length. A
// queue that was full is so until a quarter of it is free, so that the next question is worth its
// cost; but not the writer's, for writers may keep what they have until more comes.
func credit(ctx context.Context, queues []queue, was stage.Name, count func(context.Context, stage.Name) (uint64, error)) (blocks int, full stage.Name, length uint64, err error) {
	blocks = -1
	for _, q := range queues {
		n, err := count(ctx, q.of)
		if err != nil {
			return 0, "", 0, err
		}
		free, least := q.quota-int(min(n, uint64(q.quota))), 1
		if q.of == was && was != stage.Writer {
			least = max(1, q.quota/4)
		}
		if free < least {
			return 0, q.of, n, nil
		}
		if most := max(1, free/q.answers); blocks < 0 || most < blocks {
			blocks = most
		}
	}
	return blocks, "", 0, nil
}

// gate implements runner.Config.Gate.
func (s *Service) gate(ctx context.Context, run *stage.Run) error {
	s.mu.Lock()
	g := s.gates[run.ID]
	if g == nil {
		g = newGate()
		s.gates[run.ID] = g
	}
	s.mu.Unlock()
	js := s.d.Client.JS
	return g.pass(ctx, s.cfg.queues(), func(ctx context.Context, of stage.Name) (uint64, error) {
		return streams.Count(ctx, js, streams.Of(of), streams.Subject(of, run.ID))
	}, func(queued uint64) { s.d.Client.AskFlush(run.ID, queued) })
}
