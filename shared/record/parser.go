package record

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// Names says how records call their fields; an empty name stands for the public one.
type Names struct {
	UserID          string
	PITCTimestamp   string
	FeatureFamilies string
	Attributes      []string       // further fields, each of which becomes an attribute of its name
	Location        *time.Location // of times without a zone; nil = they are errors
}

// Parser reads records that are JSON objects. It is not safe for concurrent use.
type Parser struct {
	validator *Validator
	names     Names

	scan      jsonscan.Scanner
	extra     []byte   // attributes from fields of their own, as members
	extraSeen []string // names of those
	listRaw   []byte   // the last list of families …
	list      []string // … and what it says: most records have the same
}

// NewParser reads records of a run.
func NewParser(v *Validator, n Names) *Parser {
	for _, name := range []struct {
		dst  *string
		name string
	}{{&n.UserID, "user_id"}, {&n.PITCTimestamp, "pitc_timestamp"}, {&n.FeatureFamilies, "feature_families"}} {
		if *name.dst == "" {
			*name.dst = name.name
		}
	}
	return &Parser{validator: v, names: n}
}

const attributesField = "attributes"

// Parse reads one record. Errors are *FieldError. The record holds no views into raw.
func (p *Parser) Parse(raw []byte) (Record, error) {
	var r Record
	if err := p.parse(raw, &r); err != nil {
		return Record{}, err
	}
	return r, nil
}

// parse is Parse with the typed nil kept away from callers.
func (p *Parser) parse(raw []byte, r *Record) error {
	if !utf8.Valid(raw) {
		return fieldError("", "the record is not UTF-8; encode it as UTF-8")
	}
	s := &p.scan
	s.Reset(raw)
	if s.Kind() != jsonscan.KindObject {
		return fieldError("", "a record is a JSON object, and this is %s; write {\"%s\":…,\"%s\":…}", s.Kind(), p.names.UserID, p.names.PITCTimestamp)
	}
	s.Object()
	p.extra, p.extraSeen = p.extra[:0], p.extraSeen[:0]
	var hasUser, hasTime, hasFamilies, hasAttributes bool
	for key, more := s.Next(); more; key, more = s.Next() {
		var err *FieldError
		again := false
		switch string(key) {
		case p.names.UserID:
			hasUser, again = true, hasUser
			r.UserID, err = p.userID()
		case p.names.PITCTimestamp:
			hasTime, again = true, hasTime
			r.EpochMS, err = p.time()
		case p.names.FeatureFamilies:
			hasFamilies, again = true, hasFamilies
			r.Families, err = p.families()
		case attributesField:
			hasAttributes, again = true, hasAttributes
			r.Attributes, err = p.attributes()
		default:
			again, err = p.extraAttribute(key)
		}
		if s.Err() != nil {
			break
		}
		if again {
			return fieldError(string(key), "it is given twice; leave one out")
		}
		if err != nil {
			return err
		}
	}
	if err := s.End(); err != nil {
		return fieldError("", "no valid %v; write one JSON object", err)
	}
	if !hasUser {
		return fieldError(p.names.UserID, "it is missing; give a string or an integer")
	}
	if !hasTime {
		return fieldError(p.names.PITCTimestamp, "it is missing; give %s", timeForms)
	}
	return p.mergeAttributes(r)
}

func (p *Parser) userID() (string, *FieldError) {
	name, s := p.names.UserID, &p.scan
	switch s.Kind() {
	case jsonscan.KindString:
		text, ferr := p.text(name)
		if ferr != nil {
			return "", ferr
		}
		if err := checkUserID(string(text)); err != nil {
			return "", fieldError(name, "%s", err.(*FieldError).Msg)
		}
		return string(text), nil
	case jsonscan.KindNumber:
		raw, _ := s.Skip()
		if !isInteger(raw) {
			return "", fieldError(name, "%s is no integer; give an integer without fraction and exponent, or a string", clip(raw))
		}
		if string(raw) == "-0" {
			return "0", nil
		}
		if err := checkUserID(string(raw)); err != nil {
			return "", fieldError(name, "%s", err.(*FieldError).Msg)
		}
		return string(raw), nil
	}
	return "", fieldError(name, "it is %s; give a string or an integer", p.skipKind())
}

// skipKind steps over a value of the wrong kind and names the kind.
func (p *Parser) skipKind() jsonscan.Kind {
	kind := p.scan.Kind()
	_, _ = p.scan.Skip() // the scanner keeps the error
	return kind
}

// isInteger says whether a JSON number has neither fraction nor exponent.
func isInteger(lit []byte) bool { return !bytes.ContainsAny(lit, ".eE") }

// text reads a string; an escape that stands for no character is an error, so that
// two users never become one.
func (p *Parser) text(field string) ([]byte, *FieldError) {
	before := p.scan // a copy, to look at the literal
	text, err := p.scan.String(nil)
	if err != nil || !bytes.Contains(text, []byte("\ufffd")) {
		return text, nil
	}
	raw, _ := before.Skip()
	if bytes.Count(text, []byte("\ufffd")) > bytes.Count(raw, []byte("\ufffd"))+bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return nil, fieldError(field, "it holds half of a surrogate pair (\\ud800 to \\udfff); encode the character whole")
	}
	return text, nil
}

