package featureservice

import (
	"bytes"
	"fmt"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// answer is what an answer holds for the families that were asked for. It is used again,
// and its spans are views into the answer's body.
type answer struct {
	book    *nameBook
	cells   []cell // in the order of the request
	unasked int    // families that were not asked for

	scanner jsonscan.Scanner
	names   nameCheck
	scratch []byte
}

// cell is one family of the answer.
type cell struct {
	family   string
	features []byte // its value under "features", nil if left out
	failed   []byte // its value under "errors", nil if left out
	err      error
}

// scratchBytes is room for usual text that has to be unescaped.
const scratchBytes = 4 << 10

func newAnswer(book *nameBook) *answer {
	return &answer{book: book, scratch: make([]byte, 0, scratchBytes)}
}

const (
	featuresKey = "features"
	errorsKey   = "errors"
)

// read checks the whole body to its end and finds what it holds for each family. Its
// error concerns all families: nothing of a broken answer is believed.
func (a *answer) read(body []byte, families []string) error {
	a.unasked = 0
	a.cells = a.cells[:0]
	for _, f := range families {
		a.cells = append(a.cells, cell{family: f})
	}
	if err := a.index(body); err != nil {
		return err
	}
	for i := range a.cells {
		a.cells[i].err = a.judge(&a.cells[i])
	}
	return nil
}

// index finds the spans of the families.
func (a *answer) index(body []byte) error {
	s := &a.scanner
	s.AllowNaN = true
	s.Reset(body)
	var features, errors bool
	s.Object()
	for key, more := s.Next(); more; key, more = s.Next() {
		var err error
		switch string(key) {
		case featuresKey:
			err = a.section(featuresKey, &features)
		case errorsKey:
			err = a.section(errorsKey, &errors)
		default:
			s.Skip() // its error stays, and ends the loop
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

// section finds the spans under "features" or "errors". A null stands for an empty one.
func (a *answer) section(name string, seen *bool) error {
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
		span, _ := s.Skip()
		c := a.find(key, &next)
		if c == nil {
			a.unasked++
			continue
		}
		at := &c.features
		if name == errorsKey {
			at = &c.failed
		}
		if *at != nil {
			return bad("the answer repeats family %q under %q", clean(c.family, excerptBytes), name)
		}
		*at = span
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
	s := &a.scanner
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
