package dataset

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	if got, want := RunDir("out", "demo"), filepath.Join("out", "demo"); got != want {
		t.Errorf("RunDir gives %q, want %q", got, want)
	}
	if got, want := VisiblePath("a/b", PartFile(3, "w1-7")), "features/family=a%2Fb/part-3-w1-7.parquet"; got != want {
		t.Errorf("VisiblePath gives %q, want %q", got, want)
	}
}

func TestEscapeFamily(t *testing.T) {
	for id, want := range map[string]string{
		"credit":      "credit",
		"A-z0.9_":     "A-z0.9_",
		"a b":         "a%20b",
		"a/../b":      "a%2F..%2Fb",
		"..":          "..", // harmless behind family=
		"100%":        "100%25",
		"é":           "%C3%A9",
		"\xff\x00":    "%FF%00",
		"key=value~*": "key%3Dvalue%7E%2A",
	} {
		got := EscapeFamily(id)
		if got != want {
			t.Errorf("EscapeFamily(%q) = %q, want %q", id, got, want)
		}
		if back, err := UnescapeFamily(got); err != nil || back != id {
			t.Errorf("UnescapeFamily(%q) = %q, %v, want %q", got, back, err, id)
		}
	}
}

func TestUnescapeFamilyRefusesOtherForms(t *testing.T) {
	for _, s := range []string{"%2f", "%", "%2", "%zz", "%+1", "a b", "%41", "é", "%G0"} {
		if id, err := UnescapeFamily(s); err == nil {
			t.Errorf("UnescapeFamily(%q) = %q, want an error", s, id)
		}
	}
}

func FuzzUnescapeFamily(f *testing.F) {
	for _, s := range []string{"credit", "a%2Fb", "%C3%A9", "%2f", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := UnescapeFamily(s); err == nil && EscapeFamily(id) != s {
			t.Errorf("%q gives %q, whose form is %q", s, id, EscapeFamily(id))
		}
		if id, err := UnescapeFamily(EscapeFamily(s)); err != nil || id != s {
			t.Errorf("%q does not come back: %q, %v", s, id, err)
		}
	})
}

func TestCheckFamilyIDs(t *testing.T) {
	long := strings.Repeat("x", MaxFamilyPathBytes)
	for _, tc := range []struct {
		ids []string
		err string // "" = none
	}{
		{[]string{"credit", "sms", "Geo"}, ""},
		{nil, ""},
		{[]string{long}, ""},
		{[]string{long + "x"}, "201 bytes"},
		{[]string{strings.Repeat("é", 34)}, "204 bytes"},
		{[]string{"a", ""}, "empty"},
		{[]string{"a", "b", "a"}, `"a" is given twice`},
		{[]string{"credit", "Credit"}, `"credit" and "Credit" differ in case only`},
		{[]string{"É", "é"}, "differ in case only"},
		{[]string{"K", "\u212a"}, "differ in case only"}, // KELVIN SIGN
		{[]string{"ß", "ss"}, ""},                        // simple folding, as file systems do it
		{[]string{"\xff", "\xfe"}, ""},
	} {
		err := CheckFamilyIDs(tc.ids)
		switch {
		case tc.err == "" && err != nil:
			t.Errorf("CheckFamilyIDs(%q): %v", tc.ids, err)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("CheckFamilyIDs(%q) = %v, want %q", tc.ids, err, tc.err)
		}
	}
}

func TestEpochNames(t *testing.T) {
	epoch, part, err := ParseIndexName(IndexName(12, "w1-7"))
	if epoch != 12 || part != "w1-7" || err != nil {
		t.Errorf("got %d, %q, %v", epoch, part, err)
	}
	epoch, token, err := ParseStagingName(StagingName(12, "tok"))
	if epoch != 12 || token != "tok" || err != nil {
		t.Errorf("got %d, %q, %v", epoch, token, err)
	}
	for _, name := range []string{"", "12", "12-", "-x", "012-x", "+12-x", "x-12", "99999999999999999999-x"} {
		if _, _, err := ParseIndexName(name); err == nil {
			t.Errorf("ParseIndexName(%q) gives no error", name)
		}
	}
}
