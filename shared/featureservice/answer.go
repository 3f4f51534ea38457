package featureservice

import (
	"bytes"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// answer is what an answer holds for the families that were asked for. It is used again,
// and its spans are views into the answer's body.
type answer struct {
	cells   []cell // in the order of the request
	unasked int    // families that were not asked for

	body    []byte
	scanner jsonscan.Scanner // of the whole body
	part    jsonscan.Scanner // of what one family has
	scratch []byte
}

// cell is one family of the answer.
type cell struct {
	family   string
	features []byte        // its value under "features", nil if left out
	failed   []byte        // its value under "errors", nil if left out
	row      *packed.Block // in which its row is open; nil = none is
	err      error
	done     bool // its row is closed
}

// scratchBytes is room for usual text that has to be unescaped.
const scratchBytes = 4 << 10

func newAnswer() *answer { return &answer{scratch: make([]byte, 0, scratchBytes)} }

const (
	featuresKey = "features"
	errorsKey   = "errors"
)

// read reads the whole body in one pass. Each family's features go into a row of its
// block, which stays open until what follows is known: its error wins, and nothing of a
// broken answer is believed. The error of read concerns all families; no row is open then.
func (a *answer) read(body []byte, families []string, b *packed.Builder) error {
	a.body, a.unasked = body, 0
	a.cells = a.cells[:0]
	for _, f := range families {
		a.cells = append(a.cells, cell{family: f})
	}
	err := a.index(b)
	for i := range a.cells {
		c := &a.cells[i]
		if err == nil {
			c.err = a.judge(c)
		}
		if err != nil || c.err != nil {
			c.discard()
		}
	}
	return err
}

// forget lets go of the body.
func (a *answer) forget() {
	a.body = nil
	a.scanner.Reset(nil)
	a.part.Reset(nil)
	clear(a.cells)
}

// discard drops the cell's open row.
func (c *cell) discard() {
	if c.row != nil {
		c.row.Discard()
		c.row = nil
	}
}

// index finds what the body holds for each family.
func (a *answer) index(b *packed.Builder) error {
	s := &a.scanner
	s.AllowNaN = true
	s.Reset(a.body)
	var features, errors bool
	s.Object()
	for key, more := s.Next(); more; key, more = s.Next() {
		var err error
		switch string(key) {
		case featuresKey:
			err = a.section(featuresKey, &features, func(c *cell) bool {
				repeated := c.features != nil
				c.features = a.readFeatures(c, b)
				return !repeated
			})
		case errorsKey:
			err = a.section(errorsKey, &errors, func(c *cell) bool {
				repeated := c.failed != nil
				c.failed, _ = s.Skip() // its error stays, and ends the loops
				return !repeated
			})
		default:
			s.Skip()
		}
		if err != nil {
			return err
		}
	}
	if err := s.End(); err != nil {
		return bad("the answer cannot be read: %v", err)
	}
	return nil
}

// section hands what stands under "features" or "errors" to read, family by family, which
// is false for one that it was handed before. A null stands for an empty section.
func (a *answer) section(name string, seen *bool, read func(*cell) bool) error {
	s := &a.scanner
	if *seen {
		return bad("the answer repeats %q", name)
	}
	*seen = true
	switch s.Kind() {
	case jsonscan.KindNull:
		s.Null()
		return nil
	case jsonscan.KindObject, jsonscan.KindInvalid:
		s.Object()
	default:
		return bad("the answer's %q is %v instead of an object", name, s.Kind())
	}
	next := 0
	for key, more := s.Next(); more; key, more = s.Next() {
		c := a.find(key, &next)
		if c == nil {
			s.Skip()
			a.unasked++
		} else if !read(c) {
			return bad("the answer repeats family %q under %q", clean(c.family, excerptBytes), name)
		}
	}
	return nil
}

// find gives the cell of a family, nil if it was not asked for. Families mostly come in
// the order in which they were asked for, which next follows.
func (a *answer) find(family []byte, next *int) *cell {
	n := len(a.cells)
	for i := range n {
		at := (*next + i) % n
		if a.cells[at].family == string(family) {
			*next = at + 1
			return &a.cells[at]
		}
	}
	return nil
}

// judge says why a family has no row, nil if it has one.
func (a *answer) judge(c *cell) error {
	switch {
	case c.failed != nil && !isNull(c.failed):
		return a.serviceError(c.failed)
	case c.features == nil || isNull(c.features):
		return failure.Retry(failure.MissingInResponse, "the answer holds neither features nor an error for the family")
	case c.features[0] != '{':
		return bad("the answer's features of the family are no object")
	}
	return nil
}

// serviceError reads what the service says about a family:
// {"code":"…","message":"…","retryable":bool}, each of which may be left out.
func (a *answer) serviceError(span []byte) error {
	const form = `{"code","message","retryable"}`
	s := &a.part
	s.Reset(span)
	var code, message, retryable jsonField
	s.Object()
	for key, more := s.Next(); more; key, more = s.Next() {
		var field *jsonField
		switch string(key) {
		case "code":
			field = &code
		case "message":
			field = &message
		case "retryable":
			field = &retryable
		default:
			s.Skip()
			continue
		}
		if field.kind != jsonscan.KindInvalid {
			return bad("the error for the family repeats %q", key)
		}
		field.read(s)
	}
	if s.End() != nil || !code.isText() || !message.isText() || retryable.kind == jsonscan.KindString {
		return bad("the error for the family is not of the form %s", form)
	}
	reason := clean(code.text, excerptBytes)
	if m := clean(message.text, maxReasonBytes); reason == "" {
		reason = m
	} else if m != "" {
		reason += ": " + m
	}
	if reason == "" {
		reason = "an error without code and message"
	}
	if retryable.kind == jsonscan.KindBool && !retryable.yes {
		return failure.Permanent(failure.ServiceError, "%s", reason)
	}
	return failure.Retry(failure.ServiceError, "%s", reason)
}

// jsonField is a member of an error: text, a bool, null, or left out.
type jsonField struct {
	kind jsonscan.Kind // KindInvalid = left out
	text string
	yes  bool
}

// read reads the member's value. What is of no use for any member is an error, which
// the scanner keeps.
func (f *jsonField) read(s *jsonscan.Scanner) {
	f.kind = s.Kind()
	switch f.kind {
	case jsonscan.KindNull:
		s.Null()
	case jsonscan.KindBool:
		f.yes, _ = s.Bool()
	default:
		text, _ := s.String(nil)
		f.text = string(text)
	}
}

func (f *jsonField) isText() bool { return f.kind != jsonscan.KindBool }

func isNull(span []byte) bool { return bytes.Equal(span, []byte("null")) }

// bad says that an answer, or what it holds for a family, is not of the contract's form.
func bad(format string, args ...any) error {
	return failure.Retry(failure.BadResponse, "%s", fmt.Sprintf(format, args...))
}
