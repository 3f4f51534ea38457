package commitlog

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// chain gives entries their ids and prevs in the order in which they stand.
func chain(entries ...Entry) []*Entry {
	var all []*Entry
	prev := ""
	for i := range entries {
		e := &entries[i]
		e.ID = string(rune('a' + i))
		if e.Prev == "" {
			e.Prev = prev
		}
		prev = e.ID
		all = append(all, e)
	}
	return all
}

func files(names ...string) []File {
	var all []File
	for _, n := range names {
		all = append(all, fileOf(n))
	}
	return all
}

// One row a rule: what a log with a last entry means.
func TestRules(t *testing.T) {
	t.Parallel()
	open1 := Entry{Type: Open, Epoch: 1}
	commit := Entry{Type: Commit, Epoch: 1, Part: "p", Files: files("p")}
	seal := Entry{Type: Seal, Epoch: 1}
	for name, tt := range map[string]struct {
		log  []Entry
		void string // part of why the last entry is void, "" = valid
		live []string
	}{
		"nothing before an open":         {[]Entry{commit}, "no epoch was opened", nil},
		"a commit":                       {[]Entry{open1, commit}, "", []string{"p"}},
		"no second verdict":              {[]Entry{open1, commit, commit}, "decided before", []string{"p"}},
		"no commit after a reject":       {[]Entry{open1, {Type: Reject, Epoch: 1, Part: "p"}, commit}, "decided before", nil},
		"no commit after the seal":       {[]Entry{open1, seal, commit}, "sealed", nil},
		"no reject after the seal":       {[]Entry{open1, seal, {Type: Reject, Epoch: 1, Part: "p"}}, "sealed", nil},
		"no commit of an older epoch":    {[]Entry{open1, seal, {Type: Open, Epoch: 2}, commit}, "epoch 1", nil},
		"no commit of a later epoch":     {[]Entry{open1, {Type: Commit, Epoch: 2, Part: "p"}}, "epoch 2", nil},
		"no open before the seal":        {[]Entry{open1, {Type: Open, Epoch: 2}}, "before epoch 1 is sealed", nil},
		"no open of an epoch that was":   {[]Entry{open1, seal, {Type: Open, Epoch: 1}}, "at epoch 1", nil},
		"an open may skip epochs":        {[]Entry{open1, seal, {Type: Open, Epoch: 7}}, "", nil},
		"no second seal":                 {[]Entry{open1, seal, seal}, "sealed already", nil},
		"no seal of another epoch":       {[]Entry{open1, {Type: Seal, Epoch: 2}}, "another one", nil},
		"prev must match":                {[]Entry{open1, {Type: Commit, Epoch: 1, Part: "p", Prev: "x"}}, "prev", nil},
		"a late part is voided":          {[]Entry{open1, seal, {Type: Void, Epoch: 1, Part: "p"}}, "", nil},
		"no void over a verdict":         {[]Entry{open1, commit, seal, {Type: Void, Epoch: 1, Part: "p"}}, "decided before", []string{"p"}},
		"a lost file leaves":             {[]Entry{open1, commit, seal, {Type: Void, Epoch: 1, Family: "f", Remove: []string{"p"}}}, "", nil},
		"no lost file before the seal":   {[]Entry{open1, commit, {Type: Void, Epoch: 1, Family: "f", Remove: []string{"p"}}}, "not sealed", []string{"p"}},
		"no lost file of an older epoch": {[]Entry{open1, commit, seal, {Type: Open, Epoch: 2}, {Type: Seal, Epoch: 2}, {Type: Void, Epoch: 1, Family: "f", Remove: []string{"p"}}}, "epoch 1", nil},
		"a swap":                         {[]Entry{open1, commit, seal, {Type: Swap, Epoch: 1, Family: "f", Remove: []string{"p"}, Add: files("s")}}, "", []string{"s"}},
		"no swap of what is not live":    {[]Entry{open1, commit, seal, {Type: Swap, Epoch: 1, Family: "f", Remove: []string{"p", "q"}, Add: files("s")}}, "q of family f is not live", []string{"p"}},
		"no swap before the seal":        {[]Entry{open1, commit, {Type: Swap, Epoch: 1, Family: "f", Remove: []string{"p"}, Add: files("s")}}, "not sealed", []string{"p"}},
		"a claim changes nothing":        {[]Entry{open1, commit, seal, {Type: Claim, Epoch: 1}}, "", []string{"p"}},
		"no claim before the seal":       {[]Entry{open1, {Type: Claim, Epoch: 1}}, "not sealed", nil},
		"what is unknown is void":        {[]Entry{open1, {Type: "other", Epoch: 1}}, "unknown", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &State{}
			log := chain(tt.log...)
			void := ""
			for _, e := range log {
				var err error
				if void, err = s.Apply(e, func(*Entry) ([]File, error) { return nil, nil }); err != nil {
					t.Fatal(err)
				}
			}
			if (void == "") != (tt.void == "") || !strings.Contains(void, tt.void) {
				t.Errorf("the last entry is void for %q, want %q", void, tt.void)
			}
			if last := log[len(log)-1].ID; (s.Last == last) != (tt.void == "") {
				t.Errorf("the last valid entry is %q; that was %q", s.Last, last)
			}
			var live []string
			for _, f := range s.Files() {
				live = append(live, f.Name)
			}
			if !slices.Equal(live, tt.live) {
				t.Errorf("live are %v, want %v", live, tt.live)
			}
		})
	}
}

