package budget

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestReadUnits(t *testing.T) {
	for name, c := range map[string]struct {
		budget runfile.Budget
		want   float64
	}{
		"units":                     {runfile.Budget{MaxReadUnits: 1000}, 1000},
		"money":                     {runfile.Budget{MaxCostUSD: 0.5, USDPerMillionReadUnits: 0.125}, 4_000_000},
		"both, money is less":       {runfile.Budget{MaxReadUnits: 5_000_000, MaxCostUSD: 0.5, USDPerMillionReadUnits: 0.125}, 4_000_000},
		"both, units are less":      {runfile.Budget{MaxReadUnits: 3_000_000, MaxCostUSD: 0.5, USDPerMillionReadUnits: 0.125}, 3_000_000},
		"neither":                   {runfile.Budget{USDPerMillionReadUnits: 0.125}, math.Inf(1)},
		"money, and they cost none": {runfile.Budget{MaxCostUSD: 0.5}, math.Inf(1)},
	} {
		units, bounded := ReadUnits(&c.budget)
		if units != c.want || bounded != !math.IsInf(c.want, 1) {
			t.Errorf("%s: %v, %v; want %v", name, units, bounded, c.want)
		}
	}
}

func TestLedger(t *testing.T) {
	l := NewLedger()
	if got := l.Grant(Ask{Instance: "a", Needs: 1, Stuck: true}); got.Until != 0 || l.Short() != 0 {
		t.Errorf("a may go to %v, and short are %v; the limit is not known", got.Until, l.Short())
	}
	l.Limit(1000)
	grant := func(instance string, has, needs float64, stuck bool) float64 {
		return l.Grant(Ask{Run: "r", Instance: instance, Has: has, Needs: needs, Stuck: stuck}).Until
	}
	if got := grant("a", 0, 360, false); got != 360+640.0/64 {
		t.Errorf("a may go to %v, want 370", got)
	}
	if got := grant("a", 370, 365, false); got != 370 {
		t.Errorf("a may go to %v, want what it had", got)
	}
	l.Used("gone", 130) // by an instance that never asked, or that the leader before knew
	if got := grant("b", 0, 501, false); got != 0 || l.Short() != 0 {
		t.Errorf("b may go to %v, and short are %v; 500 are left", got, l.Short())
	}
	if got := grant("b", 0, 500, false); got != 500 {
		t.Errorf("b may go to %v, want all of the 500", got)
	}
	if got := grant("a", 370, 371, true); got != 370 || l.Short() != 1 {
		t.Errorf("a may go to %v, and short are %v; nothing is left", got, l.Short())
	}
	l.Begin()
	if l.Short() != 0 {
		t.Errorf("short are %v when the run is opened again and nobody has asked", l.Short())
	}
	if grant("a", 370, 371, true); l.Short() != 1 {
		t.Errorf("short are %v; nothing is left, as before", l.Short())
	}
	l.Limit(2000)
	if got := grant("a", 370, 371, true); got < 371 || l.Short() != 0 {
		t.Errorf("a may go to %v, and short are %v; the budget was raised", got, l.Short())
	}
	other := NewLedger() // of a leader that took over
	other.Limit(1000)
	if got := other.Grant(Ask{Instance: "a", Has: 370, Needs: 380}).Until; got != 380+(1000-380)*spare {
		t.Errorf("a may go to %v by the word of another leader", got)
	}
}

// Many instances with many calls never use more than there is, and leave little of it.
func TestTheBudgetIsNotPassed(t *testing.T) {
	const limit, instances, workers = 20_000.0, 3, 16
	l := NewLedger()
	l.Limit(limit)
	var mu sync.Mutex
	used := 0.0
	var all sync.WaitGroup
	for i := range instances {
		p := NewPurse("r", strconv.Itoa(i), 0, func(_ context.Context, a Ask) (Answer, error) { return l.Grant(a), nil })
		for range workers {
			all.Go(func() {
				for {
					keys := 1 + rand.IntN(100)
					reserved, err := p.Take(t.Context(), keys, 0.5)
					if err != nil {
						if failure.As(err).Action != failure.HoldOn {
							t.Errorf("the end of the budget is no reason to wait: %v", err)
						}
						return
					}
					units := float64(keys) * 0.5
					for range keys / 10 { // some items are larger
						units += 0.5
					}
					mu.Lock()
					used += units
					mu.Unlock()
					p.Settle(reserved, units, keys)
				}
			})
		}
	}
	all.Wait()
	if used > limit || used < 0.95*limit {
		t.Errorf("%v units were used of %v", used, limit)
	}
	if l.Short() <= 0 {
		t.Error("nobody is short")
	}
}

// Nobody who waits for the leader, or for the first answer, waits longer than its context.
func TestTakeEndsWithItsContext(t *testing.T) {
	p := NewPurse("r", "a", 0, func(context.Context, Ask) (Answer, error) { return Answer{Until: 100}, nil })
	if _, err := p.Take(t.Context(), 10, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Take(ctx, 10, 1); err == nil {
		t.Error("a second call is made before it is known what a call takes")
	}
	p.Settle(10, 20, 10)
	if reserved, err := p.Take(t.Context(), 10, 1); err != nil || reserved != 25 {
		t.Errorf("reserved %v (%v), want 10 keys of 2 units, and a quarter more", reserved, err)
	}
}
