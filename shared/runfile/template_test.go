package runfile

import (
	"strings"
	"testing"
	"time"
)

func TestTemplate(t *testing.T) {
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()
	for _, tc := range []struct {
		template string
		ms       int64
		want     string
	}{
		{"{user_id}", at, "u1"},
		{"{family}#{pitc_timestamp}", at, "credit#2025-01-31T12:00:00Z"},
		{"{family}#{pitc_timestamp}", at + 7, "credit#2025-01-31T12:00:00.007Z"},
		{"x{pitc_timestamp_ms}", at, "x1738324800000"},
		{"{pitc_date}/{user_id}{user_id}", at, "2025-01-31/u1u1"},
		{"{pitc_date}", -1, "1969-12-31"},
		{"plain", at, "plain"},
	} {
		if got := mustTemplate(t, tc.template).Append([]byte(">"), "u1", "credit", tc.ms); string(got) != ">"+tc.want {
			t.Errorf("%s gives %s, want >%s", tc.template, got, tc.want)
		}
	}
	tpl := mustTemplate(t, "{family}#{pitc_date}")
	if !tpl.Uses("family") || tpl.Uses("user_id") || tpl.String() != "{family}#{pitc_date}" {
		t.Errorf("%+v", tpl)
	}
	for _, s := range []string{"", "{", "}", "{}", "{user id}", "a{user_id", "{user{family}}", "{USER_ID}"} {
		if _, err := ParseTemplate(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestTemplateAllocatesNothing(t *testing.T) {
	tpl := mustTemplate(t, "{family}#{pitc_timestamp}#{pitc_date}#{pitc_timestamp_ms}")
	dst := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { dst = tpl.Append(dst[:0], "user", "family", 1738324800123) }); n != 0 {
		t.Errorf("%v allocations a key", n)
	}
}

func BenchmarkTemplateAppend(b *testing.B) {
	tpl, err := ParseTemplate("{family}#{pitc_timestamp}")
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = tpl.Append(dst[:0], "user", "family", 1738324800123)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add(`{"run":"a","families":[{"id":"b","cached":false}],"feature_service":{"url":"http://h"}}`)
	f.Add("a: &x {b: *x}\n? [c]\n: |\n  d\n")
	f.Add("run: ${A}$$\nfamilies: [{id: 1e3}, {id: .inf, features: {x: double}}]\n")
	f.Add(strings.Repeat("- ", 50) + "!!str x")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		file, err := Parse("run.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "run.yaml") {
				t.Errorf("no file in %v", err)
			}
			return
		}
		again, err := Parse("run.yaml", indentJSON(mustTree(t, text).appendJSON(nil, false)))
		if err != nil || again.Hash() != file.Hash() {
			t.Errorf("as JSON it reads as something else (%v)", err)
		}
		_, _ = file.Expand(func(name string) (string, bool) { return name, true }) // must not panic
		if err := CheckResume(file, file); err != nil {
			t.Errorf("a file cannot be resumed with itself: %v", err)
		}
	})
}

func mustTree(t *testing.T, text string) *node {
	t.Helper()
	root, err := readTree("run.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func FuzzTemplate(f *testing.F) {
	f.Add("{family}#{pitc_timestamp}")
	f.Add("{}}{")
	f.Fuzz(func(t *testing.T, s string) {
		tpl, err := ParseTemplate(s)
		if err != nil {
			return
		}
		tpl.Append(nil, "u", "f", 0)
		if tpl.String() != s {
			t.Errorf("%q became %q", s, tpl.String())
		}
	})
}