// An epoch starts with the files that its entry names, and with no others.
func TestBase(t *testing.T) {
	t.Parallel()
	s := &State{}
	base := func(e *Entry) ([]File, error) {
		if e.Base == "lost" {
			return nil, errors.New("the list is gone")
		}
		return files("old"), nil
	}
	for _, e := range chain(Entry{Type: Open, Epoch: 1, Base: "one"}, Entry{Type: Commit, Epoch: 1, Part: "p", Files: files("p")},
		Entry{Type: Seal, Epoch: 1}, Entry{Type: Open, Epoch: 2, Base: "two"}) {
		if void, err := s.Apply(e, base); void != "" || err != nil {
			t.Fatal(void, err)
		}
	}
	if s.Live(idOf("p")) || !s.Live(idOf("old")) || !s.Base("one") || !s.Base("two") || s.Base("three") {
		t.Errorf("the state is %+v", s)
	}
	if o, _ := s.Part(1, "p"); o != Committed {
		t.Errorf("the part of the first epoch is %q", o)
	}
	if _, err := s.Apply(&Entry{ID: "x", Prev: s.Last, Type: Seal, Epoch: 2}, base); err != nil {
		t.Fatal(err)
	}
	last := s.Last
	if _, err := s.Apply(&Entry{ID: "y", Prev: last, Type: Open, Epoch: 3, Base: "lost"}, base); err == nil || s.Last != last || s.Epoch != 2 {
		t.Errorf("an epoch whose list is lost was taken in: %v", err)
	}
}

// A writer keeps no files, and comes to the same verdicts.
func TestVerdictsOnly(t *testing.T) {
	t.Parallel()
	s := &State{VerdictsOnly: true}
	for _, e := range chain(Entry{Type: Open, Epoch: 1, Base: "one"}, Entry{Type: Seal, Epoch: 1},
		Entry{Type: Swap, Epoch: 1, Family: "f", Remove: []string{"old"}, Add: files("new")},
		Entry{Type: Void, Epoch: 1, Family: "f", Remove: []string{"older"}},
		Entry{Type: Open, Epoch: 2, Base: "two"}, Entry{Type: Commit, Epoch: 2, Part: "p", Files: files("p")}) {
		if void, err := s.Apply(e, nil); void != "" || err != nil {
			t.Fatalf("%s: %s, %v", e.Type, void, err)
		}
	}
	if o, e := s.Part(2, "p"); o != Committed || e.Part != "p" || e.Files != nil || len(s.Files()) != 0 {
		t.Errorf("the part is %q; files %v", o, s.Files())
	}
}

func TestStrangersAndSweeping(t *testing.T) {
	t.Parallel()
	s := &State{}
	for _, e := range chain(Entry{Type: Open, Epoch: 2}, Entry{Type: Commit, Epoch: 2, Part: "p", Files: files("p")}, Entry{Type: Seal, Epoch: 2},
		Entry{Type: Swap, Epoch: 2, Family: "f", Remove: []string{"p"}, Add: files("s")}) {
		_, _ = s.Apply(e, func(*Entry) ([]File, error) { return nil, nil })
	}
	for _, tt := range []struct {
		name                         string
		epoch                        uint64
		stranger, removed, sweepable bool
	}{
		{"s", 2, false, false, false},
		{"p", 2, false, true, true},
		{"x", 1, true, false, true},
		{"x", 2, true, false, true},
		{"x", 3, true, false, false},
	} {
		id := idOf(tt.name)
		if s.Stranger(id) != tt.stranger || s.Removed(id) != tt.removed || s.Sweepable(id, tt.epoch) != tt.sweepable {
			t.Errorf("%s of epoch %d: stranger %v, removed %v, sweepable %v", tt.name, tt.epoch, s.Stranger(id), s.Removed(id), s.Sweepable(id, tt.epoch))
		}
	}
}
