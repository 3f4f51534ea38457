package warmup

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Phase is what a mark says of its holder.
type Phase string

// The phases of a mark.
const (
	Held Phase = "held" // the holder needs what it has raised
	Left Phase = "left" // it does not any more; the mark tells what it had raised
)

// Pair tells how one setting was changed.
type Pair struct {
	Before string   `json:"before"`
	Raised []string `json:"raised"` // what the holder has asked for, the last one last
}

// Pairs tell how each setting was changed.
type Pairs map[string]Pair

// maxRaised bounds the values that a pair keeps; a mark has little room.
const maxRaised = 4

// with gives the pairs after one more raise. What was raised from the same state before
// stays known: the resource may still have it.
func (p Pairs) with(before, raised Values) Pairs {
	after := maps.Clone(p)
	if after == nil {
		after = Pairs{}
	}
	for name, value := range raised {
		pair := Pair{Before: before[name], Raised: []string{value}}
		if old, ok := p[name]; ok && old.Before == pair.Before {
			kept := slices.DeleteFunc(slices.Clone(old.Raised), func(v string) bool { return v == value })
			pair.Raised = append(kept[max(0, len(kept)-maxRaised+1):], value)
		}
		after[name] = pair
	}
	return after
}

// merge gives the pairs with what another account of the same holder knows besides.
func (p Pairs) merge(other Pairs) Pairs {
	after := maps.Clone(other)
	if after == nil {
		after = Pairs{}
	}
	for name, pair := range p {
		if known, ok := after[name]; ok && known.Before == pair.Before {
			for _, v := range known.Raised {
				if !slices.Contains(pair.Raised, v) {
					pair.Raised = append([]string{v}, pair.Raised...)
				}
			}
			pair.Raised = pair.Raised[max(0, len(pair.Raised)-maxRaised):]
		}
		after[name] = pair
	}
	return after
}

// Mark is what a holder writes on a resource. It is the one thing that two systems with
// brokers of their own know of each other.
type Mark struct {
	Phase Phase
	At    time.Time // when the holder raised the resource
	Until time.Time // when it lets go at the latest; once it has left, when the mark may be removed
	Pairs Pairs     // empty while the holder only announces itself
}

// timeLayout is RFC 3339 without a fraction: every backend's tags take its characters.
const timeLayout = "2006-01-02T15:04:05Z"

// String gives the text that resources carry, such as
//
//	held at=2026-01-31T10:00:00Z until=2026-01-31T16:00:00Z read_units=5/200
//
// Tags of AWS have 256 of the characters A-Z a-z 0-9 space + - = . _ : / @.
func (m Mark) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at=%s until=%s", m.Phase, m.At.UTC().Format(timeLayout), m.Until.UTC().Format(timeLayout))
	for _, name := range slices.Sorted(maps.Keys(m.Pairs)) {
		fmt.Fprintf(&b, " %s=%s/%s", name, m.Pairs[name].Before, strings.Join(m.Pairs[name].Raised, "/"))
	}
	return b.String()
}

// ParseMark reads what String wrote.
func ParseMark(text string) (Mark, error) {
	words := strings.Fields(text)
	if len(words) < 3 || Phase(words[0]) != Held && Phase(words[0]) != Left {
		return Mark{}, fmt.Errorf("mark %q: want held or left, at= and until=", text)
	}
	m := Mark{Phase: Phase(words[0]), Pairs: Pairs{}}
	for i, t := range []struct {
		name string
		dst  *time.Time
	}{{"at=", &m.At}, {"until=", &m.Until}} {
		value, ok := strings.CutPrefix(words[i+1], t.name)
		at, err := time.Parse(timeLayout, value)
		if !ok || err != nil {
			return Mark{}, fmt.Errorf("mark %q: %q is no time with %s before it", text, words[i+1], t.name)
		}
		*t.dst = at
	}
	for _, word := range words[3:] {
		name, values, ok := strings.Cut(word, "=")
		parts := strings.Split(values, "/")
		if !ok || len(parts) < 2 {
			return Mark{}, fmt.Errorf("mark %q: %q is no setting with the values before and after", text, word)
		}
		m.Pairs[name] = Pair{Before: parts[0], Raised: parts[1:]}
	}
	return m, nil
}

