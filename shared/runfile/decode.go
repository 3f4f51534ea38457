package runfile

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// decoder turns nodes into settings. It keeps the first error and does nothing after
// it.
type decoder struct {
	name    string
	getenv  func(string) (string, bool) // nil: ${ENV} stays as it is
	places  map[string]*node            // where the value of a field is, by its dotted path
	pending map[string]bool             // fields that wait for ${ENV}
	err     *Error
}

func newDecoder(name string, getenv func(string) (string, bool)) *decoder {
	return &decoder{name: name, getenv: getenv, places: map[string]*node{}, pending: map[string]bool{}}
}

// field reads the value at a path.
type field func(n *node, path string)

func (d *decoder) fail(n *node, path, format string, args ...any) {
	if d.err == nil {
		d.err = &Error{File: d.name, Line: n.line, Column: n.column, Field: path, Msg: fmt.Sprintf(format, args...)}
	}
}

// failAt fails at the place of a field, or of what is around it where it is absent.
func (d *decoder) failAt(path, format string, args ...any) {
	d.fail(place(d.places, path), path, format, args...)
}

func place(places map[string]*node, path string) *node {
	for at := path; ; {
		if n, ok := places[at]; ok {
			return n
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	if n, ok := places[""]; ok {
		return n
	}
	return &node{}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object reads a mapping; keys that fields does not name are errors.
func (d *decoder) object(n *node, path string, required []string, fields map[string]field) {
	d.places[path] = n
	if n.kind != kindMapping {
		d.fail(n, path, "%s; write settings under it: %s", describe(n), list(slices.Sorted(maps.Keys(fields))))
		return
	}
	for _, m := range n.members {
		read, known := fields[m.key]
		if !known {
			d.fail(m.place, join(path, m.key), "unknown field; %s", suggest(m.key, slices.Sorted(maps.Keys(fields))))
		}
		if d.err != nil {
			return
		}
		at := join(path, m.key)
		d.places[at] = m.value
		if m.value.kind == kindNull {
			d.fail(m.place, at, "it has no value; give it one, or leave it out")
			return
		}
		read(m.value, at)
	}
	for _, key := range required {
		if !slices.ContainsFunc(n.members, func(m member) bool { return m.key == key }) {
			d.fail(n, join(path, key), "it is missing, and it is required; add it")
		}
	}
}

// listOf reads a list, one call for each item.
func (d *decoder) listOf(item func(n *node, path string)) field {
	return func(n *node, path string) {
		if n.kind != kindList {
			d.fail(n, path, "%s; write a list: [first, second]", describe(n))
			return
		}
		for i, v := range n.items {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.places[at] = v
			if item(v, at); d.err != nil {
				return
			}
		}
	}
}

// value gives a text with ${ENV} expanded. ready is false while it waits for the
// environment, or when something is wrong.
func (d *decoder) value(n *node, path string) (s string, ready bool) {
	if n.kind != kindText {
		d.fail(n, path, "%s; write text, in quotes where YAML would take it for something else: \"…\"", describe(n))
		return "", false
	}
	s, ready, err := expand(n.text, d.getenv)
	if err != nil {
		d.fail(n, path, "%v", err)
		return "", false
	}
	if !ready {
		d.pending[path] = true
	}
	return s, ready
}

// complain reports a value that is wrong. It quotes what the file says, not what the
// environment made of it.
func (d *decoder) complain(n *node, path, value, msg string) {
	if value != n.text && n.kind == kindText {
		d.fail(n, path, "%q, once expanded, %s", n.text, msg)
		return
	}
	d.fail(n, path, "%q %s", n.text, msg)
}

// text reads a text; check says what is wrong with one, "" = nothing.
func text[T ~string](d *decoder, dst *T, check func(string) string) field {
	return func(n *node, path string) {
		s, ready := d.value(n, path)
		if ready {
			if msg := check(s); msg != "" {
				d.complain(n, path, s, msg)
			}
		}
		*dst = T(n.text)
		if d.getenv != nil {
			*dst = T(s)
		}
	}
}

// choice reads one of a few words.
func choice[T ~string](d *decoder, dst *T, what string, words ...T) field {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	return text(d, dst, func(s string) string {
		if slices.Contains(names, s) {
			return ""
		}
		return "is no " + what + "; use " + list(names)
	})
}

// scalar gives the text of a number, switch, duration or size. ready is false while
// it waits for the environment.
func (d *decoder) scalar(n *node, path string) (s string, ready bool) {
	if n.kind == kindText && strings.Contains(n.text, "$") {
		return d.value(n, path)
	}
	return n.text, true
}

// integer reads a whole number between least and most.
func integer[T int | int32 | int64](d *decoder, dst *T, least, most T) field {
	return func(n *node, path string) {
		if s, ready := d.scalar(n, path); ready {
			d.integer(n, path, s, int64(least), int64(most), "", func(i int64) { *dst = T(i) })
		}
	}
}

// integerOr reads the same, or a word, which stands for 0.
func integerOr(d *decoder, dst *int, least, most int, word string) field {
	return func(n *node, path string) {
		switch s, ready := d.scalar(n, path); {
		case !ready:
		case s == word:
			*dst = 0
		default:
			d.integer(n, path, s, int64(least), int64(most), ", or "+word, func(i int64) { *dst = int(i) })
		}
	}
}

// integer takes s, the text of n, for a whole number. or names what else may stand there.
func (d *decoder) integer(n *node, path, s string, least, most int64, or string, set func(int64)) {
	i, ok := n.integer, n.kind == kindInt
	if !ok && (n.kind == kindFloat || n.plain || s != n.text) {
		if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			i, ok = int64(f), true
		}
	}
	switch {
	case !ok:
		d.complain(n, path, s, fmt.Sprintf("is no whole number; write one from %d to %d, without quotes%s", least, most, or))
	case i < least || i > most:
		d.complain(n, path, s, fmt.Sprintf("is out of range; write a whole number from %d to %d%s", least, most, or))
	default:
		set(i)
	}
}

// float reads a number that is at least least and at most most.
func float(d *decoder, dst *float64, least, most float64) field {
	return func(n *node, path string) {
		s, ready := d.scalar(n, path)
		if !ready {
			return
		}
		f, ok := n.float, n.kind == kindInt || n.kind == kindFloat
		if !ok && (n.plain || s != n.text) {
			v, err := strconv.ParseFloat(s, 64)
			f, ok = v, err == nil
		}
		switch {
		case !ok:
			d.complain(n, path, s, fmt.Sprintf("is no number; write one from %v to %v, without quotes", least, most))
		case !(f >= least && f <= most): // NaN too
			d.complain(n, path, s, fmt.Sprintf("is out of range; write a number from %v to %v", least, most))
		default:
			*dst = f
		}
	}
}

func boolean(d *decoder, dst *bool) field {
	return func(n *node, path string) {
		s, ready := d.scalar(n, path)
		switch {
		case !ready:
		case n.kind == kindBool:
			*dst = n.truth
		case s != n.text && (s == "true" || s == "false"):
			*dst = s == "true"
		default:
			d.complain(n, path, s, "is no switch; write true or false, without quotes")
		}
	}
}

// maxDuration bounds every duration of a run file.
const maxDuration = 30 * 24 * time.Hour

// duration reads a duration such as 30m.
func duration(d *decoder, dst *time.Duration) field {
	return func(n *node, path string) {
		s, ready := d.scalar(n, path)
		if !ready {
			return
		}
		v, err := time.ParseDuration(s)
		switch {
		case err != nil || n.kind == kindInt || n.kind == kindFloat:
			d.complain(n, path, s, "is no duration; write a number with its unit: 500ms, 60s, 30m or 12h")
		case v <= 0 || v > maxDuration:
			d.complain(n, path, s, "is out of range; a duration is more than 0 and at most 720h")
		default:
			*dst = v
		}
	}
}

// size reads a number of bytes such as 4GB.
func size(d *decoder, dst *int64, least, most int64) field {
	return func(n *node, path string) {
		s, ready := d.scalar(n, path)
		if !ready {
			return
		}
		v, err := humanize.ParseBytes(s)
		switch {
		case err != nil || n.kind == kindList || n.kind == kindMapping:
			d.complain(n, path, s, "is no size; write a number of bytes with or without a unit: 4GB, 512MiB")
		case v < uint64(least) || v > uint64(most):
			d.complain(n, path, s, fmt.Sprintf("is out of range; write a size from %s to %s", humanize.Bytes(uint64(least)), humanize.Bytes(uint64(most))))
		default:
			*dst = int64(v)
		}
	}
}

// template reads a key template.
func template(d *decoder, dst **Template) field {
	return func(n *node, path string) {
		s, ready := d.value(n, path)
		*dst = literalTemplate(n.text)
		if !ready {
			return
		}
		t, err := ParseTemplate(s)
		if err != nil {
			if s != n.text {
				err = errors.New("what it expands to is no key template; use " + placeholderList())
			}
			d.fail(n, path, "%v", err)
			return
		}
		if s == n.text || d.getenv != nil {
			*dst = t
		}
	}
}

func describe(n *node) string {
	switch n.kind {
	case kindNull:
		return "it has no value"
	case kindText:
		return fmt.Sprintf("%q is text", n.text)
	case kindInt, kindFloat:
		return n.text + " is a number"
	case kindBool:
		return n.text + " is a switch"
	case kindList:
		return "this is a list"
	default:
		return "this is a mapping { }"
	}
}

// list writes words as "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
