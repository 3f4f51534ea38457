package shares

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const lease = 15 * time.Second

var (
	epoch = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	fast  = Key{URL: "http://features.test", Lane: runfile.LaneFast}
)

func TestGranter(t *testing.T) {
	type step struct {
		at        time.Duration
		req       Request // Key and Seq are filled in
		want      int
		wantShort bool
	}
	tests := []struct {
		name      string
		successor bool
		steps     []step
	}{
		{"alone: everything", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
		}},
		{"a second one waits for the first to shrink", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
			{1, Request{Instance: "b", Max: 100}, 0, true},
			{5, Request{Instance: "a", Max: 100, Limit: 100, InUse: 100}, 50, false},
			{5, Request{Instance: "b", Max: 100}, 0, true}, // a may not have heard of it
			{6, Request{Instance: "a", Max: 100, Limit: 50, InUse: 80}, 50, false},
			{6, Request{Instance: "b", Max: 100}, 20, true}, // 80 of a still run
			{7, Request{Instance: "a", Max: 100, Limit: 50, InUse: 50}, 50, false},
			{7, Request{Instance: "b", Max: 100, Limit: 20}, 50, false},
		}},
		{"a dead one's share returns after its lease", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
			{14, Request{Instance: "b", Max: 100}, 0, true},
			{15, Request{Instance: "b", Max: 100}, 100, false},
		}},
		{"a leaving one's share returns at once", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
			{1, Request{Instance: "a", Leaving: true}, 0, false},
			{1, Request{Instance: "b", Max: 100}, 100, false},
		}},
		{"but for its requests in flight", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
			{1, Request{Instance: "a", Leaving: true, InUse: 30}, 0, false},
			{1, Request{Instance: "b", Max: 100}, 70, true},
			{16, Request{Instance: "b", Max: 100, Limit: 70}, 100, false},
		}},
		{"the smallest max_in_flight holds", false, []step{
			{0, Request{Instance: "a", Max: 100}, 100, false},
			{1, Request{Instance: "b", Max: 10}, 0, true},
			{2, Request{Instance: "a", Max: 100, Limit: 100}, 5, false},
			{2, Request{Instance: "a", Max: 100, Limit: 5}, 5, false},
			{3, Request{Instance: "b", Max: 10}, 5, false},
			{4, Request{Instance: "b", Max: 100, Limit: 5}, 50, false},
		}},
		{"the remainder is spread", false, []step{
			{0, Request{Instance: "a", Max: 5}, 5, false},
			{1, Request{Instance: "b", Max: 5}, 0, true},
			{2, Request{Instance: "a", Max: 5, Limit: 5}, 3, false},
			{2, Request{Instance: "a", Max: 5, Limit: 3}, 3, false},
			{3, Request{Instance: "b", Max: 5}, 2, false},
		}},
		{"a successor only confirms during its first lease", true, []step{
			{0, Request{Instance: "new", Max: 100}, 0, true},
			{1, Request{Instance: "a", Max: 100, Limit: 60}, 60, true},
			{2, Request{Instance: "b", Max: 100, Limit: 40}, 40, true},
			{14, Request{Instance: "new", Max: 100}, 0, true},
			{15, Request{Instance: "a", Max: 100, Limit: 60}, 34, false},
			{15, Request{Instance: "a", Max: 100, Limit: 34}, 34, false},
			{16, Request{Instance: "new", Max: 100}, 26, true},
		}},
		{"nothing is wanted", false, []step{
			{0, Request{Instance: "a", Max: -1}, 0, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := NewGranter(lease)
			if tt.successor {
				g = NewSuccessor(lease, epoch)
			}
			for i, s := range tt.steps {
				s.req.Key, s.req.Seq = fast, uint64(i+1)
				got := g.Grant(epoch.Add(s.at*time.Second), s.req)
				if got.Limit != s.want || got.Short != s.wantShort {
					t.Fatalf("step %d: %s at %ds got %d (short %v), want %d (short %v)",
						i+1, s.req.Instance, s.at, got.Limit, got.Short, s.want, s.wantShort)
				}
			}
		})
	}
}

// Instances of different versions talk to each other.
func TestWireForm(t *testing.T) {
	for _, tt := range []struct {
		value any
		want  string
	}{
		{
			Request{Key: fast, Instance: "a", Seq: 7, Max: 100, Limit: 50, InUse: 60, Leaving: true},
			`{"url":"http://features.test","lane":"fast","instance":"a","seq":7,"max_in_flight":100,"limit":50,"in_use":60,"leaving":true}`,
		},
		{Grant{Limit: 50, LeaseMS: 15000, Short: true}, `{"limit":50,"lease_ms":15000,"short":true}`},
		{Grant{Limit: 50, LeaseMS: 15000}, `{"limit":50,"lease_ms":15000}`},
	} {
		if got, err := json.Marshal(tt.value); err != nil || string(got) != tt.want {
			t.Errorf("%s, want %s (%v)", got, tt.want, err)
		}
	}
}