// maxHolder is what every backend takes in the name of a mark; annotations of Kubernetes
// take least.
const maxLabel = 63

// maxHolder leaves room for what tells the keepers of one holder apart.
const maxHolder = maxLabel - 1 - 2*writerBytes

const writerBytes = 4

// label names the marks of one keeper. Keepers of one run follow each other, and a call of
// one that was overtaken must not overwrite what its successor has marked.
func label(holder, writer string) string {
	sum := sha256.Sum256([]byte(writer))
	return holder + "." + hex.EncodeToString(sum[:writerBytes])
}

// Holder names a run of a system to others: with it a mark is told from those of other
// runs, and of a run of the same name that another system has.
func Holder(run, system string) string {
	name := run + "." + system
	if len(name) <= maxHolder {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "-" + hex.EncodeToString(sum[:8])
	return name[:maxHolder-len(tail)] + tail
}

// known are the marks that can be read, by holder. What cannot be read was not written by
// any version that this one knows; it neither holds nor explains anything.
func known(texts map[string]string) map[string]Mark {
	marks := make(map[string]Mark, len(texts))
	for holder, text := range texts {
		if m, err := ParseMark(text); err == nil {
			marks[holder] = m
		}
	}
	return marks
}

// explain finds the newest mark that says that a value was raised, and the value before.
func explain(marks map[string]Mark, setting, value string) (before string, ok bool) {
	var newest Mark
	var by string
	for holder, m := range marks {
		pair, has := m.Pairs[setting]
		if !has || !slices.Contains(pair.Raised, value) {
			continue
		}
		// Marks of the same second are put in some order, which all see alike.
		if !ok || cmp.Or(m.At.Compare(newest.At), cmp.Compare(holder, by)) > 0 {
			newest, by, before, ok = m, holder, pair.Before, true
		}
	}
	return before, ok
}

// firstState gives for each value the one before anybody of us raised it. A value that
// nobody of us has set is itself the first.
func firstState(values Values, marks map[string]Mark) Values {
	first := make(Values, len(values))
	for name, value := range values {
		if before, ok := explain(marks, name, value); ok {
			value = before
		}
		first[name] = value
	}
	return first
}

// wayDown says what is to be set so that a resource is in its first state again, and which
// settings somebody else has changed meanwhile: those are left as they are.
func wayDown(values Values, marks map[string]Mark) (to Values, foreign []string) {
	settings := map[string][]Pair{}
	for _, m := range marks {
		for name, pair := range m.Pairs {
			settings[name] = append(settings[name], pair)
		}
	}
	to = Values{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value, there := values[name]
		before, ours := explain(marks, name, value)
		switch {
		case there && ours:
			if value != before {
				to[name] = before
			}
		case there && slices.ContainsFunc(settings[name], func(p Pair) bool { return p.Before == value }):
		default:
			foreign = append(foreign, name)
		}
	}
	return to, foreign
}

// split takes the marks of a holder's keepers from those of others.
func split(texts map[string]string, holder string) (own, others map[string]Mark) {
	own, others = map[string]Mark{}, known(texts)
	for name, m := range others {
		if strings.HasPrefix(name, holder+".") {
			own[name] = m
			delete(others, name)
		}
	}
	return own, others
}

// live gives the holders that need the resource. A mark whose time ran out a
// while ago is that of a system which died for good.
func live(marks map[string]Mark, now time.Time, grace time.Duration) []string {
	var holders []string
	for holder, m := range marks {
		if m.Phase == Held && now.Before(m.Until.Add(grace)) {
			holders = append(holders, holder)
		}
	}
	slices.Sort(holders)
	return holders
}
