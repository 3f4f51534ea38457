// Package work holds the requests that travel between the stages: which families of
// which samples are to be fetched. Their wire form is JSON, so that a dead letter can
// be read, edited and sent again by a person.
package work

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

// Bounds of a message of requests.
const (
	MaxSamplesPerBlock = 100       // samples of one message to the dynamo-fetcher
	MaxRequestsPerLane = 16        // requests of one message to fs-fast or fs-slow
	MaxMessageBytes    = 256 << 10 // a message is closed before it grows past this, unless one request alone does
	MaxAttributesBytes = 64 << 10  // attributes of one sample
	MaxUserIDBytes     = 1024      // user id of one sample
	MaxCellBytes       = 512 << 10 // a larger cell fails as too_large
	MaxPublishBytes    = 768 << 10 // the largest payload of any message, so that it fits a dead letter with its headers
	TargetPackedBytes  = 448 << 10 // a message of packed cells is published when it has grown to this
	GatherPackedBytes  = 1 << 20   // cells that come few of a family at a time are gathered to this, and published by families
)

// Request asks for families of one sample. On its way to the dynamo-fetcher Families
// are looked up, and Direct are the sample's uncached fast families, which join the
// misses so that the feature service sees one request a user. In the lanes Families
// go into one HTTP request and Direct is empty.
type Request struct {
	UserID     string          `json:"user_id"`
	EpochMS    int64           `json:"pitc_timestamp"` // epoch milliseconds
	Families   []string        `json:"feature_families"`
	Direct     []string        `json:"direct_families,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

// Key gives the key of the request's sample.
func (r *Request) Key() sample.Key { return sample.KeyOf(r.UserID, r.EpochMS) }

// Cells counts the cells that the request asks for.
func (r *Request) Cells() int { return len(r.Families) + len(r.Direct) }

// Size estimates the request's bytes on the wire.
func (r *Request) Size() int {
	n := 80 + len(r.UserID) + len(r.Attributes)
	for _, f := range r.Families {
		n += len(f) + 3
	}
	for _, f := range r.Direct {
		n += len(f) + 3
	}
	return n
}

// With gives a copy of the request for other families.
func (r *Request) With(families []string) Request {
	c := *r
	c.Families, c.Direct = families, nil
	return c
}

// Block is the payload of a message of requests.
type Block struct {
	Requests []Request `json:"requests"`
}

// Cells counts the cells that the block asks for.
func (b *Block) Cells() int {
	n := 0
	for i := range b.Requests {
		n += b.Requests[i].Cells()
	}
	return n
}

// Encode gives the block's wire form: what encoding/json makes of it.
func (b *Block) Encode() []byte {
	size := 20
	for i := range b.Requests {
		size += b.Requests[i].Size() + directBytes
	}
	dst := append(make([]byte, 0, size), `{"requests":`...)
	if b.Requests == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, '[')
		for i := range b.Requests {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = b.Requests[i].appendTo(dst)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// directBytes is what the key of a request's direct families takes.
const directBytes = len(`,"direct_families":[]`)

func (r *Request) appendTo(dst []byte) []byte {
	dst = appendString(append(dst, `{"user_id":`...), r.UserID)
	dst = strconv.AppendInt(append(dst, `,"pitc_timestamp":`...), r.EpochMS, 10)
	dst = appendStrings(append(dst, `,"feature_families":`...), r.Families)
	if len(r.Direct) > 0 {
		dst = appendStrings(append(dst, `,"direct_families":`...), r.Direct)
	}
	if len(r.Attributes) > 0 {
		dst = append(append(dst, `,"attributes":`...), marshal(r.Attributes)...)
	}
	return append(dst, '}')
}

func appendStrings(dst []byte, all []string) []byte {
	if all == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, s := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString appends a string as encoding/json does.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return append(dst, marshal(s)...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil { // only attributes can be invalid, and they were validated at the door
		panic(fmt.Sprintf("work: encode block: %v", err))
	}
	return data
}
