// Package shares limits the requests in flight to a feature service over all
// instances together.
//
// A [Limiter] bounds the requests of one process to one URL and lane. Its limit is the
// process's share of the whole: a [Holder] asks the leader for it and keeps renewing
// it, and the leader's [Granter] divides the whole between the instances that ask. A
// share is held on a lease. An instance that cannot renew stops sending new requests
// when its lease ends, and only then is its share given to others.
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
	Max int    // the run's max_in_flight on this lane, over all instances
}

// Request is what an instance tells the leader when it asks for its share.
type Request struct {
	Key
	Instance string `json:"instance"`          // unique among processes, and never used again by a later one
	Seq      uint64 `json:"seq"`               // counts the instance's requests on the key, so that one that comes late does no harm
	Max      int    `json:"max_in_flight"`     // the smallest that the instance's runs want
	Limit    int    `json:"limit"`             // the limit that the instance obeys while it asks; 0 once its lease has ended
	InUse    int    `json:"in_use"`            // requests in flight while it asks; above Limit after a cut
	Leaving  bool   `json:"leaving,omitempty"` // the instance wants nothing more, and starts no new request
}

// Grant is the leader's answer: a limit, and for how long it is valid from the moment
// the request was sent.
type Grant struct {
	Limit   int   `json:"limit"`
	LeaseMS int64 `json:"lease_ms"`
	// Short says that others still hold what belongs to this instance: ask again soon.
	Short bool `json:"short,omitempty"`
}

// Lease gives how long the grant is valid.
func (g Grant) Lease() time.Duration { return time.Duration(g.LeaseMS) * time.Millisecond }
