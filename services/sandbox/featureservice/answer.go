package featureservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
)

// FamilyError is what an answer says of a family that failed.
type FamilyError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// Fault is what goes wrong with a request. Its zero value is nothing.
type Fault struct {
	Delay    time.Duration // before the answer, beyond what the families take
	Drop     bool          // the connection breaks without an answer
	Status   int           // instead of 200
	Header   http.Header   // added to the answer
	Body     []byte        // the answer's body, instead of the real one
	Truncate bool          // the connection breaks in the middle of the body

	// What is wrong within the body, by family.
	Missing []string               // neither in features nor in errors
	Null    []string               // null in features
	Empty   []string               // {} in features
	Repeat  []string               // twice in features
	NaN     []string               // with the further features not_a_number, infinite and negative_infinite
	Unasked []string               // in features without being asked for
	Errors  map[string]FamilyError // in errors
	Both    bool                   // those in Errors are in features too
}

// faulty says whether anything goes wrong.
func (f *Fault) faulty() bool {
	return f.Delay > 0 || f.Drop || f.Status != 0 || len(f.Header) > 0 || f.Body != nil || f.Truncate ||
		len(f.Missing)+len(f.Null)+len(f.Empty)+len(f.Repeat)+len(f.NaN)+len(f.Unasked)+len(f.Errors) > 0
}

// send sends the body, damaged as the fault says.
func (f *Fault) send(w http.ResponseWriter, body []byte) {
	if f.Drop {
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	}
	status := http.StatusOK
	if f.Status != 0 {
		status = f.Status
	}
	if f.Body != nil {
		body = f.Body
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	maps.Copy(w.Header(), f.Header)
	w.WriteHeader(status)
	if f.Truncate {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body) // a client that went away is no concern of ours
}

// answer is an answer that is being written.
type answer struct {
	dst    []byte
	first  bool
	fault  *Fault
	errors map[string]FamilyError
}

// appendAnswer appends the body that answers a request.
func (s *Server) appendAnswer(dst []byte, q *Request, f *Fault) []byte {
	a := answer{dst: append(dst, `{"features":{`...), first: true, fault: f, errors: map[string]FamilyError{}}
	for _, id := range q.Families {
		s.addFamily(&a, q, id)
		if slices.Contains(f.Repeat, id) {
			s.addFamily(&a, q, id)
		}
	}
	for _, id := range f.Unasked {
		s.addFamily(&a, q, id)
	}
	a.dst = append(a.dst, '}')
	if len(a.errors) > 0 {
		text, err := json.Marshal(a.errors)
		if err == nil { // strings and bools always can be encoded
			a.dst = append(append(a.dst, `,"errors":`...), text...)
		}
	}
	return append(a.dst, '}')
}

// addFamily adds what the answer says of one family.
func (s *Server) addFamily(a *answer, q *Request, id string) {
	f := a.fault
	if e, failed := f.Errors[id]; failed {
		if a.errors[id] = e; !f.Both {
			return
		}
	}
	if slices.Contains(f.Missing, id) {
		return
	}
	if !a.first {
		a.dst = append(a.dst, ',')
	}
	a.first = false
	a.dst = append(values.AppendString(a.dst, id, true), ':')
	switch {
	case slices.Contains(f.Null, id):
		a.dst = append(a.dst, "null"...)
	case slices.Contains(f.Empty, id):
		a.dst = append(a.dst, "{}"...)
	default:
		family := s.family(id)
		a.dst = append(family.Append(append(a.dst, '{'), family.Row([]byte(q.UserID), q.EpochMS), values.ASCIIJSON), '}')
	}
	if slices.Contains(f.NaN, id) && a.dst[len(a.dst)-1] == '}' {
		a.dst = a.dst[:len(a.dst)-1]
		if a.dst[len(a.dst)-1] != '{' {
			a.dst = append(a.dst, ',')
		}
		a.dst = append(a.dst, `"not_a_number":NaN,"infinite":Infinity,"negative_infinite":-Infinity}`...)
	}
}

// decodeStrictly reads one JSON value and nothing behind it.
func decodeStrictly(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the request is not of the contract: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the request")
	}
	return nil
}
