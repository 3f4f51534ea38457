// Package intake decides what the input of a run asks for. Batches are taken in the order
// of their stream, so that whoever reads it comes to the same decisions: ingest, which
// sends the requests on, and the orchestrator, which counts and reconciles.
package intake

import (
	"fmt"
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
	Requests  []work.Request // the cells that this batch is the first to ask for
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
	t := taking{l: l, sequence: m.Sequence, batch: Batch{Bad: bad, Records: seen}, request: map[sample.Key]int{}}
	for i := range good {
		rec := &good[i]
		if why := t.take(rec); why != "" {
			t.batch.Bad = append(t.batch.Bad, record.Bad{Index: -1, Raw: record.AppendJSON(nil, rec), Reason: why})
		}
	}
	return t.batch
}

func (l *Ledger) set(families []string) familySet {
	s := make(familySet, (len(l.families)+63)/64)
	if families == nil {
		for i := range l.families {
			s[i/64] |= 1 << (i % 64)
		}
		return s
	}
	for _, f := range families {
		i := l.ordinal[f]
		s[i/64] |= 1 << (i % 64)
	}
	return s
}

// taking is the taking of one batch.
type taking struct {
	l        *Ledger
	sequence uint64
	batch    Batch
	request  map[sample.Key]int // index in batch.Requests
	last     *familySet         // of the record before: samples that ask for the same share it
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
	want := t.l.set(rec.Families)
	if !ok {
		if t.last == nil || !slices.Equal(*t.last, want) {
			t.last = &want
		}
		t.l.samples[key] = claim{t.sequence, attributes, t.last}
		t.ask(key, rec, want)
		return ""
	}
	if first.sequence == t.sequence {
		if merged := first.families.with(want); !slices.Equal(merged, *first.families) {
			first.families = &merged
			t.l.samples[key] = first
		}
		t.ask(key, rec, want)
		return ""
	}
	want = want.without(*first.families)
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
	t.ask(key, rec, want)
	return ""
}

// ask adds families to the batch's request for the sample, each once.
func (t *taking) ask(key sample.Key, rec *record.Record, set familySet) {
	i, ok := t.request[key]
	if !ok {
		i = len(t.batch.Requests)
		t.request[key] = i
		t.batch.Requests = append(t.batch.Requests, work.Request{UserID: rec.UserID, EpochMS: rec.EpochMS, Attributes: rec.Attributes})
	}
	r := &t.batch.Requests[i]
	for n, f := range t.l.families {
		if set[n/64]>>(n%64)&1 != 0 && (!ok || !slices.Contains(r.Families, f)) {
			r.Families = append(r.Families, f)
		}
	}
}

// Samples counts distinct samples.
func (l *Ledger) Samples() int { return len(l.samples) }

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