func TestGranterKeepsKeysApart(t *testing.T) {
	g := NewGranter(lease)
	slow := Key{URL: fast.URL, Lane: runfile.LaneSlow}
	for _, key := range []Key{fast, slow} {
		if got := g.Grant(epoch, Request{Key: key, Instance: "a", Seq: 1, Max: 10}); got.Limit != 10 {
			t.Errorf("%v: limit %d, want 10", key, got.Limit)
		}
	}
	if n := g.Claimed(epoch.Add(lease), fast); n != 0 || len(g.keys) != 0 {
		t.Errorf("%d claimed on %d keys after the lease", n, len(g.keys))
	}
}

func TestGranterIgnoresOvertakenRequest(t *testing.T) {
	g := NewGranter(lease)
	g.Grant(epoch, Request{Key: fast, Instance: "a", Seq: 2, Max: 10})
	g.Grant(epoch, Request{Key: fast, Instance: "b", Seq: 1, Max: 10})
	late := g.Grant(epoch, Request{Key: fast, Instance: "a", Seq: 1, Max: 10})
	if late != (Grant{}) || g.Claimed(epoch, fast) != 10 {
		t.Errorf("a late request got %+v and left %d claimed", late, g.Claimed(epoch, fast))
	}
}

// With more instances than slots each of them gets one in its turn.
func TestGranterTakesTurns(t *testing.T) {
	g := NewGranter(lease)
	had := make(map[string]bool)
	limits := make(map[string]int)
	for i := range 40 {
		now := epoch.Add(time.Duration(i) * lease / 3)
		for j := range 3 {
			id := fmt.Sprint("instance-", j)
			r := Request{Key: fast, Instance: id, Seq: uint64(i + 1), Max: 1, Limit: limits[id]}
			limits[id] = g.Grant(now, r).Limit
			had[id] = had[id] || limits[id] > 0
		}
	}
	if len(had) != 3 || !had["instance-0"] || !had["instance-1"] || !had["instance-2"] {
		t.Errorf("had a turn: %v", had)
	}
}

// model is an instance as the property test sees it.
type model struct {
	id      string
	seq     uint64
	limit   int
	inUse   int
	expires time.Time
}

// step lets the instance start or finish requests as its limit allows.
func (m *model) step(r *rand.Rand, now time.Time) {
	if !now.Before(m.expires) {
		m.limit = 0
	}
	if m.inUse < m.limit {
		m.inUse += r.IntN(m.limit - m.inUse + 1)
	} else {
		m.inUse -= r.IntN(m.inUse + 1)
	}
}

// ask sends a request; the answer may be lost, and the request may be doubled.
func (m *model) ask(r *rand.Rand, g *Granter, now time.Time, most int) {
	m.seq++
	req := Request{Key: fast, Instance: m.id, Seq: m.seq, Max: most, Limit: m.limit, InUse: m.inUse}
	grant := g.Grant(now, req)
	if r.IntN(10) == 0 {
		g.Grant(now, req)
	}
	m.step(r, now) // requests start before the answer is here
	if r.IntN(5) > 0 {
		m.limit, m.expires = grant.Limit, now.Add(grant.Lease())
	}
}

// Whatever joins, leaves, dies, and however the clock steps and the leader changes:
// the instances never have more in flight than the whole, as long as no lease ended
// while requests were in flight, and never a limit above it in any case.
func TestGranterNeverGivesTooMuch(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		most := 1 + r.IntN(40)
		now := epoch
		g := NewGranter(lease)
		var live []*model
		for i := range 400 {
			switch n := r.IntN(20); {
			case n == 0 || len(live) == 0:
				live = append(live, &model{id: fmt.Sprint(i)})
			case n == 1: // dies
				live[0].inUse = 0
				dead := live[0]
				live = live[1:]
				if r.IntN(2) == 0 { // or leaves
					g.Grant(now, Request{Key: fast, Instance: dead.id, Seq: dead.seq + 1, Leaving: true})
				}
			case n == 2:
				now = now.Add(time.Duration(r.Int64N(int64(2 * lease))))
			case n == 3:
				g = NewSuccessor(lease, now)
			case n < 12:
				live[r.IntN(len(live))].ask(r, g, now, most)
			default:
				now = now.Add(time.Duration(r.Int64N(int64(lease / 10))))
			}
			limits := 0
			for _, m := range live {
				m.step(r, now)
				if m.limit == 0 && now.After(m.expires) {
					m.inUse = 0 // what runs on after the end of a lease is not the granter's
				}
				limits += max(m.limit, m.inUse)
			}
			if claimed := g.Claimed(now, fast); claimed > most || limits > most {
				t.Fatalf("seed %d, step %d: %d claimed and %d held of %d", seed, i, claimed, limits, most)
			}
		}
	}
}
