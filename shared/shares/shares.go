// Package shares limits the requests in flight to a feature service over all
// instances together.
//
// A [Limiter] bounds the requests of one process to one URL and lane. Its limit is the
// process's share of the whole: a [Holder] asks the leader for it and keeps renewing
// it, and the leader's [Granter] divides the whole between the instances that ask. A
// share is held on a lease. An instance that cannot renew stops sending new requests
// when its lease ends, and only then is its share given to others.
//
// A run may leave the whole to be found. The instances report then, several times a
// second, how their slots were used, and the granter feeds the sums to a [tuner.Tuner].
package shares

import (
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// DefaultLease is how long a grant is valid unless it is renewed.
const DefaultLease = 15 * time.Second

// Key names what is divided: the requests to one URL on one lane.
type Key struct {
	URL  string       `json:"url"`
	Lane runfile.Lane `json:"lane"`
}

// Want is what a run needs slots for. Runs on one key share its slots; the smallest
// Max of them holds.
type Want struct {
	Key
	Run string // id of the run
	Max int    // the run's max_in_flight on this lane, over all instances; 0 = to be found
}

// Outcome is what a request that had a slot came to.
type Outcome int

// The outcomes of a request.
const (
	Lost     Outcome = iota // no answer, or one of a service in trouble: it took a slot for nothing
	Answered                // whatever the answer says
	Refused                 // the service has too much to do, and said so: 429 or 503
)

// Usage counts, since an instance has asked for a share first, what its slots were good
// for. It grows only, so that a report which does not arrive is made up for by the next.
type Usage struct {
	Answered int64         `json:"answered"`
	Refused  int64         `json:"refused"`
	Wanted   time.Duration `json:"wanted_ns"`  // slots × time: in use, or wanted but for a pause
	Offered  time.Duration `json:"offered_ns"` // slots × time that the limit gave
	Paused   bool          `json:"paused,omitempty"`
}

// Request is what an instance tells the leader when it asks for its share.
type Request struct {
	Key
	Instance string `json:"instance"`          // unique among processes, and never used again by a later one
	Seq      uint64 `json:"seq"`               // counts the instance's requests on the key, so that one that comes late does no harm
	Max      int    `json:"max_in_flight"`     // the smallest that the instance's runs want; 0 = none says
	Auto     bool   `json:"auto,omitempty"`    // one of the runs leaves it to be found
	Limit    int    `json:"limit"`             // the limit that the instance obeys while it asks; 0 once its lease has ended
	InUse    int    `json:"in_use"`            // requests in flight while it asks; above Limit after a cut
	Leaving  bool   `json:"leaving,omitempty"` // the instance wants nothing more, and starts no new request
	Usage    Usage  `json:"usage,omitzero"`    // of the instance's slots
}

// Grant is the leader's answer: a limit, and for how long it is valid from the moment
// the request was sent.
type Grant struct {
	Limit   int   `json:"limit"`
	LeaseMS int64 `json:"lease_ms"`
	// Short says that others still hold what belongs to this instance: ask again soon.
	Short bool `json:"short,omitempty"`
	// AgainMS is when to report again at the latest; 0 = in time for the lease.
	AgainMS int64 `json:"again_ms,omitempty"`
}

// Lease gives how long the grant is valid.
func (g Grant) Lease() time.Duration { return time.Duration(g.LeaseMS) * time.Millisecond }

// Again gives when to ask again: three times in a lease, or as often as reports are wanted.
func (g Grant) Again() time.Duration {
	again := g.Lease() / renewals
	if g.AgainMS > 0 {
		again = min(again, time.Duration(g.AgainMS)*time.Millisecond)
	}
	return again
}
