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
	keys        map[Key]map[string]claim
}

// claim is what one instance may have in flight.
type claim struct {
	most    int  // what it may have in flight: the grant, or more while it shrinks
	max     int  // the max_in_flight that it wants
	leaving bool // it wants nothing more
	seq     uint64
	expires time.Time
}

// NewGranter gives a granter for a system whose leader is the first one: nobody holds a
// grant yet.
func NewGranter(lease time.Duration) *Granter {
	return &Granter{lease: lease, keys: make(map[Key]map[string]claim)}
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
	claims := g.keys[r.Key]
	if c, ok := claims[r.Instance]; ok && r.Seq <= c.seq {
		return Grant{} // overtaken by a later request; nobody waits for this answer
	}
	limit, short := 0, false
	switch {
	case !r.Leaving:
		limit, short = g.decide(now, claims, r)
	case r.InUse == 0:
		delete(claims, r.Instance)
		return Grant{}
	}
	if claims == nil {
		claims = make(map[string]claim)
		g.keys[r.Key] = claims
	}
	claims[r.Instance] = claim{
		// Until it has heard the answer, and while requests from before a cut run on,
		// the instance has more in flight than it is granted now.
		most:    max(limit, r.Limit, r.InUse),
		max:     max(0, r.Max),
		leaving: r.Leaving,
		seq:     r.Seq,
		expires: now.Add(g.lease),
	}
	return Grant{Limit: limit, LeaseMS: g.lease.Milliseconds(), Short: short}
}

// decide gives the limit of the instance that asks.
func (g *Granter) decide(now time.Time, claims map[string]claim, r Request) (limit int, short bool) {
	whole, others := max(0, r.Max), 0
	for id, c := range claims {
		if id == r.Instance {
			continue
		}
		others += c.most
		if !c.leaving {
			whole = min(whole, c.max)
		}
	}
	free := max(0, whole-others)
	if now.Before(g.confirmOnly) {
		limit = min(r.Limit, free)
		return limit, limit < whole
	}
	target := g.target(now, claims, r.Instance, whole)
	return min(target, free), target > free
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
	for key, claims := range g.keys {
		for id, c := range claims {
			if !now.Before(c.expires) {
				delete(claims, id)
			}
		}
		if len(claims) == 0 {
			delete(g.keys, key)
		}
	}
}

// Claimed sums what the instances on a key may have in flight at now.
func (g *Granter) Claimed(now time.Time, key Key) int {
	g.expire(now)
	sum := 0
	for _, c := range g.keys[key] {
		sum += c.most
	}
	return sum
}
