package ingest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// fakeDesk answers as told; what is not told is: not sealed, nothing done, no history.
type fakeDesk struct {
	standing func() (Standing, error)
	undone   func([]work.Request) ([]work.Request, error)
	history  func(after, before uint64, take func(*stage.Message)) error
}

func (d *fakeDesk) Standing(context.Context, *stage.Run) (Standing, error) {
	if d.standing == nil {
		return Standing{SomeDone: d.undone != nil}, nil
	}
	return d.standing()
}

func (d *fakeDesk) Undone(_ context.Context, _ *stage.Run, r []work.Request) ([]work.Request, error) {
	if d.undone == nil {
		return nil, errors.New("nothing is done, and who asks for what is not?")
	}
	return d.undone(r)
}

func (d *fakeDesk) History(_ context.Context, _ *stage.Run, after, before uint64, take func(*stage.Message)) error {
	if d.history == nil {
		return nil
	}
	return d.history(after, before, take)
}

// outputs writes down the requests sent to each stage.
type outputs struct {
	mu   sync.Mutex
	sent map[stage.Name][]work.Request
}

func (o *outputs) Cells(context.Context, packed.Source, func(*packed.Builder) error) error {
	return errors.New("ingest makes no cells")
}

func (o *outputs) Request(_ context.Context, to stage.Name, r work.Request) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent == nil {
		o.sent = map[stage.Name][]work.Request{}
	}
	o.sent[to] = append(o.sent[to], r)
	return nil
}

