package shares

import (
	"cmp"
	"slices"
	"time"
)

// Granter divides the requests in flight between the instances that ask. It lives in
// the leader, and does nothing by itself: every call brings the time with it. It is
// not safe for use at the same time.
//
// It keeps a claim for each instance: the most requests that the instance may have in
// flight until it asks again or its lease ends. The sum of the claims on a key never
// passes the smallest max_in_flight that its instances want, except just after that
// has become smaller: until every instance has heard of it.
type Granter struct {
	lease       time.Duration
	confirmOnly time.Time // until then only claims are confirmed
	keys        map[Key]*divided
}

// divided is one key.
type divided struct {
	claims map[string]claim // by instance
	search search
}

// claim is what one instance may have in flight.
type claim struct {
	most    int  // what it may have in flight: the grant, or more while it shrinks
	max     int  // the max_in_flight that it wants; 0 = it knows none
	auto    bool // it leaves it to be found
	leaving bool // it wants nothing more
	usage   Usage
	seq     uint64
	expires time.Time
}

// NewGranter gives a granter for a system whose leader is the first one: nobody holds a
// grant yet.
func NewGranter(lease time.Duration) *Granter {
	return &Granter{lease: lease, keys: make(map[Key]*divided)}
}

// NewSuccessor gives a granter for a leader that takes over at now. The grants of the
// leader before it may be valid for one lease more, so during its first lease it only
// confirms what instances say they hold, and gives nothing new.
func NewSuccessor(lease time.Duration, now time.Time) *Granter {
	g := NewGranter(lease)
	g.confirmOnly = now.Add(lease)
	return g
}

// Grant answers an instance. The time must not run backwards.
func (g *Granter) Grant(now time.Time, r Request) Grant {
	g.expire(now)
	k := g.keys[r.Key]
	if k == nil {
		k = &divided{claims: make(map[string]claim)}
	}
	c, known := k.claims[r.Instance]
	if known && r.Seq <= c.seq {
		return Grant{} // overtaken by a later request; nobody waits for this answer
	}
	if known {
		k.search.report(now, c.usage, r.Usage)
	}
	limit, short := 0, false
	switch {
	case !r.Leaving:
		limit, short = g.decide(now, k, r)
	case r.InUse == 0:
		delete(k.claims, r.Instance)
		return Grant{}
	}
	g.keys[r.Key] = k
	k.claims[r.Instance] = claim{
		// Until it has heard the answer, and while requests from before a cut run on,
		// the instance has more in flight than it is granted now.
		most:    max(limit, r.Limit, r.InUse),
		max:     max(0, r.Max),
		auto:    r.Auto,
		leaving: r.Leaving,
		usage:   r.Usage,
		seq:     r.Seq,
		expires: now.Add(g.lease),
	}
	grant := Grant{Limit: limit, LeaseMS: g.lease.Milliseconds(), Short: short}
	if r.Auto {
		grant.AgainMS = reports.Milliseconds()
	}
	return grant
}

// decide gives the limit of the instance that asks.
func (g *Granter) decide(now time.Time, k *divided, r Request) (limit int, short bool) {
	wanted, others, auto := bound(r.Max, r.Auto), 0, r.Auto
	for id, c := range k.claims {
		if id == r.Instance {
			continue
		}
		others += c.most
		if !c.leaving {
			wanted = min(wanted, bound(c.max, c.auto))
			auto = auto || c.auto
		}
	}
	if now.Before(g.confirmOnly) {
		limit = min(r.Limit, max(0, wanted-others))
		return limit, limit < wanted
	}
	whole := wanted
	if auto {
		whole = k.search.limit(now, wanted, others+max(r.Limit, r.InUse))
	}
	free := max(0, whole-others)
	target := g.target(now, k.claims, r.Instance, whole)
	return min(target, free), target > free
}

// bound gives what an instance wants at the most, which is a lot when that is to be found.
func bound(most int, auto bool) int {
	if most <= 0 && auto {
		return mostFound
	}
	return max(0, most)
}

// target gives the part of the whole that belongs to an instance: equal parts, and the
// remainder one each to the first. When there are more instances than slots the first
// change with every lease, so that nobody waits for ever.
func (g *Granter) target(now time.Time, claims map[string]claim, instance string, whole int) int {
	ids := make([]string, 0, len(claims)+1)
	ids = append(ids, instance)
	for id, c := range claims {
		if id != instance && !c.leaving {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, cmp.Compare[string])
	place := slices.Index(ids, instance)
	if whole < len(ids) {
		turn := int(now.UnixMilli() / max(1, g.lease.Milliseconds()) % int64(len(ids)))
		place = (place + turn) % len(ids)
	}
	part := whole / len(ids)
	if place < whole%len(ids) {
		part++
	}
	return part
}

// expire drops the claims whose lease has ended.
func (g *Granter) expire(now time.Time) {
	for key, k := range g.keys {
		for id, c := range k.claims {
			if !now.Before(c.expires) {
				delete(k.claims, id)
			}
		}
		if len(k.claims) == 0 {
			delete(g.keys, key)
		}
	}
}

// Claimed sums what the instances on a key may have in flight at now.
func (g *Granter) Claimed(now time.Time, key Key) int {
	g.expire(now)
	sum := 0
	if k := g.keys[key]; k != nil {
		for _, c := range k.claims {
			sum += c.most
		}
	}
	return sum
}
