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
	"github.com/fastfeaturefetch/fff/shared/paged"
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
	Samples   []uint32       // the numbers of the requests' samples
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

	samples    *sample.Numbers
	asked      int                // samples that have a claim
	first      paged.List[uint32] // by sample: place of the first batch's claim in claims + 1, 0 = none
	attributes paged.List[uint64] // by sample, as far as there were any: hash, 0 = none
	claims     paged.List[uint64] // sequence, families; samples of a batch that ask for the same share one
	more       map[uint32][]claim // by sample: those of other batches
	batches    map[uint64]uint64  // hash of Nats-Msg-Id → first sequence
}

// claim is a batch's claim on a sample.
type claim struct {
	sequence uint64
	families familySet
}

// familySet is a set of families as bits in the order of the run file.
type familySet []uint64

// BytesPerSample is what a sample takes in a ledger at the most, where the run has up to 64
// families, no sample is asked for by several batches and batches have many records: its
// number, the place of its claim, the hash of its attributes, and a claim of its own if no
// two samples ask for the same.
const BytesPerSample = sample.BytesPerSample + 4 + 8 + 16

// NewLedger gives an empty ledger for a run.
func NewLedger(file *runfile.File) *Ledger { return NewLedgerOver(file, new(sample.Numbers)) }

// NewLedgerOver is NewLedger for whoever numbers the run's samples too: one numbering does
// for both. It may hold samples that no batch has asked for.
func NewLedgerOver(file *runfile.File, samples *sample.Numbers) *Ledger {
	l := &Ledger{
		families: file.FamilyIDs(), ordinal: map[string]int{},
		samples: samples, more: map[uint32][]claim{}, batches: map[uint64]uint64{},
	}
	for i, f := range l.families {
		l.ordinal[f] = i
	}
	l.validator = record.NewValidator(l.families)
	return l
}

// firstClaim gives the claim of the first batch that has asked for a sample.
func (l *Ledger) firstClaim(n uint32) (c claim, ok bool) {
	at := int(l.first.Get(int(n))) - 1
	if at < 0 {
		return claim{}, false
	}
	c = claim{*l.claims.At(at), make(familySet, l.words())}
	for i := range c.families {
		c.families[i] = *l.claims.At(at + 1 + i)
	}
	return c, true
}

// putClaim keeps a claim, and gives its place + 1.
func (l *Ledger) putClaim(sequence uint64, families familySet) uint32 {
	l.claims.Append(sequence)
	for _, w := range families {
		l.claims.Append(w)
	}
	return uint32(l.claims.Len() - l.words())
}

// words is the length of a familySet.
func (l *Ledger) words() int { return (len(l.families) + 63) / 64 }

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
	t := taking{l: l, sequence: m.Sequence, batch: Batch{Bad: bad, Records: seen}, request: make(map[uint32]int, len(good))}
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
	s := make(familySet, l.words())
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
	request  map[uint32]int // by sample: index in batch.Requests
	last     wish           // of the record before: most records ask for the same
}

// wish is what a record asks for. Samples and requests that ask for the same share one.
type wish struct {
	given []string // as the record gives them
	set   familySet
	names []string // of the set, in the order of the run file
	claim uint32   // place + 1 of a claim on it, 0 = there is none yet
}

// wishOf gives what a record asks for.
func (t *taking) wishOf(families []string) *wish {
	w := &t.last
	if w.set == nil || (w.given == nil) != (families == nil) || !slices.Equal(w.given, families) {
		set := t.l.set(families)
		*w = wish{given: families, set: set, names: t.l.names(set)}
	}
	return w
}

// take claims the families of a record for the batch and asks for those that no other
// batch has claimed.
func (t *taking) take(rec *record.Record) (bad string) {
	l := t.l
	n := l.samples.Add(sample.KeyOf(rec.UserID, rec.EpochMS))
	attributes := record.AttributesHash(rec.Attributes)
	first, ok := l.firstClaim(n)
	if ok && l.attributes.Get(int(n)) != attributes {
		return fmt.Sprintf("the sample (%s, %s) was given before with other attributes; give the same attributes each time", rec.UserID, sample.FormatTime(rec.EpochMS))
	}
	w := t.wishOf(rec.Families)
	if !ok {
		if w.claim == 0 {
			w.claim = l.putClaim(t.sequence, w.set)
		}
		l.claim(n, w.claim, attributes)
		t.ask(n, rec, w.names)
		return ""
	}
	if first.sequence == t.sequence {
		if merged := first.families.with(w.set); !slices.Equal(merged, first.families) {
			l.first.Set(int(n), l.putClaim(t.sequence, merged))
		}
		t.ask(n, rec, w.names)
		return ""
	}
	want := w.set.without(first.families)
	mine := -1
	for i, c := range l.more[n] {
		if c.sequence == t.sequence {
			mine = i
		} else {
			want = want.without(c.families)
		}
	}
	if want.empty() {
		return ""
	}
	if mine < 0 {
		l.more[n] = append(l.more[n], claim{t.sequence, want})
	} else {
		l.more[n][mine].families = l.more[n][mine].families.with(want)
	}
	t.ask(n, rec, l.names(want))
	return ""
}

// claim notes the first claim on a sample.
func (l *Ledger) claim(n, place uint32, attributes uint64) {
	l.asked++
	l.first.Set(int(n), place)
	if attributes != 0 {
		l.attributes.Set(int(n), attributes)
	}
}

// ask adds families to the batch's request for the sample, each once.
func (t *taking) ask(n uint32, rec *record.Record, families []string) {
	i, ok := t.request[n]
	if !ok {
		i = len(t.batch.Requests)
		t.request[n] = i
		t.batch.Requests = append(t.batch.Requests, work.Request{UserID: rec.UserID, EpochMS: rec.EpochMS, Families: slices.Clip(families), Attributes: rec.Attributes})
		t.batch.Samples = append(t.batch.Samples, n)
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
func (l *Ledger) Samples() int { return l.asked }

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