// text words what was sent: stage, sample and families, with | before those that travel
// along.
func (o *outputs) text() []string {
	var all []string
	for to, requests := range o.sent {
		for _, r := range requests {
			line := fmt.Sprintf("%s %s@%d %s", to, r.UserID, r.EpochMS, strings.Join(r.Families, ","))
			if len(r.Direct) > 0 {
				line += " | " + strings.Join(r.Direct, ",")
			}
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

func testRun(t *testing.T) *stage.Run {
	t.Helper()
	file, err := runfile.Parse("run.yaml", []byte(`run: demo
families:
  - {id: c1}
  - {id: c2, lane: slow}
  - {id: f1, cached: false}
  - {id: f2, cached: false}
  - {id: s1, cached: false, lane: slow}
  - {id: s2, cached: false, lane: slow}
  - {id: a1, cached: false, lane: auto}
dynamodb: {table: features, partition_key: {name: k, value: "{user_id}#{family}#{pitc_timestamp}"}}
feature_service: {url: "http://127.0.0.1:8090/features"}
`))
	if err != nil {
		t.Fatal(err)
	}
	return &stage.Run{ID: "demo", Epoch: 1, File: file}
}

func batch(run *stage.Run, sequence uint64, records ...string) *stage.Message {
	return &stage.Message{Run: run, Sequence: sequence, Data: []byte(`{"records":[` + strings.Join(records, ",") + `]}`)}
}

// give gives a sample of user u at a time, for families; none = all.
func give(ms int, families ...string) string {
	list := ""
	if len(families) > 0 {
		list = `,"feature_families":["` + strings.Join(families, `","`) + `"]`
	}
	return fmt.Sprintf(`{"user_id":"u","pitc_timestamp":%d%s}`, ms, list)
}

// do has the stage work on a message that it splits into one unit.
func do(t *testing.T, s *Stage, m *stage.Message, out stage.Outputs) []stage.Verdict[*Unit] {
	t.Helper()
	units, err := s.Units(m)
	if err != nil || len(units) != 1 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	return s.Do(t.Context(), m, units[0], out)
}

func TestFamiliesGoWhereTheRunFileSays(t *testing.T) {
	for name, tc := range map[string]struct {
		families []string
		want     []string
	}{
		"all":                     {nil, []string{"dynamo u@1 c1,c2 | f1,f2", "fs-slow u@1 a1", "fs-slow u@1 s1", "fs-slow u@1 s2"}},
		"cached alone":            {[]string{"c2", "c1"}, []string{"dynamo u@1 c1,c2"}},
		"fast alone":              {[]string{"f2", "f1"}, []string{"fs-fast u@1 f1,f2"}},
		"auto is slow at first":   {[]string{"a1"}, []string{"fs-slow u@1 a1"}},
		"slow alone, each by one": {[]string{"s1", "s2"}, []string{"fs-slow u@1 s1", "fs-slow u@1 s2"}},
		"fast with cached":        {[]string{"f1", "c1"}, []string{"dynamo u@1 c1 | f1"}},
		"slow with cached":        {[]string{"s1", "c1"}, []string{"dynamo u@1 c1", "fs-slow u@1 s1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out outputs
			if v := do(t, NewStage(&fakeDesk{}), batch(testRun(t), 1, give(1, tc.families...)), &out); len(v) != 0 {
				t.Fatalf("verdicts %v", v)
			}
			if got := out.text(); !slices.Equal(got, tc.want) {
				t.Errorf("sent %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAttributesTravelWithEveryRequest(t *testing.T) {
	var out outputs
	m := batch(testRun(t), 1, `{"user_id":"u","pitc_timestamp":1,"attributes":{"country": "KE"}}`)
	if v := do(t, NewStage(&fakeDesk{}), m, &out); len(v) != 0 {
		t.Fatalf("verdicts %v", v)
	}
	for to, requests := range out.sent {
		for _, r := range requests {
			if string(r.Attributes) != `{"country":"KE"}` {
				t.Errorf("a request to %s carries attributes %q", to, r.Attributes)
			}
		}
	}
}

func TestCellsThatAreDoneAreNotAskedForAgain(t *testing.T) {
	desk := &fakeDesk{undone: func(r []work.Request) ([]work.Request, error) {
		if len(r) != 2 {
			t.Errorf("asked about %d requests, want 2", len(r))
		}
		return []work.Request{r[1].With([]string{"f1"})}, nil
	}}
	var out outputs
	if v := do(t, NewStage(desk), batch(testRun(t), 1, give(1), give(2)), &out); len(v) != 0 {
		t.Fatalf("verdicts %v", v)
	}
	if got, want := out.text(), []string{"fs-fast u@2 f1"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestABatchAfterTheSealIsADeadLetterWhole(t *testing.T) {
	desk := &fakeDesk{standing: func() (Standing, error) { return Standing{Sealed: true, LastSeq: 7}, nil }}
	s := NewStage(desk)
	var out outputs
	if v := do(t, s, batch(testRun(t), 7, give(1, "f1")), &out); len(v) != 0 || len(out.text()) != 1 {
		t.Errorf("the last batch before the seal: verdicts %v, sent %q", v, out.text())
	}
	m := batch(testRun(t), 8, give(2))
	v := do(t, s, m, &out)
	if len(v) != 1 || failure.As(v[0].Err).Code != failure.AfterSeal || failure.As(v[0].Err).Action != failure.GiveUp {
		t.Fatalf("verdicts %v, want after_seal for good", v)
	}
	if l := s.Letter(m, v[0].Rest); l.Kind != stage.KindBatch || string(l.Data) != string(m.Data) {
		t.Errorf("dead letter %+v", l)
	}
	if len(out.text()) != 1 {
		t.Errorf("sent %q of a batch after the seal", out.text())
	}
}

func TestWhatCannotBeAskedIsAskedAgain(t *testing.T) {
	away := failure.RetryAfter(1, failure.Internal, "nobody leads")
	run := testRun(t)
	var out outputs
	for name, desk := range map[string]*fakeDesk{
		"how it stands": {standing: func() (Standing, error) { return Standing{}, away }},
		"what is done":  {undone: func([]work.Request) ([]work.Request, error) { return nil, away }},
		"what was sent": {history: func(uint64, uint64, func(*stage.Message)) error { return away }},
	} {
		v := do(t, NewStage(desk), batch(run, 5, give(1)), &out)
		if len(v) != 1 || failure.As(v[0].Err).Action != failure.HoldOn || v[0].Rest.bad != nil {
			t.Errorf("%s: verdicts %v, want the batch held", name, v)
		}
	}
	if len(out.text()) != 0 {
		t.Errorf("sent %q without knowing", out.text())
	}
}

// history is a stream of batches for a desk's history.
type history struct {
	batches []*stage.Message
	reads   []string
}

func (h *history) read(after, before uint64, take func(*stage.Message)) error {
	h.reads = append(h.reads, fmt.Sprintf("%d-%d", after, before))
	for _, m := range h.batches {
		if m.Sequence > after && m.Sequence < before {
			take(m)
		}
	}
	return nil
}

func TestEarlierBatchesAreKnownBeforeALaterOneIsDecided(t *testing.T) {
	run := testRun(t)
	h := &history{}
	for i, families := range [][]string{{"f1"}, {"f1", "f2"}, {"f2", "a1"}, {"a1", "f1"}, {"s1", "a1"}} {
		h.batches = append(h.batches, batch(run, uint64(10+2*i), give(1, families...)))
	}
	s := NewStage(&fakeDesk{history: h.read})
	sent := func(i int) []string {
		t.Helper()
		var out outputs
		if v := do(t, s, h.batches[i], &out); len(v) != 0 {
			t.Fatalf("verdicts %v", v)
		}
		return out.text()
	}
	// The instance takes the run over at the second batch, and the third is lost on its way
	// to it and comes again after the fourth.
	for _, step := range []struct {
		batch int
		want  []string
	}{
		{1, []string{"fs-fast u@1 f2"}}, {3, nil}, {2, []string{"fs-slow u@1 a1"}}, {4, []string{"fs-slow u@1 s1"}}, {1, []string{"fs-fast u@1 f2"}},
	} {
		if got := sent(step.batch); !slices.Equal(got, step.want) {
			t.Errorf("batch %d: sent %q, want %q", step.batch, got, step.want)
		}
	}
	if want := []string{"0-12", "12-16", "16-18"}; !slices.Equal(h.reads, want) {
		t.Errorf("read %q, want %q", h.reads, want)
	}
}

func TestAHistoryThatBreaksOffIsReadOnFromThere(t *testing.T) {
	run := testRun(t)
	h := &history{batches: []*stage.Message{batch(run, 1, give(1, "f1")), batch(run, 2, give(1, "f2")), batch(run, 3, give(1, "f1", "f2", "a1"))}}
	broken := true
	s := NewStage(&fakeDesk{history: func(after, before uint64, take func(*stage.Message)) error {
		if broken {
			broken = false
			_ = h.read(after, 2, take)
			return failure.RetryAfter(1, failure.Internal, "the connection broke")
		}
		return h.read(after, before, take)
	}})
	var out outputs
	if v := do(t, s, h.batches[2], &out); len(v) != 1 {
		t.Fatalf("verdicts %v, want the batch held", v)
	}
	if v := do(t, s, h.batches[2], &out); len(v) != 0 {
		t.Fatalf("verdicts %v", v)
	}
	if got, want := out.text(), []string{"fs-slow u@1 a1"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if want := []string{"0-2", "1-3"}; !slices.Equal(h.reads, want) {
		t.Errorf("read %q, want %q", h.reads, want)
	}
}

func TestARunOpenedAgainStartsAfresh(t *testing.T) {
	s := NewStage(&fakeDesk{})
	for epoch := range uint64(2) {
		run := testRun(t)
		run.Epoch = epoch + 1
		var out outputs
		if do(t, s, batch(run, 1+epoch, give(1, "f1")), &out); len(out.text()) != 1 {
			t.Errorf("epoch %d: sent %q, want the cell again", run.Epoch, out.text())
		}
	}
	s.Forget("demo")
	if len(s.ledgers) != 0 {
		t.Errorf("%d ledgers are kept of ended runs", len(s.ledgers))
	}
}

func TestABadBatchIsADeadLetterWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, data, reason string
	}{
		"no JSON":   {"", `{"records":[`, "records"},
		"empty":     {record.NDJSON, "\n", "empty"},
		"too large": {record.NDJSON, strings.Repeat(give(1)+"\n", work.MaxPublishBytes/len(give(1))), fmt.Sprintf("send batches of at most %d", work.MaxPublishBytes)},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStage(&fakeDesk{})
			m := &stage.Message{Run: testRun(t), Sequence: 1, ContentType: tc.contentType, Data: []byte(tc.data)}
			var out outputs
			v := do(t, s, m, &out)
			if len(v) != 1 || len(out.sent) != 0 {
				t.Fatalf("verdicts %v, sent %q", v, out.text())
			}
			if e := failure.As(v[0].Err); e.Code != failure.BadBatch || e.Action != failure.GiveUp || !strings.Contains(e.Error(), tc.reason) {
				t.Errorf("verdict %v, want a bad batch with %q", e, tc.reason)
			}
			want := stage.Letter{Kind: stage.KindBatch, Data: m.Data, ContentType: tc.contentType, Count: 1}
			if l := s.Letter(m, v[0].Rest); !reflect.DeepEqual(l, want) {
				t.Errorf("dead letter %+v", l)
			}
		})
	}
}

// TestALetterOfABadRecordCanBePublishedAsItIs: published again, it says the same of the
// record, and nothing of others.
func TestALetterOfABadRecordCanBePublishedAsItIs(t *testing.T) {
	bad := map[string]string{
		"no user":         `{"pitc_timestamp":1}`,
		"unknown family":  `{"user_id":"u","pitc_timestamp":1,"feature_families":["nope"]}`,
		"unknown field":   `{"user_id":"u","pitc_timestamp":1,"colour":"red\nand \"blue\""}`,
		"not an object":   `[1,2]`,
		"other spelling":  `{"user_id":"u", "pitc_timestamp":"yesterday"}`,
		"not even a JSON": `{"user_id":`,
	}
	for name, raw := range bad {
		for _, form := range []string{"", record.NDJSON, "Application/X-NDJSON; charset=utf-8"} {
			if form == "" && name == "not even a JSON" {
				continue // spoils a JSON batch as a whole
			}
			t.Run(name+" as "+form, func(t *testing.T) {
				run := testRun(t)
				m := batch(run, 1, give(1), raw, give(2))
				if form != "" {
					m = &stage.Message{Run: run, Sequence: 1, ContentType: form, Data: []byte(give(1) + "\n" + raw + "\n" + give(2) + "\n")}
				}
				s := NewStage(&fakeDesk{})
				var out outputs
				v := do(t, s, m, &out)
				if len(v) != 1 || failure.As(v[0].Err).Code != failure.BadRecord || len(out.sent[stage.Dynamo]) != 2 {
					t.Fatalf("verdicts %v, sent %q", v, out.text())
				}
				l := s.Letter(m, v[0].Rest)
				if l.Kind != stage.KindRecord || l.Count != 1 {
					t.Errorf("dead letter %+v", l)
				}
				var again outputs
				m2 := &stage.Message{Run: run, Sequence: 2, ContentType: l.ContentType, Data: l.Data}
				v2 := do(t, s, m2, &again)
				if len(v2) != 1 || len(again.sent) != 0 {
					t.Fatalf("published again: verdicts %v, sent %q", v2, again.text())
				}
				reason := func(v stage.Verdict[*Unit]) string { return v.Rest.bad.Reason }
				if reason(v[0]) != reason(v2[0]) {
					t.Errorf("published again it is bad because %q, it was because %q", reason(v2[0]), reason(v[0]))
				}
			})
		}
	}
}

func TestASampleWithOtherAttributesIsABadRecord(t *testing.T) {
	s := NewStage(&fakeDesk{})
	m := batch(testRun(t), 1, `{"user_id":"u","pitc_timestamp":1,"feature_families":["f1"],"attributes":{"a":1}}`, `{"user_id":"u","pitc_timestamp":1,"feature_families":["f2"],"attributes":{"a":2}}`)
	var out outputs
	v := do(t, s, m, &out)
	if len(v) != 1 || !strings.Contains(v[0].Err.Error(), "other attributes") {
		t.Fatalf("verdicts %v", v)
	}
	if got, want := out.text(), []string{"fs-fast u@1 f1"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	l := s.Letter(m, v[0].Rest)
	good, bad, _, err := record.ParseBatch(l.Data, l.ContentType, record.NewValidator(m.Run.File.FamilyIDs()))
	if err != nil || len(bad) != 0 || len(good) != 1 || string(good[0].Attributes) != `{"a":2}` {
		t.Errorf("the dead letter %s reads as %v, %v, %v", l.Data, good, bad, err)
	}
}
