// Package intake decides what the input of a run asks for. Batches are taken in the order
// of their stream, so that whoever reads it comes to the same decisions: ingest, which
// sends the requests on, and the orchestrator, which counts and reconciles.
package intake

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// LateReason is why a batch that comes after the seal is a dead letter.
const LateReason = "the batch arrived after the run's input was closed; run again with it, or close later"

// Batch is what became of one batch.
type Batch struct {
	Requests  []work.Request // the cells that this batch is the first to ask for; their Families may be shared, so do not change them
	Bad       []record.Bad   // records that break the contract
	Err       error          // the batch is bad as a whole
	Records   int            // records in it, bad ones included; 0 of a batch that was counted before
	Duplicate bool           // the batch was taken before under another sequence
}

// Ledger remembers which batch was the first to ask for which cell. Taking a batch a second
// time gives the same answer: a redelivered message is not a duplicate of itself.
//
// It is not safe for use by several goroutines.
type Ledger struct {
	families  []string
	ordinal   map[string]int
	validator *record.Validator

	samples map[sample.Key]claim
	more    map[sample.Key][]laterClaim // of samples that several batches ask for
	batches map[uint64]uint64           // hash of Nats-Msg-Id → first sequence
}

// claim is the first batch's claim on a sample.
type claim struct {
	sequence   uint64
	attributes uint64 // hash, 0 = none
	families   *familySet
}

type laterClaim struct {
	sequence uint64
	families *familySet
}

// familySet is a set of families as bits in the order of the run file. Samples that ask
// for the same share one.
type familySet []uint64

// BytesPerSample is what a sample takes in a ledger at the most, while its tables grow.
const BytesPerSample = 160

// NewLedger gives an empty ledger for a run.
func NewLedger(file *runfile.File) *Ledger {
	l := &Ledger{
		families: file.FamilyIDs(), ordinal: map[string]int{},
		samples: map[sample.Key]claim{}, more: map[sample.Key][]laterClaim{}, batches: map[uint64]uint64{},
	}
	for i, f := range l.families {
		l.ordinal[f] = i
	}
	l.validator = record.NewValidator(l.families)
	return l
}

// Take decides on a batch.
func (l *Ledger) Take(m *stage.Message) Batch {
	if m.ID != "" {
		h := xxh3.HashString(m.ID)
		if first, ok := l.batches[h]; ok && first != m.Sequence {
			return Batch{Duplicate: true}
		}
		l.batches[h] = m.Sequence
	}
	good, bad, seen, err := record.ParseBatch(m.Data, m.ContentType, l.validator)
	if err == nil && len(m.Data) > work.MaxPublishBytes {
		err = fmt.Errorf("the batch has %d bytes; send batches of at most %d", len(m.Data), work.MaxPublishBytes)
	}
	if err != nil {
		return Batch{Err: failure.Permanent(failure.BadBatch, "%w", err), Records: seen}
	}
	t := taking{l: l, sequence: m.Sequence, batch: Batch{Bad: bad, Records: seen}, request: make(map[sample.Key]int, len(good))}
	for i := range good {
		rec := &good[i]
		if why := t.take(rec); why != "" {
			t.batch.Bad = append(t.batch.Bad, record.Bad{Index: -1, Raw: record.AppendJSON(nil, rec), Reason: why})
		}
	}
	return t.batch
}

// set gives families as a set; nil = all.
func (l *Ledger) set(families []string) familySet {
	s := make(familySet, (len(l.families)+63)/64)
	if families == nil {
		families = l.families
	}
	for _, f := range families {
		s.add(l.ordinal[f])
	}
	return s
}

// names gives the families of a set in the order of the run file.
func (l *Ledger) names(s familySet) []string {
	names := make([]string, 0, s.count())
	for i, f := range l.families {
		if s.has(i) {
			names = append(names, f)
		}
	}
	return names
}

// taking is the taking of one batch.
type taking struct {
	l        *Ledger
	sequence uint64
	batch    Batch
	request  map[sample.Key]int // index in batch.Requests
	last     wish               // of the record before: most records ask for the same
}

// wish is what a record asks for. Samples and requests that ask for the same share one.
type wish struct {
	given []string // as the record gives them
	set   *familySet
	names []string // of the set, in the order of the run file
}

// wishOf gives what a record asks for.
func (t *taking) wishOf(families []string) *wish {
	w := &t.last
	if w.set == nil || (w.given == nil) != (families == nil) || !slices.Equal(w.given, families) {
		set := t.l.set(families)
		*w = wish{given: families, set: &set, names: t.l.names(set)}
	}
	return w
}

// take claims the families of a record for the batch and asks for those that no other
// batch has claimed.
func (t *taking) take(rec *record.Record) (bad string) {
	key := sample.KeyOf(rec.UserID, rec.EpochMS)
	attributes := record.AttributesHash(rec.Attributes)
	first, ok := t.l.samples[key]
	if ok && first.attributes != attributes {
		return fmt.Sprintf("the sample (%s, %s) was given before with other attributes; give the same attributes each time", rec.UserID, sample.FormatTime(rec.EpochMS))
	}
	w := t.wishOf(rec.Families)
	if !ok {
		t.l.samples[key] = claim{t.sequence, attributes, w.set}
		t.ask(key, rec, w.names)
		return ""
	}
	if first.sequence == t.sequence {
		if merged := first.families.with(*w.set); !slices.Equal(merged, *first.families) {
			first.families = &merged
			t.l.samples[key] = first
		}
		t.ask(key, rec, w.names)
		return ""
	}
	want := w.set.without(*first.families)
	mine := -1
	for i, c := range t.l.more[key] {
		if c.sequence == t.sequence {
			mine = i
		} else {
			want = want.without(*c.families)
		}
	}
	if want.empty() {
		return ""
	}
	if mine < 0 {
		t.l.more[key] = append(t.l.more[key], laterClaim{t.sequence, &want})
	} else {
		merged := t.l.more[key][mine].families.with(want)
		t.l.more[key][mine].families = &merged
	}
	t.ask(key, rec, t.l.names(want))
	return ""
}

// ask adds families to the batch's request for the sample, each once.
func (t *taking) ask(key sample.Key, rec *record.Record, families []string) {
	i, ok := t.request[key]
	if !ok {
		i = len(t.batch.Requests)
		t.request[key] = i
		t.batch.Requests = append(t.batch.Requests, work.Request{UserID: rec.UserID, EpochMS: rec.EpochMS, Families: slices.Clip(families), Attributes: rec.Attributes})
		return
	}
	r := &t.batch.Requests[i]
	for _, f := range families {
		if !slices.Contains(r.Families, f) {
			r.Families = append(r.Families, f)
		}
	}
}

// Samples counts distinct samples.
func (l *Ledger) Samples() int { return len(l.samples) }

func (s familySet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s familySet) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

func (s familySet) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s familySet) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

func (s familySet) without(o familySet) familySet {
	c := slices.Clone(s)
	for i := range c {
		c[i] &^= o[i]
	}
	return c
}

func (s familySet) with(o familySet) familySet {
	c := slices.Clone(s)
	for i := range c {
		c[i] |= o[i]
	}
	return c
}

// Place words what is wrong with a record and where it stands in its batch.
func Place(b *record.Bad) string {
	switch {
	case b.Line > 0:
		return fmt.Sprintf("line %d: %s", b.Line, b.Reason)
	case b.Index >= 0:
		return fmt.Sprintf("record %d: %s", b.Index+1, b.Reason)
	}
	return b.Reason
}
