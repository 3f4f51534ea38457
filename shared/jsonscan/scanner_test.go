package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/jsonscan"
)

// read reads one value with the scanner into what encoding/json makes of it with
// UseNumber, numbers as jsonscan.Number.
func read(s *jsonscan.Scanner) any {
	switch s.Kind() {
	case jsonscan.KindObject:
		s.Object()
		m := map[string]any{}
		for key, more := s.Next(); more; key, more = s.Next() {
			inner := read(s) // may unescape keys of its own
			m[string(key)] = inner
		}
		return m
	case jsonscan.KindArray:
		s.Array()
		a := []any{}
		for s.Element() {
			a = append(a, read(s))
		}
		return a
	case jsonscan.KindString:
		v, _ := s.String(nil)
		return string(v)
	case jsonscan.KindNumber:
		v, _ := s.Number()
		return v
	case jsonscan.KindBool:
		v, _ := s.Bool()
		return v
	default:
		_ = s.Null()
		return nil
	}
}

// readLike reads as read does, by way of the scanner's short cuts: it guesses each key to
// be the one that stood longest in guesses, and tries every value as a tagged number.
func readLike(t *testing.T, s *jsonscan.Scanner, guesses *[][]byte) any {
	t.Helper()
	before := *s
	if n, ok := s.TaggedNumber('N'); ok {
		return readTagged(t, &before, s, n)
	}
	switch s.Kind() {
	case jsonscan.KindObject:
		s.Object()
		m := map[string]any{}
		for {
			var guess []byte
			if len(*guesses) > 0 {
				guess, *guesses = (*guesses)[0], (*guesses)[1:]
			}
			before := *s
			if n, ok := s.TaggedMember(guess, 'N'); ok {
				if key, more := before.Next(); !more || string(key) != string(guess) {
					t.Fatalf("a member of the name %q, not %q", key, guess)
				}
				m[string(guess)] = readTagged(t, &before, s, n)
				*guesses = append(*guesses, guess, guess)
				continue
			}
			if n, ok := s.NumberMember(guess); ok {
				key, more := before.Next()
				want, err := before.Number()
				if !more || string(key) != string(guess) || err != nil || want != n || before.Offset() != s.Offset() {
					t.Fatalf("a member of the name %q and the value %+v, not %q and %+v, %v", key, n, guess, want, err)
				}
				m[string(guess)] = n
				*guesses = append(*guesses, guess, guess)
				continue
			}
			key, more := s.NextLike(guess)
			if !more {
				return m
			}
			if !bytes.ContainsAny(key, `"\`) && bytes.IndexFunc(key, func(r rune) bool { return r < ' ' }) < 0 {
				*guesses = append(*guesses, bytes.Clone(key), bytes.Clone(key))
			}
			m[string(key)] = readLike(t, s, guesses)
		}
	case jsonscan.KindArray:
		s.Array()
		a := []any{}
		for s.Element() {
			a = append(a, readLike(t, s, guesses))
		}
		return a
	}
	return read(s)
}

// readTagged reads value by value what s has read as the tagged number n.
func readTagged(t *testing.T, before, s *jsonscan.Scanner, n jsonscan.Number) any {
	t.Helper()
	whole, _ := read(before).(map[string]any)
	literal, _ := whole["N"].(string)
	if want, ok := jsonscan.ParseNumber([]byte(literal)); !ok || want != n || before.Offset() != s.Offset() {
		t.Fatalf("tagged number %+v of %v", n, whole)
	}
	return whole
}

func TestNextLike(t *testing.T) {
	t.Parallel()
	guess := []byte("abc")
	for text, same := range map[string]bool{
		`{"abc":1}`: true, `{ "abc":1}`: true, `{"abc" :1}`: false, `{"\u0061bc":1}`: false,
		`{"abd":1}`: false, `{"abcd":1}`: false, `{"ab":1}`: false, `{"":1}`: false,
	} {
		s := jsonscan.New([]byte(text))
		s.Object()
		got, more := s.NextLike(guess)
		plain := jsonscan.New([]byte(text))
		plain.Object()
		want, _ := plain.Next()
		if !more || string(got) != string(want) || len(got) > 0 && (&got[0] == &guess[0]) != same {
			t.Errorf("NextLike in %s = %q, %v", text, got, more)
		}
		n, err := s.Number()
		if _, more := s.NextLike(guess); err != nil || n.Int != 1 || more || s.End() != nil {
			t.Errorf("behind the key of %s: %+v, %v, %v", text, n, more, s.End())
		}
	}
	s := jsonscan.New([]byte(`{"abc":1 "abc":2}`))
	s.Object()
	s.NextLike(guess)
	s.Skip()
	if _, more := s.NextLike(guess); more || s.Err() == nil {
		t.Error("a missing comma went unnoticed")
	}
}

func TestTaggedMember(t *testing.T) {
	t.Parallel()
	guess := []byte("abc")
	for member, ok := range map[string]bool{
		`"abc":{"N":"1.5"}`: true, `"abc":{"N":"-3"} `: true, `"abc":{"N":"12345678901234567890"}`: true,
		`"abc":{"N":"1e2"}`: true, `"abc":{"N":"1.5e-3"}`: true, `"abc": {"N":"1.5"}`: false, ` "abc":{"N":"1.5"}`: false,
		`"abd":{"N":"1.5"}`: false, `"abcd":{"N":"1.5"}`: false, `"abc":{"S":"1.5"}`: false,
		`"abc":{"N":"x"}`: false, `"abc":{"N":"1","N":"2"}`: false, `"abc":1`: false, `"abc":{"N":"1e999"}`: false,
	} {
		text := `{"x":{"N":"0"},` + member + `,"d":2}`
		s := jsonscan.New([]byte(text))
		s.Object()
		s.Next()
		s.Skip()
		if _, none := s.TaggedMember(nil, 'N'); none {
			t.Errorf("TaggedMember without a guess in %s", text)
		}
		if n, got := s.TaggedMember(guess, 'N'); got != ok || ok && n.Float == 0 && n.Int == 0 {
			t.Errorf("TaggedMember in %s = %+v, %v", text, n, got)
		}
		if !ok {
			s.Next() // still there
			s.Skip()
		}
		key, _ := s.Next()
		if n, err := s.Number(); string(key) != "d" || err != nil || n.Int != 2 {
			t.Errorf("behind the member of %s: %q, %+v, %v", text, key, n, err)
		}
		if _, more := s.Next(); more || s.End() != nil {
			t.Errorf("the end of %s: %v", text, s.End())
		}
	}
	const before = `{"x":0`
	for text := before + `,"abc":{"N":"1.5"}`; len(text) > len(before); text = text[:len(text)-1] {
		s := jsonscan.New([]byte(text[:len(text)-1]))
		s.Object()
		s.Next()
		s.Skip()
		if _, ok := s.TaggedMember(guess, 'N'); ok {
			t.Errorf("a member in %s", text)
		}
	}
	s := jsonscan.New([]byte(`{"d":1 "abc":{"N":"1.5"}}`))
	s.Object()
	s.Next()
	s.Skip()
	if _, ok := s.TaggedMember(guess, 'N'); ok {
		t.Error("a missing comma went unnoticed")
	}
	s = jsonscan.New([]byte(`{,"abc":{"N":"1.5"}}`))
	s.Object()
	if _, ok := s.TaggedMember(guess, 'N'); ok {
		t.Error("a comma before the first member went unnoticed")
	}
}

func TestNumberMember(t *testing.T) {
	t.Parallel()
	guess := []byte("abc")
	for text, ok := range map[string]bool{
		`{"abc":1.5,"d":2}`: true, `{ "abc": -3 , "d":2}`: true, `{"abc":1.5e-3,"d":2}`: true, `{"abc":  1.5,"d":2}`: false,
		`{"abd":1.5,"d":2}`: false, `{"abcd":1.5,"d":2}`: false, `{"abc":"1.5","d":2}`: false, `{"abc":{"N":"1"},"d":2}`: false,
		`{"abc":null,"d":2}`: false, `{"abc" :1,"d":2}`: false, `{"abc":NaN,"d":2}`: false, `{"abc":-Infinity,"d":2}`: false,
	} {
		s := jsonscan.New([]byte(text))
		s.AllowNaN = true
		s.Object()
		if _, none := s.NumberMember(nil); none {
			t.Errorf("NumberMember without a guess in %s", text)
		}
		if n, got := s.NumberMember(guess); got != ok || ok && n.Float == 0 && n.Int == 0 {
			t.Errorf("NumberMember in %s = %+v, %v", text, n, got)
		}
		if !ok {
			s.Next() // still there
			s.Skip()
		}
		key, _ := s.Next()
		if n, err := s.Number(); string(key) != "d" || err != nil || n.Int != 2 {
			t.Errorf("behind the member of %s: %q, %+v, %v", text, key, n, err)
		}
		if _, more := s.Next(); more || s.End() != nil {
			t.Errorf("the end of %s: %v", text, s.End())
		}
	}
	for _, text := range []string{`{"abc":1e999}`, `{"abc":01}`, `{"abc":1.}`, `{"abc":-}`, `{"abc":`, `{"abc"`, `{"abc`, `{`, `{"abc":1`, `{"abc":1x}`} {
		s := jsonscan.New([]byte(text))
		s.Object()
		if _, ok := s.NumberMember(guess); !ok {
			s.Next()
			s.Number()
		}
		if _, more := s.Next(); more || s.End() == nil {
			t.Errorf("%s can be read", text)
		}
	}
	s := jsonscan.New([]byte(`{"d":1 "abc":1.5}`))
	s.Object()
	s.Next()
	s.Skip()
	if _, ok := s.NumberMember(guess); ok {
		t.Error("a missing comma went unnoticed")
	}
}

func TestTaggedNumber(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`[{"N":"1.5"},2]`: true, `[{"N":"-3"} , 2]`: true, `[ {"N":"1.5"},2]`: true, `[{"N": "1.5"},2]`: false,
		`[{"N":"1.5","N":"2"},2]`: false, `[{"S":"1.5"},2]`: false, `[{"N":"x"},2]`: false, `[{"N":"1e999"},2]`: false,
		`[{"N":"1.5" },2]`: false, `[{"N":1.5},2]`: false,
	} {
		s := jsonscan.New([]byte(text))
		s.Array()
		s.Element()
		if n, got := s.TaggedNumber('N'); got != ok || ok && n.Float == 0 && n.Int == 0 {
			t.Errorf("TaggedNumber in %s = %+v, %v", text, n, got)
		}
		if !ok {
			s.Skip() // still there
		}
		two := s.Element()
		if n, err := s.Number(); !two || err != nil || n.Int != 2 || s.Element() || s.End() != nil {
			t.Errorf("behind the number of %s: %+v, %v", text, n, s.End())
		}
	}
	for text := `{"N":"1.5"}`; text != ""; text = text[:len(text)-1] {
		s := jsonscan.New([]byte(text[:len(text)-1]))
		if _, ok := s.TaggedNumber('N'); ok {
			t.Errorf("a number in %s", text)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	text := ` { "a" : [ 1 , -2.5 , "x\ny" , true , false , null , [ ] , { } ] , "k\u00e9y\"" : { "in\\ner" : 9223372036854775807 } ,
		"big" : 9223372036854775808 , "" : "\ud83d\ude00 \ud800 \u0041" } `
	s := jsonscan.New([]byte(text))
	got := read(&s)
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	integer := func(i int64) jsonscan.Number { return jsonscan.Number{Int: i, IsInt: true} }
	want := map[string]any{
		"a":     []any{integer(1), jsonscan.Number{Float: -2.5}, "x\ny", true, false, nil, []any{}, map[string]any{}},
		"kéy\"": map[string]any{"in\\ner": integer(math.MaxInt64)},
		"big":   jsonscan.Number{Float: 1 << 63},
		"":      "😀 \uFFFD A",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestStringIsViewWhereItCanBe(t *testing.T) {
	t.Parallel()
	text := []byte(`["plain text of more than eight bytes","grüße, länger als acht","tab\there","bad ` + "\xff" + `"]`)
	s := jsonscan.New(text)
	s.Array()
	scratch := make([]byte, 0, 64)
	for i, c := range []struct {
		want string
		view bool
	}{{"plain text of more than eight bytes", true}, {"grüße, länger als acht", true}, {"tab\there", false}, {"bad \uFFFD", false}} {
		s.Element()
		got, err := s.String(scratch)
		if err != nil || string(got) != c.want {
			t.Fatalf("string %d = %q, %v, want %q", i, got, err, c.want)
		}
		if inScratch := &got[0] == &scratch[:1][0]; inScratch == c.view {
			t.Errorf("string %d in scratch: %v", i, inScratch)
		}
	}
}

func TestKeysStayValid(t *testing.T) {
	t.Parallel()
	s := jsonscan.New([]byte(`{"a\tb":{"c\td":{"e\tf":1}},"` + strings.Repeat(`\t`, 500) + `":2}`))
	s.Object()
	first, _ := s.Next()
	s.Object()
	second, _ := s.Next()
	s.Object()
	third, _ := s.Next()
	if _, err := s.Skip(); err != nil {
		t.Fatal(err)
	}
	s.Next()
	s.Next()
	fourth, _ := s.Next()
	got := fmt.Sprintf("%q %q %q %d", first, second, third, len(fourth))
	if want := `"a\tb" "c\td" "e\tf" 500`; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
}

func TestSkipGivesSpan(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`1`, `-0.5e+7`, `"a\"b\\"`, `true`, `false`, `null`, `[]`, `{}`, `[1, [2, {"a":[]}], "]"]`, `{"a" : {"b": [ ]}, "}": 1}`,
	} {
		s := jsonscan.New([]byte(" [ " + value + " , 2 ] "))
		s.Array()
		s.Element()
		span, err := s.Skip()
		if err != nil || string(span) != value {
			t.Errorf("Skip of %s = %q, %v", value, span, err)
		}
		if !s.Element() {
			t.Errorf("no element behind %s: %v", value, s.Err())
		}
		two, _ := s.Number()
		if s.Element() || s.End() != nil || two.Int != 2 {
			t.Errorf("behind %s: %+v, %v", value, two, s.End())
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		offset int
		msg    string
	}{
		{``, 0, "text ends"},
		{`  `, 2, "text ends"},
		{`{"a" 1}`, 5, "':'"},
		{`{"a":1 "b":2}`, 7, "','"},
		{`{"a":1,}`, 7, "key"},
		{`{a:1}`, 1, "key"},
		{`[1 2]`, 3, "','"},
		{`[1,]`, 3, "value"},
		{`[,1]`, 1, "value"},
		{`[1}`, 2, "','"},
		{`{"a":1]`, 6, "','"},
		{`"abc`, 4, "ends within a string"},
		{`"a\qb"`, 2, "escape"},
		{`"a\u12g4"`, 2, "escape"},
		{"\"a\nb\"", 2, "control"},
		{`01`, 1, "malformed number"},
		{`-x`, 1, "malformed number"},
		{`1.`, 2, "malformed number"},
		{`tru`, 0, "true"},
		{`nul1`, 0, "null"},
		{`NaN`, 0, "value"},
		{`-Infinity`, 1, "malformed number"},
		{`?`, 0, "value"},
		{`1 2`, 2, "behind the end"},
		{strings.Repeat("[", 1001), 1000, "1000 deep"},
		{strings.Repeat(`{"a":`, 1001), 5000, "1000 deep"},
	} {
		for _, how := range []string{"read", "skip"} {
			s := jsonscan.New([]byte(c.text))
			if how == "read" {
				read(&s)
			} else {
				_, _ = s.Skip()
			}
			var syntax *jsonscan.SyntaxError
			if err := s.End(); !errors.As(err, &syntax) {
				t.Errorf("%s of %.20q gave %v", how, c.text, err)
			} else if syntax.Offset != c.offset || how == "skip" && !strings.Contains(err.Error(), c.msg) {
				t.Errorf("%s of %.20q: %v, want byte %d and %q", how, c.text, err, c.offset, c.msg)
			}
		}
	}
}

func TestFirstErrorStays(t *testing.T) {
	t.Parallel()
	s := jsonscan.New([]byte(`{"a":"text","b":1}`))
	s.Object()
	s.Next()
	_, first := s.Number()
	if want := "JSON at byte 5: want a number, found a string"; first == nil || first.Error() != want {
		t.Fatalf("error %v, want %s", first, want)
	}
	_, errSkip := s.Skip()
	_, errString := s.String(nil)
	_, more := s.Next()
	if errSkip != first || errString != first || s.End() != first || s.Err() != first || more || s.Object() || s.Element() {
		t.Error("calls after an error do not all fail with it")
	}
}

func TestAllowNaN(t *testing.T) {
	t.Parallel()
	text := []byte(`[NaN,Infinity,-Infinity,-1]`)
	s := jsonscan.New(text)
	s.AllowNaN = true
	s.Array()
	var got []float64
	for s.Element() {
		n, _ := s.Number()
		got = append(got, n.Float+float64(n.Int))
	}
	if err := s.End(); err != nil || fmt.Sprint(got) != "[NaN +Inf -Inf -1]" {
		t.Errorf("got %v, %v", got, err)
	}
	s.Reset(text)
	if span, err := s.Skip(); err != nil || string(span) != string(text) {
		t.Errorf("Skip = %q, %v", span, err)
	}
	for _, bad := range []string{"Nan", "Inf", "-Inf", "-NaN", "Infinit", "[NaN", "I"} {
		s.Reset([]byte(bad))
		if _, err := s.Skip(); err == nil {
			t.Errorf("Skip accepts %q", bad)
		}
		s.Reset([]byte(bad))
		if _, err := s.Number(); err == nil && s.End() == nil {
			t.Errorf("Number accepts %q", bad)
		}
	}
}

func TestNumberOutOfRange(t *testing.T) {
	t.Parallel()
	s := jsonscan.New([]byte(`1e999`))
	if _, err := s.Number(); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
}

func TestAppendCompact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[ 1,\n\t{ \"a b\" : \" \\\" \" } ]": `[1,{"a b":" \" "}]`,
		"[\"\xff\", \"\\\\\"]":               "[\"\uFFFD\",\"\\\\\"]",
		`"`:                                  `"`, // no JSON: gives something, and ends
		`"\`:                                 `"\`,
		"\"a\nb\"":                           "\"a\nb\"",
	} {
		if got := jsonscan.AppendCompact(nil, []byte(text)); string(got) != want {
			t.Errorf("AppendCompact(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzScanner compares with encoding/json. The differences are those that the package
// comment names.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `null`, `[1,2.5,-3e7,"a",true,false,null,{}]`, `{"a":{"b":[{"c":"\u00e9\ud83d\ude00"}]},"a":2}`,
		`{"Item":{"f":{"N":"1.5"}}}`, `[{"f":{"N":"1"},"g":2}, {"f":{"N":"2"},"g":3}]`, "\"\xff\xc3\x28 \\ud800\\udc00 \\ud800x\"", `[[[[]]]]`, `{"a":1e400}`, `[01]`,
		`{"a":1,}`, "\"\x01\"", `"0123456789abcdef\n0123456789"`, `12345678901234567890`, `-`, `{"":{"":""}}`, `[1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := jsonscan.New(data)
		span, err := s.Skip()
		if err == nil {
			err = s.End()
		}
		if tooDeep(err) {
			return
		}
		if valid := json.Valid(data); valid != (err == nil) {
			t.Fatalf("Skip of %q: %v, json.Valid says %v", data, err, valid)
		}
		if err != nil {
			s.Reset(data)
			readLike(t, &s, new([][]byte))
			if s.End() == nil {
				t.Fatalf("%q can be read by guessing, but not skipped: %v", data, err)
			}
		}
		s.Reset(data)
		got := read(&s)
		if err != nil {
			if s.End() == nil {
				t.Fatalf("%q can be read, but not skipped: %v", data, err)
			}
			return
		}
		if err := s.End(); err != nil {
			if !strings.Contains(err.Error(), "too large") {
				t.Fatalf("reading %q: %v", data, err)
			}
			return
		}
		compare(t, data, got)
		s.Reset(data)
		if like := readLike(t, &s, new([][]byte)); s.End() != nil || !reflect.DeepEqual(like, got) {
			t.Fatalf("%q read by guessing: %v, want %v", data, like, got)
		}
		compact := jsonscan.AppendCompact(nil, span)
		s.Reset(compact)
		if again := read(&s); s.End() != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("compacted %q to %q", data, compact)
		}
	})
}

func compare(t *testing.T, data []byte, got any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	var want any
	if err := decoder.Decode(&want); err != nil {
		t.Fatalf("%q: encoding/json: %v", data, err)
	}
	if want = withNumbers(want); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\ngot  %#v\nwant %#v", data, got, want)
	}
}

func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := jsonscan.ParseNumber([]byte(v))
		return n
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = withNumbers(v[key])
		}
	}
	return v
}

func tooDeep(err error) bool { return err != nil && strings.Contains(err.Error(), "deep") }
