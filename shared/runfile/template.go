package runfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

// The placeholders of key templates.
const (
	PlaceholderUserID          = "user_id"
	PlaceholderFamily          = "family"
	PlaceholderPITCTimestamp   = "pitc_timestamp"    // RFC 3339, UTC, to the second; milliseconds only where they are not zero
	PlaceholderPITCTimestampMS = "pitc_timestamp_ms" // epoch milliseconds
	PlaceholderPITCDate        = "pitc_date"         // 2006-01-02, UTC
)

var placeholders = []string{
	PlaceholderUserID, PlaceholderFamily, PlaceholderPITCTimestamp, PlaceholderPITCTimestampMS, PlaceholderPITCDate,
}

// Template is a key value with placeholders: {user_id}, {family}, {pitc_timestamp},
// {pitc_timestamp_ms}, {pitc_date}. It is safe for concurrent use.
type Template struct {
	source string
	parts  []part
}

// part is a piece of a template: a literal, or a placeholder.
type part struct {
	literal     string
	placeholder string // "" = literal
}

// ParseTemplate reads a template. Braces stand for placeholders only; there is no
// way to write a brace that stands for itself.
func ParseTemplate(s string) (*Template, error) {
	if s == "" {
		return nil, fmt.Errorf("the template is empty; write what the key's value is made of, for example %q", "{user_id}")
	}
	t := &Template{source: s}
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			t.parts = append(t.parts, part{literal: rest})
			break
		}
		if i > 0 {
			t.parts = append(t.parts, part{literal: rest[:i]})
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		if rest[i] == '}' || !closed || strings.Contains(name, "{") {
			return nil, fmt.Errorf("%q has an unpaired %q; placeholders are written as %s", s, rest[i:i+1], placeholderList())
		}
		if !slices.Contains(placeholders, name) {
			return nil, fmt.Errorf("%q is no placeholder; use %s", "{"+name+"}", placeholderList())
		}
		t.parts = append(t.parts, part{placeholder: name})
		rest = after
	}
	return t, nil
}

func placeholderList() string { return "{" + strings.Join(placeholders, "}, {") + "}" }

// literalTemplate holds a text that is not a template yet, because ${ENV} in it is
// not expanded.
func literalTemplate(s string) *Template {
	return &Template{source: s, parts: []part{{literal: s}}}
}

// Append appends the template's value for a cell; epochMS is the point in time in
// epoch milliseconds. It allocates only where dst must grow.
func (t *Template) Append(dst []byte, userID, family string, epochMS int64) []byte {
	for i := range t.parts {
		switch p := &t.parts[i]; p.placeholder {
		case "":
			dst = append(dst, p.literal...)
		case PlaceholderUserID:
			dst = append(dst, userID...)
		case PlaceholderFamily:
			dst = append(dst, family...)
		case PlaceholderPITCTimestamp:
			dst = sample.AppendTime(dst, epochMS)
		case PlaceholderPITCTimestampMS:
			dst = strconv.AppendInt(dst, epochMS, 10)
		case PlaceholderPITCDate:
			dst = time.UnixMilli(epochMS).UTC().AppendFormat(dst, time.DateOnly)
		}
	}
	return dst
}

// String gives the template as it was written.
func (t *Template) String() string { return t.source }

// Uses says whether the template has the placeholder, named without its braces.
func (t *Template) Uses(placeholder string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.placeholder == placeholder })
}