func (p *Parser) time() (int64, *FieldError) {
	name, s := p.names.PITCTimestamp, &p.scan
	switch s.Kind() {
	case jsonscan.KindString:
		text, err := s.String(nil)
		if err != nil {
			return 0, nil // the scanner keeps it
		}
		ms, err := ParseTime(text, p.names.Location)
		if err != nil {
			return 0, fieldError(name, "%v", err)
		}
		return ms, nil
	case jsonscan.KindNumber:
		raw, _ := s.Skip()
		ms, err := ParseEpochMS(raw)
		if err != nil {
			return 0, fieldError(name, "%v", err)
		}
		return ms, nil
	}
	return 0, fieldError(name, "it is %s; give %s", p.skipKind(), timeForms)
}

// ParseEpochMS reads an integer of epoch milliseconds.
func ParseEpochMS(lit []byte) (int64, error) {
	if !isInteger(lit) {
		return 0, fmt.Errorf("%s is no integer; give epoch milliseconds without fraction and exponent", clip(lit))
	}
	ms, err := strconv.ParseInt(string(lit), 10, 64)
	if err != nil {
		ms = math.MaxInt64
	}
	if msg := outOfRange(ms); msg != "" {
		return 0, fmt.Errorf("%s is no time: %s", clip(lit), msg)
	}
	return ms, nil
}

func (p *Parser) families() ([]string, *FieldError) {
	name, s := p.names.FeatureFamilies, &p.scan
	if s.Kind() != jsonscan.KindArray {
		return nil, fieldError(name, "it is %s; give a list of family ids, or leave it out for all of the run's", p.skipKind())
	}
	before := p.scan
	raw, err := s.Skip()
	if err != nil {
		return nil, nil // the scanner keeps it
	}
	if p.list != nil && bytes.Equal(raw, p.listRaw) {
		return p.list, nil
	}
	list := []string{}
	before.Array()
	for before.Element() {
		if kind := before.Kind(); kind != jsonscan.KindString {
			return nil, fieldError(name, "item %d is %s; give family ids as strings", len(list)+1, kind)
		}
		id, _ := before.String(nil)
		if known, ok := p.validator.families[string(id)]; ok {
			list = append(list, known)
		} else {
			list = append(list, string(id))
		}
	}
	if msg := p.validator.checkFamilies(list); msg != "" {
		return nil, fieldError(name, "%s", msg)
	}
	p.listRaw, p.list = append(p.listRaw[:0], raw...), slices.Clip(list)
	return p.list, nil
}

func (p *Parser) attributes() ([]byte, *FieldError) {
	if p.scan.Kind() != jsonscan.KindObject {
		return nil, fieldError(attributesField, "it is %s; give an object, or leave it out", p.skipKind())
	}
	raw, err := p.scan.Skip()
	if err != nil {
		return nil, nil // the scanner keeps it
	}
	compact, msg := compactAttributes(raw)
	if msg != "" {
		return nil, fieldError(attributesField, "%s", msg)
	}
	return compact, nil
}

// extraAttribute reads a field that is not one of the public four.
func (p *Parser) extraAttribute(key []byte) (again bool, err *FieldError) {
	raw, _ := p.scan.Skip() // the scanner keeps the error
	i := slices.IndexFunc(p.names.Attributes, func(name string) bool { return name == string(key) })
	if i < 0 {
		known := slices.Concat([]string{p.names.UserID, p.names.PITCTimestamp, p.names.FeatureFamilies, attributesField}, p.names.Attributes)
		return false, fieldError(clip(key), "unknown field; a record has %s", strings.Join(known, ", "))
	}
	name := p.names.Attributes[i]
	if slices.Contains(p.extraSeen, name) {
		return true, nil
	}
	p.extraSeen = append(p.extraSeen, name)
	if len(p.extra) > 0 {
		p.extra = append(p.extra, ',')
	}
	p.extra = append(AppendString(p.extra, name), ':')
	p.extra = jsonscan.AppendCompact(p.extra, raw)
	return false, nil
}

// mergeAttributes adds the attributes that were fields of their own.
func (p *Parser) mergeAttributes(r *Record) error {
	if len(p.extra) == 0 {
		return nil
	}
	merged := make([]byte, 0, len(p.extra)+len(r.Attributes)+2)
	merged = append(append(merged, '{'), p.extra...)
	if len(r.Attributes) > len("{}") {
		merged = append(append(merged, ','), r.Attributes[1:]...)
	} else {
		merged = append(merged, '}')
	}
	var msg string
	if r.Attributes, msg = compactAttributes(merged); msg != "" {
		return fieldError(attributesField, "%s", msg)
	}
	return nil
}
