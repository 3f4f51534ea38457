package intake_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/intake"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

func parse(t testing.TB, families int) *runfile.File {
	t.Helper()
	text := "run: demo\nfeature_service: {url: \"http://127.0.0.1:8090/features\"}\nfamilies:\n"
	for i := range families {
		text += fmt.Sprintf("  - {id: f%d, cached: false}\n", i)
	}
	f, err := runfile.Parse("run.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rec words a record; no families = all, no attributes = none.
func rec(user string, ms int, families []string, attributes string) string {
	s := fmt.Sprintf(`{"user_id":%q,"pitc_timestamp":%d`, user, ms)
	if families != nil {
		s += `,"feature_families":["` + strings.Join(families, `","`) + `"]`
	}
	if attributes != "" {
		s += `,"attributes":` + attributes
	}
	return s + "}"
}

func message(sequence uint64, id string, records ...string) *stage.Message {
	return &stage.Message{Sequence: sequence, ID: id, Data: []byte(`{"records":[` + strings.Join(records, ",") + `]}`)}
}

// asked words the requests of a batch.
func asked(b intake.Batch) string {
	var all []string
	for _, r := range b.Requests {
		all = append(all, fmt.Sprintf("%s@%d:%s", r.UserID, r.EpochMS, strings.Join(r.Families, ",")))
	}
	return strings.Join(all, " ")
}

func TestTakeAsksForEachCellOnce(t *testing.T) {
	l := intake.NewLedger(parse(t, 3))
	for i, tc := range []struct {
		m    *stage.Message
		want string
	}{
		{message(1, "", rec("a", 1, []string{"f0"}, "")), "a@1:f0"},
		{message(2, "", rec("a", 1, []string{"f1", "f0"}, "")), "a@1:f1"},
		{message(3, "", rec("a", 1, nil, ""), rec("a", 2, nil, "")), "a@1:f2 a@2:f0,f1,f2"},
		{message(4, "", rec("a", 1, nil, ""), rec("b", 1, []string{"f2"}, ""), rec("b", 1, []string{"f2", "f0"}, "")), "b@1:f2,f0"},
		{message(2, "", rec("a", 1, []string{"f1", "f0"}, "")), "a@1:f1"}, // delivered again
		{message(1, "", rec("a", 1, []string{"f0"}, "")), "a@1:f0"},
		{message(3, "", rec("a", 1, nil, ""), rec("a", 2, nil, "")), "a@1:f2 a@2:f0,f1,f2"},
	} {
		if got := l.Take(tc.m); asked(got) != tc.want || got.Err != nil || len(got.Bad) != 0 {
			t.Errorf("step %d: asks for %q (%v, %v), want %q", i, asked(got), got.Err, got.Bad, tc.want)
		}
	}
	if l.Samples() != 3 {
		t.Errorf("%d samples, want 3", l.Samples())
	}
}

func TestBatchesAreCountedOnceByTheirID(t *testing.T) {
	l := intake.NewLedger(parse(t, 1))
	first := message(3, "x", rec("a", 1, nil, ""), rec("b", 1, nil, ""))
	if b := l.Take(first); b.Records != 2 || b.Duplicate || asked(b) != "a@1:f0 b@1:f0" {
		t.Errorf("first: %+v", b)
	}
	if b := l.Take(message(9, "x", rec("c", 1, nil, ""))); b.Records != 0 || !b.Duplicate || len(b.Requests) != 0 {
		t.Errorf("the same id under another sequence: %+v", b)
	}
	if b := l.Take(first); b.Records != 2 || b.Duplicate || asked(b) != "a@1:f0 b@1:f0" {
		t.Errorf("delivered again: %+v", b)
	}
	if b := l.Take(message(10, "", rec("a", 1, nil, ""))); b.Records != 1 || b.Duplicate {
		t.Errorf("without an id a batch counts by its sequence: %+v", b)
	}
}

func TestTheFirstAttributesOfASampleHold(t *testing.T) {
	l := intake.NewLedger(parse(t, 2))
	l.Take(message(1, "", rec("a", 1, []string{"f0"}, `{"country": "KE"}`)))
	same := l.Take(message(2, "", rec("a", 1, []string{"f1"}, ` {"country":"KE"} `)))
	if len(same.Bad) != 0 || asked(same) != "a@1:f1" || string(same.Requests[0].Attributes) != `{"country":"KE"}` {
		t.Errorf("the same attributes: %+v", same)
	}
	for sequence, attributes := range map[uint64]string{3: `{"country":"UG"}`, 4: ""} {
		for range 2 { // delivered again, it is as bad
			b := l.Take(message(sequence, "", rec("a", 1, nil, attributes)))
			if len(b.Bad) != 1 || len(b.Requests) != 0 || b.Records != 1 || !strings.Contains(b.Bad[0].Reason, "(a, 1970-01-01T00:00:00.001Z) was given before with other attributes") {
				t.Errorf("attributes %q: %+v", attributes, b)
			}
		}
	}
}

func TestBadRecordsAndBatches(t *testing.T) {
	l := intake.NewLedger(parse(t, 1))
	b := l.Take(message(1, "", rec("a", 1, nil, ""), `{"user_id":""}`, rec("b", 1, []string{"nope"}, "")))
	if b.Records != 3 || len(b.Bad) != 2 || asked(b) != "a@1:f0" {
		t.Errorf("bad records beside a good one: %+v", b)
	}
	if got := intake.Place(&b.Bad[0]); !strings.HasPrefix(got, "record 2: user_id") {
		t.Errorf("place %q", got)
	}
	lines := l.Take(&stage.Message{Sequence: 2, ContentType: record.NDJSON, Data: []byte("\n" + rec("c", 1, nil, "") + "\nnot JSON\n")})
	if lines.Records != 2 || len(lines.Bad) != 1 || !strings.HasPrefix(intake.Place(&lines.Bad[0]), "line 3: ") {
		t.Errorf("bad line: %+v", lines)
	}
	for name, data := range map[string]string{
		"cut off":   `{"records":[` + rec("d", 1, nil, "") + `,`,
		"too large": `{"records":[` + rec("d", 1, nil, "") + `]}` + strings.Repeat(" ", work.MaxPublishBytes),
	} {
		b := l.Take(&stage.Message{Sequence: 3, Data: []byte(data)})
		if b.Err == nil || failure.As(b.Err).Code != failure.BadBatch || b.Records != 1 || len(b.Requests) != 0 {
			t.Errorf("%s: %+v", name, b)
		}
	}
	if l.Samples() != 2 {
		t.Errorf("%d samples, want those of the good records alone", l.Samples())
	}
}

// naive is what the ledger is to do, in the plainest words: the first record of a sample
// says its attributes, the first batch that asks for a cell gets it.
type naive struct {
	all        []string
	attributes map[string]string
	owner      map[string]uint64 // cell → sequence
	ids        map[string]uint64
}

type naiveRecord struct {
	user       string
	ms         int
	families   []string
	attributes string
}

func (r *naiveRecord) sample() string { return fmt.Sprint(r.user, "@", r.ms) }

// take gives the cells that the batch asks for, and how many of its records are bad.
func (n *naive) take(sequence uint64, id string, records []naiveRecord) (cells []string, bad int, duplicate bool) {
	if id != "" {
		if first, ok := n.ids[id]; ok && first != sequence {
			return nil, 0, true
		}
		n.ids[id] = sequence
	}
	mine := map[string]bool{}
	for _, r := range records {
		if was, ok := n.attributes[r.sample()]; ok && was != r.attributes {
			bad++
			continue
		}
		n.attributes[r.sample()] = r.attributes
		families := r.families
		if families == nil {
			families = n.all
		}
		for _, f := range families {
			cell := r.sample() + ":" + f
			if owner, ok := n.owner[cell]; !ok || owner == sequence {
				n.owner[cell] = sequence
				mine[cell] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(mine)), bad, false
}

// TestLedgerAgainstAModel takes random batches, some of them again and out of order.
func TestLedgerAgainstAModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		families := 1 + rnd.IntN(4)
		if seed%10 == 0 {
			families = 60 + rnd.IntN(10) // sets of more than one word
		}
		file := parse(t, families)
		model := &naive{all: file.FamilyIDs(), attributes: map[string]string{}, owner: map[string]uint64{}, ids: map[string]uint64{}}
		ledger := intake.NewLedger(file)
		type given struct {
			m       *stage.Message
			id      string
			records []naiveRecord
		}
		batches := make([]given, 1+rnd.IntN(12))
		for i := range batches {
			g := &batches[i]
			if rnd.IntN(2) == 0 {
				g.id = fmt.Sprint("id", rnd.IntN(8))
			}
			var texts []string
			for range rnd.IntN(6) + 1 {
				r := naiveRecord{user: string(rune('a' + rnd.IntN(3))), ms: rnd.IntN(2)}
				if rnd.IntN(3) > 0 {
					for _, n := range rnd.Perm(families)[:1+rnd.IntN(families)] {
						r.families = append(r.families, fmt.Sprint("f", n))
					}
				}
				if rnd.IntN(8) == 0 {
					r.attributes = `{"a":1}`
				}
				g.records = append(g.records, r)
				texts = append(texts, rec(r.user, r.ms, r.families, r.attributes))
			}
			g.m = message(uint64(10+i), g.id, texts...)
		}
		for step := range 3 * len(batches) {
			n := step
			if step >= len(batches) || rnd.IntN(4) == 0 {
				n = rnd.IntN(len(batches))
			}
			g := &batches[n]
			cells, bad, duplicate := model.take(g.m.Sequence, g.id, g.records)
			got := ledger.Take(g.m)
			var have []string
			for _, r := range got.Requests {
				for _, f := range r.Families {
					have = append(have, fmt.Sprint(r.UserID, "@", r.EpochMS, ":", f))
				}
			}
			slices.Sort(have)
			if !slices.Equal(have, cells) || len(got.Bad) != bad || got.Duplicate != duplicate {
				t.Fatalf("seed %d, step %d, batch %d: asks for %q, %d bad, duplicate %v; want %q, %d, %v", seed, step, g.m.Sequence, have, len(got.Bad), got.Duplicate, cells, bad, duplicate)
			}
			if again := ledger.Take(g.m); !reflect.DeepEqual(again, got) {
				t.Fatalf("seed %d, step %d: taken twice the batch asks for %q, then %q", seed, step, asked(got), asked(again))
			}
		}
	}
}

func BenchmarkTake(b *testing.B) {
	const perBatch = 1000
	file := parse(b, 50)
	for _, bench := range []struct {
		name     string
		families []string
	}{{"all families", nil}, {"ten families", file.FamilyIDs()[:10]}} {
		b.Run(bench.name, func(b *testing.B) {
			l := intake.NewLedger(file)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				b.StopTimer()
				records := make([]string, perBatch)
				for i := range records {
					records[i] = rec(fmt.Sprint("user-", n, "-", i), 1738324800000, bench.families, "")
				}
				m := message(uint64(n+1), "", records...)
				n++
				b.StartTimer()
				if got := l.Take(m); len(got.Requests) != perBatch {
					b.Fatalf("%d requests", len(got.Requests))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*perBatch), "ns/record")
		})
	}
}
