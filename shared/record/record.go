// Package record reads and writes record batches, the public form in which samples
// are given to a run: JSON {"records":[…]}, or one record a line.
//
// One bad record never spoils the others of its batch.
package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Record asks for families of one sample.
type Record struct {
	UserID     string
	EpochMS    int64           // the point in time, in epoch milliseconds
	Families   []string        // nil = all of the run's; records may share it, so do not change it
	Attributes json.RawMessage // a JSON object without needless white space; nil = none
}

// Key gives the key of the record's sample.
func (r *Record) Key() sample.Key { return sample.KeyOf(r.UserID, r.EpochMS) }

// FieldError is what is wrong with one field of a record, and what to do about it.
type FieldError struct {
	Field string // as the record calls it; "" = the record itself
	Msg   string
}

// Error gives field and message.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Msg
	}
	return e.Field + ": " + e.Msg
}

func fieldError(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Validator checks records against a run. It is safe for concurrent use.
type Validator struct {
	families map[string]string // ids, so that records share their strings
}

// NewValidator checks against a run of these families.
func NewValidator(familyIDs []string) *Validator {
	v := &Validator{families: make(map[string]string, len(familyIDs))}
	for _, id := range familyIDs {
		v.families[id] = id
	}
	return v
}

// Check says what is wrong with a record that was made by other means than a Parser.
// The error is a *FieldError with the field's public name.
func (v *Validator) Check(r *Record) error {
	if err := checkUserID(r.UserID); err != nil {
		return err
	}
	if msg := outOfRange(r.EpochMS); msg != "" {
		return fieldError("pitc_timestamp", "%s", msg)
	}
	if r.Families != nil {
		if err := v.CheckFamilies(r.Families); err != nil {
			return err
		}
	}
	if r.Attributes == nil {
		return nil
	}
	var s jsonscan.Scanner
	s.Reset(r.Attributes)
	if s.Skip(); s.End() != nil || !utf8.Valid(r.Attributes) {
		return fieldError("attributes", "it is no valid JSON; give an object")
	}
	if _, msg := compactAttributes(r.Attributes); msg != "" {
		return fieldError("attributes", "%s", msg)
	}
	return nil
}

func checkUserID(id string) error {
	switch {
	case id == "":
		return fieldError("user_id", "it is empty; give 1 to %d bytes", work.MaxUserIDBytes)
	case len(id) > work.MaxUserIDBytes:
		return fieldError("user_id", "it has %d bytes; give 1 to %d", len(id), work.MaxUserIDBytes)
	case !utf8.ValidString(id):
		return fieldError("user_id", "it is not UTF-8; encode it as UTF-8")
	}
	return nil
}

// CheckFamilies says what is wrong with a list of families that was given. The error
// is a *FieldError.
func (v *Validator) CheckFamilies(ids []string) error {
	if msg := v.checkFamilies(ids); msg != "" {
		return fieldError("feature_families", "%s", msg)
	}
	return nil
}

// checkFamilies says what is wrong with a list of families; "" = nothing.
func (v *Validator) checkFamilies(ids []string) string {
	if len(ids) == 0 {
		return "the list is empty; name a family at least, or leave the field out for all of the run's"
	}
	for i, id := range ids {
		if _, known := v.families[id]; !known {
			return fmt.Sprintf("%q is no family of this run; add it to the run file, or leave it out", clip(id))
		}
		if slices.Contains(ids[:i], id) {
			return fmt.Sprintf("%q is named twice; leave one out", id)
		}
	}
	return ""
}

// clip shortens a text for a message.
func clip[T ~string | ~[]byte](s T) string {
	const most = 100
	if len(s) <= most {
		return string(s)
	}
	return string(s[:most]) + "…"
}

// AppendJSON appends one record in the public form, for producers.
func AppendJSON(dst []byte, r *Record) []byte {
	dst = append(dst, `{"user_id":`...)
	dst = AppendString(dst, r.UserID)
	dst = append(dst, `,"pitc_timestamp":"`...)
	dst = sample.AppendTime(dst, r.EpochMS)
	dst = append(dst, '"')
	if r.Families != nil {
		dst = append(dst, `,"feature_families":[`...)
		for i, id := range r.Families {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, id)
		}
		dst = append(dst, ']')
	}
	if r.Attributes != nil {
		dst = append(dst, `,"attributes":`...)
		dst = append(dst, r.Attributes...)
	}
	return append(dst, '}')
}

// AppendString appends a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
