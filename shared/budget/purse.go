package budget

import (
	"context"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
)

// Asker brings a wish to the leader.
type Asker func(context.Context, Ask) (Answer, error)

// Purse is what an instance may still use for one run.
type Purse struct {
	run, instance string
	ask           Asker
	asking        chan struct{} // one at a time

	mu       sync.Mutex
	used     float64
	reserved float64 // for calls that are under way
	calls    int     // under way
	until    float64
	perKey   float64       // most that a key has taken, on the average of a call; 0 = not known
	settled  chan struct{} // closed and made anew when a call has ended
}

// NewPurse makes an empty purse for an instance that has used some units already.
func NewPurse(run, instance string, used float64, ask Asker) *Purse {
	return &Purse{run: run, instance: instance, used: used, ask: ask, asking: make(chan struct{}, 1), settled: make(chan struct{})}
}

// margin is by how much a call may take more than those before it.
const margin = 1.25

// Take reserves what a call for so many keys may use; least is the least that a key can
// take. It waits while other calls may leave enough. Its error says that the budget is used
// up, or that nobody answers: the call is to be made later.
func (p *Purse) Take(ctx context.Context, keys int, least float64) (reserved float64, err error) {
	for {
		p.mu.Lock()
		estimate := float64(keys) * max(p.perKey*margin, least)
		needs := p.used + p.reserved + estimate
		settled, has, calls := p.settled, p.until, p.calls
		first := p.perKey == 0 && calls > 0 // what calls take is not known yet: one at a time
		if !first && needs <= p.until {
			p.reserved += estimate
			p.calls++
			p.mu.Unlock()
			return estimate, nil
		}
		p.mu.Unlock()
		if !first {
			until, err := p.more(ctx, Ask{Run: p.run, Instance: p.instance, Has: has, Needs: needs, Stuck: calls == 0})
			if err != nil {
				return 0, failure.RetryAfter(300*time.Millisecond, failure.Internal, "read units are shared out by the orchestrator: %w", err)
			}
			if until > has {
				continue
			}
			if calls == 0 {
				return 0, failure.RetryAfter(time.Second, failure.Internal, "the run's budget of read units is used up")
			}
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// more asks for more, unless another call has got it meanwhile. It gives up to where the
// instance may go.
func (p *Purse) more(ctx context.Context, ask Ask) (until float64, err error) {
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	p.mu.Lock()
	until = p.until
	p.mu.Unlock()
	if until > ask.Has {
		return until, nil
	}
	answer, err := p.ask(ctx, ask)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = max(p.until, answer.Until)
	return p.until, nil
}

// Settle ends a call: what it had reserved, what it has used, and for how many keys.
func (p *Purse) Settle(reserved, used float64, keys int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved -= reserved
	p.used += used
	p.calls--
	if keys > 0 {
		p.perKey = max(p.perKey, used/float64(keys))
	}
	close(p.settled)
	p.settled = make(chan struct{})
}
