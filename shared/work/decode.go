package work

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// Decode reads a block's wire form.
func Decode(data []byte) (*Block, error) {
	b, ok := decodeUsual(data)
	if !ok {
		b = &Block{}
		if err := json.Unmarshal(data, b); err != nil {
			return nil, fmt.Errorf("block of requests: %w", err)
		}
	}
	for i := range b.Requests {
		r := &b.Requests[i]
		if r.UserID == "" || r.Cells() == 0 {
			return nil, fmt.Errorf("block of requests: request %d has no user_id or no families", i+1)
		}
	}
	return b, nil
}

// decodeUsual reads what Encode writes, in any order and spacing, to what encoding/json
// makes of it. It is false for whatever else a person may have sent, such as other keys,
// nulls, or an error, which are left to encoding/json.
func decodeUsual(data []byte) (*Block, bool) {
	d := decoder{scanner: jsonscan.New(data), names: []string{}}
	s := &d.scanner
	s.Object()
	if key, more := s.Next(); !more || string(key) != "requests" {
		return nil, false
	}
	requests := []Request{}
	for s.Array(); s.Element(); {
		r, ok := d.request()
		if !ok {
			return nil, false
		}
		requests = append(requests, r)
	}
	if _, more := s.Next(); more || s.End() != nil {
		return nil, false
	}
	return &Block{Requests: requests}, true
}

// decoder reads requests. The families of one are mostly those of the one before, so that
// their names are made once.
type decoder struct {
	scanner jsonscan.Scanner
	names   []string          // of the families of all requests
	known   map[string]string // names that were made
	before  [2][]string       // Families and Direct of the request before
}

// The members of a request, as bits.
const (
	hasUser = 1 << iota
	hasTime
	hasFamilies
	hasDirect
	hasAttributes
)

func (d *decoder) request() (r Request, ok bool) {
	s := &d.scanner
	s.Object()
	seen := 0
	for key, more := s.Next(); more; key, more = s.Next() {
		member, ok := 0, true
		switch string(key) {
		case "user_id":
			member = hasUser
			var text []byte
			text, _ = s.String(nil) // its error stays
			r.UserID = string(text)
		case "pitc_timestamp":
			member = hasTime
			n, _ := s.Number()
			r.EpochMS, ok = n.Int, n.IsInt
		case "feature_families":
			member = hasFamilies
			r.Families = d.families(&d.before[0])
		case "direct_families":
			member = hasDirect
			r.Direct = d.families(&d.before[1])
		case "attributes":
			member = hasAttributes
			span, _ := s.Skip()
			r.Attributes = bytes.Clone(span)
		default:
			ok = false
		}
		if !ok || seen&member != 0 {
			return r, false
		}
		seen |= member
	}
	return r, s.Err() == nil
}

// families reads a list of families, or null. The scanner keeps its error.
func (d *decoder) families(before *[]string) []string {
	s := &d.scanner
	if s.Kind() == jsonscan.KindNull {
		_ = s.Null() // its error stays
		return nil
	}
	first := len(d.names)
	for s.Array(); s.Element(); {
		text, err := s.String(nil)
		if err != nil {
			break
		}
		d.names = append(d.names, d.name(text, *before, len(d.names)-first))
	}
	*before = d.names[first:len(d.names):len(d.names)]
	return *before
}

// name gives a name as a string, if it can be the one at the same place in the list before.
func (d *decoder) name(text []byte, before []string, at int) string {
	if at < len(before) && before[at] == string(text) {
		return before[at]
	}
	name, ok := d.known[string(text)]
	if !ok {
		if d.known == nil {
			d.known = make(map[string]string)
		}
		name = string(text)
		d.known[name] = name
	}
	return name
}
