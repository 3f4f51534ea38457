// Package budget shares the read units that a run may use out over the instances that use
// them, so that the budget ends before it is passed: an instance reserves what a call may
// take before it makes it, and the leader allows no more in all than there is.
package budget

import (
	"math"
	"sync"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// ReadUnits gives how many read units a run may use, by max_read_units and by max_cost_usd;
// false if that is not bounded.
func ReadUnits(b *runfile.Budget) (units float64, bounded bool) {
	units = math.Inf(1)
	if b.MaxReadUnits > 0 {
		units = float64(b.MaxReadUnits)
	}
	if b.MaxCostUSD > 0 && b.USDPerMillionReadUnits > 0 {
		units = min(units, b.MaxCostUSD/b.USDPerMillionReadUnits*1e6)
	}
	return units, !math.IsInf(units, 1)
}

// Ask is an instance's wish to use more. Numbers are read units since the instance began.
type Ask struct {
	Run      string  `json:"run"`
	Instance string  `json:"instance"`
	Has      float64 `json:"has"`   // up to where it may go as far as it knows
	Needs    float64 `json:"needs"` // up to where it wants to go
	Stuck    bool    `json:"stuck"` // nothing of it is under way: it cannot go on without
}

// Answer tells up to where the instance may go. It is less than it needs when the budget
// does not give more.
type Answer struct {
	Until float64 `json:"until"`
}

// spare is the part of what is left that an instance is given beyond what it needs, so that
// it does not ask before each call. Little of it is unused when the budget ends.
const spare = 1.0 / 64

// Ledger is the leader's account of a run. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	known    bool // limit is
	limit    float64
	accounts map[string]account
	short    float64 // what an instance that is stuck lacks
}

type account struct{ used, granted float64 }

// taken is what must be taken for used.
func (a account) taken() float64 { return max(a.used, a.granted) }

// NewLedger makes an account whose limit is not known yet: until it is, nobody is given
// anything.
func NewLedger() *Ledger { return &Ledger{accounts: map[string]account{}} }

// Limit sets what all instances may use. More than before cures a shortage.
func (l *Ledger) Limit(units float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if units > l.limit {
		l.short = 0
	}
	l.limit, l.known = units, true
}

// Begin has a run that is opened again begin without the shortage that ended it: less may do
// now.
func (l *Ledger) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.short = 0
}

// Used notes what an instance has used.
func (l *Ledger) Used(instance string, units float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[instance]
	a.used = max(a.used, units)
	l.accounts[instance] = a
}

// Grant answers an instance.
func (l *Ledger) Grant(ask Ask) Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[ask.Instance]
	a.granted = max(a.granted, ask.Has) // another leader's word
	l.accounts[ask.Instance] = a
	left := l.limit
	for _, other := range l.accounts {
		left -= other.taken()
	}
	more := ask.Needs - a.taken()
	switch {
	case more <= 0:
		a.granted = max(a.granted, ask.Needs)
	case more <= left:
		a.granted = ask.Needs + (left-more)*spare
	case ask.Stuck && l.known:
		l.short = more - max(left, 0)
	}
	l.accounts[ask.Instance] = a
	return Answer{Until: a.granted}
}

// Short tells how much an instance lacks that can do nothing more without it; 0 if none does.
func (l *Ledger) Short() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.short
}
