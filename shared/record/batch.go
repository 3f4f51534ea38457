package record

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// NDJSON is the content type of batches with one record a line.
const NDJSON = "application/x-ndjson"

// Bad is a record that breaks the contract.
type Bad struct {
	Index  int    // 0-based within its batch
	Line   int    // 1-based line of NDJSON; 0 with JSON
	Raw    []byte // the record as it was given, a view into the batch
	Reason string // what is wrong and what to do, the field first
}

// ParseBatch reads one message of fff.ingest.<run>. contentType is that of the
// message's header; anything but NDJSON stands for JSON. A non-nil err means that the
// batch is bad as a whole. seen counts records, bad ones included; for a batch that
// cannot be read it is the number of records recognisable before the error, at least 1.
func ParseBatch(data []byte, contentType string, v *Validator) (good []Record, bad []Bad, seen int, err error) {
	b := batch{parser: NewParser(v, Names{})}
	kind, _, _ := strings.Cut(contentType, ";")
	if strings.EqualFold(strings.TrimSpace(kind), NDJSON) {
		err = b.lines(data)
	} else {
		err = b.document(data)
	}
	if err != nil {
		return nil, nil, max(b.seen, 1), err
	}
	return b.good, b.bad, b.seen, nil
}

type batch struct {
	parser *Parser
	good   []Record
	bad    []Bad
	seen   int
}

// take reads one record.
func (b *batch) take(raw []byte, line int) {
	r, err := b.parser.Parse(raw)
	if err != nil {
		b.bad = append(b.bad, Bad{Index: b.seen, Line: line, Raw: raw, Reason: err.Error()})
	} else {
		b.good = append(b.good, r)
	}
	b.seen++
}

func (b *batch) lines(data []byte) error {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		if raw := bytes.Trim(text, " \t\r\n"); len(raw) > 0 {
			b.take(raw, line)
		}
	}
	if b.seen == 0 {
		return errors.New("the batch is empty; send one record a line")
	}
	return nil
}

const documentForm = `a batch is {"records":[…]}, or one record a line with the header Content-Type: ` + NDJSON

func (b *batch) document(data []byte) error {
	s := jsonscan.New(data)
	if !s.Object() {
		return fmt.Errorf("%w; %s", s.Err(), documentForm)
	}
	found := false
	for key, more := s.Next(); more; key, more = s.Next() {
		switch {
		case string(key) != "records":
			return fmt.Errorf("unknown field %q; %s", clip(key), documentForm)
		case found:
			return errors.New("records is given twice; leave one out")
		}
		found = true
		if s.Array() {
			for s.Element() {
				raw, err := s.Skip()
				if err != nil {
					break
				}
				b.take(raw, 0)
			}
		}
		if s.Err() != nil {
			break
		}
	}
	if err := s.End(); err != nil {
		return fmt.Errorf("%w, behind %d whole records; %s", err, b.seen, documentForm)
	}
	if !found {
		return fmt.Errorf("records is missing; %s", documentForm)
	}
	return nil
}
