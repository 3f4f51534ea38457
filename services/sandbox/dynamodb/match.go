package dynamodb

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// keyCell is what a key says of its cell; what it does not say is zero.
type keyCell struct {
	userID string
	family *values.Family
	time   int64 // epoch milliseconds
}

// matcher inverts the key templates of a run. By hand, because a regular expression
// with an alternative for each of 50 families takes longer than making up the item.
type matcher struct {
	db       *runfile.DynamoDB
	parts    []part // of the partition key, then of the sort key behind a boundary
	families map[string]*values.Family
	lengths  []int // of the family ids, longest first
}

// part is a placeholder, a literal, or the boundary between two templates.
type part struct {
	placeholder string
	literal     string
	boundary    bool
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func newMatcher(db *runfile.DynamoDB, families map[string]*values.Family) matcher {
	m := matcher{db: db, families: families, parts: partsOf(db.PartitionKey.Value.String())}
	if db.SortKey != nil {
		m.parts = append(append(m.parts, part{boundary: true}), partsOf(db.SortKey.Value.String())...)
	}
	for id := range families {
		m.lengths = append(m.lengths, len(id))
	}
	slices.Sort(m.lengths)
	m.lengths = slices.Compact(m.lengths)
	slices.Reverse(m.lengths)
	return m
}

func partsOf(template string) []part {
	var parts []part
	for template != "" {
		at := placeholder.FindStringIndex(template)
		if at == nil {
			return append(parts, part{literal: template})
		}
		if at[0] > 0 {
			parts = append(parts, part{literal: template[:at[0]]})
		}
		parts = append(parts, part{placeholder: template[at[0]+1 : at[1]-1]})
		template = template[at[1]:]
	}
	return parts
}

// attempt is one try to match a key.
type attempt struct {
	*matcher
	partition, sort string
	cell            keyCell
}

// match gives the cell whose key this is. Where several cells would have the same key
// the longest family id and the longest user id win.
func (m *matcher) match(partition, sort string) (keyCell, bool) {
	a := attempt{matcher: m, partition: partition, sort: sort}
	ok := a.step(m.parts, partition)
	return a.cell, ok
}

// step matches the parts against what is left of the key, and leaves in a.cell what
// they say.
func (a *attempt) step(parts []part, text string) bool {
	if len(parts) == 0 {
		return text == "" && a.confirm()
	}
	p, rest := parts[0], parts[1:]
	switch {
	case p.boundary:
		return text == "" && a.step(rest, a.sort)
	case p.placeholder == "":
		after, ok := strings.CutPrefix(text, p.literal)
		return ok && a.step(rest, after)
	case p.placeholder == runfile.PlaceholderUserID:
		return a.stepUser(rest, text)
	case p.placeholder == runfile.PlaceholderFamily:
		return a.stepFamily(rest, text)
	case p.placeholder == runfile.PlaceholderPITCTimestampMS:
		return a.stepMillis(rest, text)
	case p.placeholder == runfile.PlaceholderPITCTimestamp:
		return a.stepTime(rest, text, "2006-01-02T15:04:05Z") || a.stepTime(rest, text, "2006-01-02T15:04:05.000Z")
	default:
		return a.stepTime(rest, text, time.DateOnly)
	}
}

// confirm checks the cell against the whole key: a placeholder may stand in it twice.
func (a *attempt) confirm() bool {
	id := ""
	if a.cell.family != nil {
		id = a.cell.family.ID
	}
	var stack [256]byte
	if string(a.db.PartitionKey.Value.Append(stack[:0], a.cell.userID, id, a.cell.time)) != a.partition {
		return false
	}
	return a.db.SortKey == nil || string(a.db.SortKey.Value.Append(stack[:0], a.cell.userID, id, a.cell.time)) == a.sort
}

func (a *attempt) stepUser(rest []part, text string) bool {
	least := 1
	if len(rest) == 0 || rest[0].boundary {
		least = len(text) // all that is left
	}
	before := a.cell
	for n := len(text); n >= least && n > 0; n-- {
		a.cell.userID = text[:n]
		if a.step(rest, text[n:]) {
			return true
		}
		a.cell = before
	}
	return false
}

func (a *attempt) stepFamily(rest []part, text string) bool {
	before := a.cell
	for _, n := range a.lengths {
		if n > len(text) {
			continue
		}
		family, ok := a.families[text[:n]]
		if !ok {
			continue
		}
		if a.cell.family = family; a.step(rest, text[n:]) {
			return true
		}
		a.cell = before
	}
	return false
}

func (a *attempt) stepMillis(rest []part, text string) bool {
	n := 0
	for n < len(text) && n < 20 && (text[n] >= '0' && text[n] <= '9' || n == 0 && text[n] == '-') {
		n++
	}
	before := a.cell
	for ; n > 0; n-- {
		ms, err := strconv.ParseInt(text[:n], 10, 64)
		if err != nil {
			continue
		}
		if a.cell.time = ms; a.step(rest, text[n:]) {
			return true
		}
		a.cell = before
	}
	return false
}

// stepTime matches a time of fixed length. A date says less than a time that was found
// before it.
func (a *attempt) stepTime(rest []part, text, layout string) bool {
	if len(text) < len(layout) {
		return false
	}
	t, err := time.Parse(layout, text[:len(layout)])
	if err != nil {
		return false
	}
	before := a.cell
	if layout != time.DateOnly || a.cell.time == 0 {
		a.cell.time = t.UnixMilli()
	}
	if a.step(rest, text[len(layout):]) {
		return true
	}
	a.cell = before
	return false
}
