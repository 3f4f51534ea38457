package record

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/sample"
)

var validator = NewValidator([]string{"credit", "sms", "geo"})

const noon = 1738324800000 // 2025-01-31T12:00:00Z

func TestParseBatch(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, data string
		want                    []Record
	}{
		{"the contract's example", "", `{"records":[{"user_id":"u1","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["credit","sms"],"attributes":{"country":"KE"}}]}`,
			[]Record{{"u1", noon, []string{"credit", "sms"}, json.RawMessage(`{"country":"KE"}`)}}},
		{"integers", "application/json", `{"records":[{"user_id":7,"pitc_timestamp":1738324800001},{"pitc_timestamp":-1,"user_id":123456789012345678901234567890},{"user_id":-0,"pitc_timestamp":0}]}`,
			[]Record{{UserID: "7", EpochMS: noon + 1}, {UserID: "123456789012345678901234567890", EpochMS: -1}, {UserID: "0"}}},
		{"lines", "application/x-ndjson", "\n{\"user_id\":\"a\",\"pitc_timestamp\":1}\r\n\n  {\"user_id\":\"b\",\"pitc_timestamp\":2}",
			[]Record{{UserID: "a", EpochMS: 1}, {UserID: "b", EpochMS: 2}}},
		{"lines, the header with parameters", "Application/X-NDJSON; charset=utf-8", `{"user_id":"a","pitc_timestamp":1}`,
			[]Record{{UserID: "a", EpochMS: 1}}},
		{"white space and escapes", "", " {\n\"records\" : [ { \"user\\u005fid\" : \"\\u00fc\\n\" , \"pitc_timestamp\" : 5 , \"attributes\" : { \"a\" : [ 1 , { } ] } } ] } ",
			[]Record{{UserID: "ü\n", EpochMS: 5, Attributes: json.RawMessage(`{"a":[1,{}]}`)}}},
		{"no records", "", `{"records":[]}`, nil},
		{"the largest user id", "", `{"records":[{"user_id":"` + strings.Repeat("u", 1024) + `","pitc_timestamp":1}]}`,
			[]Record{{UserID: strings.Repeat("u", 1024), EpochMS: 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good, bad, seen, err := ParseBatch([]byte(tc.data), tc.contentType, validator)
			if err != nil || len(bad) > 0 || seen != len(tc.want) {
				t.Fatalf("bad %+v, seen %d, err %v", bad, seen, err)
			}
			if !reflect.DeepEqual(good, tc.want) {
				t.Errorf("got %+v, want %+v", good, tc.want)
			}
		})
	}
}

// TestBadRecords puts each bad record between two good ones.
func TestBadRecords(t *testing.T) {
	member := func(name, value string) string {
		fields := map[string]string{"user_id": `"u"`, "pitc_timestamp": `1`}
		fields[name] = value
		var list []string
		for k, v := range fields {
			list = append(list, fmt.Sprintf("%q:%s", k, v))
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	for _, tc := range []struct{ name, raw, want string }{
		{"no object", `"u1"`, `a record is a JSON object, and this is a string; write {"user_id":`},
		{"null", `null`, "a record is a JSON object"},
		{"empty", `{}`, "user_id: it is missing; give a string or an integer"},
		{"no time", `{"user_id":"u"}`, "pitc_timestamp: it is missing; give a time like 2025-01-31T12:00:00Z"},
		{"unknown field", member("user", `1`), "user: unknown field; a record has user_id, pitc_timestamp, feature_families, attributes"},
		{"field twice", `{"user_id":"u","pitc_timestamp":1,"user_id":"u"}`, "user_id: it is given twice; leave one out"},
		{"families twice", `{"user_id":"u","pitc_timestamp":1,"feature_families":["sms"],"feature_families":["sms"]}`, "feature_families: it is given twice"},
		{"user empty", member("user_id", `""`), "user_id: it is empty; give 1 to 1024 bytes"},
		{"user too long", member("user_id", `"`+strings.Repeat("u", 1025)+`"`), "user_id: it has 1025 bytes; give 1 to 1024"},
		{"user with fraction", member("user_id", `1.0`), "user_id: 1.0 is no integer; give an integer without fraction"},
		{"user with exponent", member("user_id", `1e3`), "user_id: 1e3 is no integer"},
		{"user null", member("user_id", `null`), "user_id: it is null; give a string or an integer"},
		{"user a list", member("user_id", `["u"]`), "user_id: it is an array; give"},
		{"user half a pair", member("user_id", `"a\ud800"`), "user_id: it holds half of a surrogate pair"},
		{"not UTF-8", member("user_id", "\"a\xff\""), "the record is not UTF-8"},
		{"time without zone", member("pitc_timestamp", `"2025-01-31T12:00:00"`), "pitc_timestamp: \"2025-01-31T12:00:00\" has no time zone; write Z or an offset"},
		{"time too fine", member("pitc_timestamp", `"2025-01-31T12:00:00.0001Z"`), "is finer than milliseconds; round it"},
		{"a date", member("pitc_timestamp", `"2025-01-31"`), "is no time; give a time like 2025-01-31T12:00:00Z, or an integer of epoch milliseconds"},
		{"milliseconds in quotes", member("pitc_timestamp", `"1738324800000"`), "is no time; give"},
		{"time with fraction", member("pitc_timestamp", `1.5`), "pitc_timestamp: 1.5 is no integer; give epoch milliseconds"},
		{"nanoseconds", member("pitc_timestamp", `1738324800000000000`), "outside the years 0001 to 9999; give epoch milliseconds, not micro- or nanoseconds"},
		{"beyond int64", member("pitc_timestamp", `99999999999999999999`), "outside the years 0001 to 9999"},
		{"time a bool", member("pitc_timestamp", `true`), "pitc_timestamp: it is a bool; give a time"},
		{"families empty", member("feature_families", `[]`), "feature_families: the list is empty; name a family at least, or leave the field out"},
		{"family unknown", member("feature_families", `["credit","crdit"]`), `feature_families: "crdit" is no family of this run; add it to the run file, or leave it out`},
		{"family repeated", member("feature_families", `["sms","sms"]`), `feature_families: "sms" is named twice; leave one out`},
		{"families null", member("feature_families", `null`), "feature_families: it is null; give a list of family ids, or leave it out"},
		{"families text", member("feature_families", `"credit"`), "feature_families: it is a string; give a list"},
		{"family a number", member("feature_families", `["sms",1]`), "feature_families: item 2 is a number; give family ids as strings"},
		{"attributes text", member("attributes", `"x"`), "attributes: it is a string; give an object, or leave it out"},
		{"attributes null", member("attributes", `null`), "attributes: it is null; give an object"},
		{"attributes too large", member("attributes", `{"a":"`+strings.Repeat("x", 64<<10)+`"}`), "attributes: it has 65544 bytes; the most is 65536"},
		{"attribute twice", member("attributes", `{"a":1,"b":2,"\u0061":1}`), `attributes: the key "a" is given twice; leave one out`},
		{"attribute twice inside", member("attributes", `{"a":[{"b":{"c":1,"c":2}}]}`), `attributes: the key "c" is given twice`},
		{"attribute twice of many", member("attributes", `{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"3":0}`), `attributes: the key "3" is given twice`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, after := `{"user_id":"before","pitc_timestamp":1}`, `{"user_id":"after","pitc_timestamp":1}`
			for _, form := range []struct{ contentType, data string }{
				{"", `{"records":[` + before + "," + tc.raw + "," + after + "]}"},
				{NDJSON, before + "\n" + tc.raw + "\n" + after + "\n"},
			} {
				good, bad, seen, err := ParseBatch([]byte(form.data), form.contentType, validator)
				if err != nil || seen != 3 || len(good) != 2 || good[0].UserID != "before" || good[1].UserID != "after" {
					t.Fatalf("%q: good %+v, seen %d, err %v", form.contentType, good, seen, err)
				}
				if len(bad) != 1 || bad[0].Index != 1 || string(bad[0].Raw) != tc.raw || !strings.Contains(bad[0].Reason, tc.want) {
					t.Errorf("bad %+v, want reason %q", bad, tc.want)
				}
				if line := bad[0].Line; form.contentType == NDJSON && line != 2 || form.contentType == "" && line != 0 {
					t.Errorf("line %d", line)
				}
			}
		})
	}
}

func TestBadLine(t *testing.T) {
	data := "{\"user_id\":\"a\",\"pitc_timestamp\":1}\n{\"user_id\":\"b\"\n{\"user_id\":\"c\",\"pitc_timestamp\":1} x\n"
	good, bad, seen, err := ParseBatch([]byte(data), NDJSON, validator)
	if err != nil || len(good) != 1 || seen != 3 || len(bad) != 2 {
		t.Fatalf("good %+v, bad %+v, seen %d, err %v", good, bad, seen, err)
	}
	for i, b := range bad {
		if b.Line != i+2 || !strings.Contains(b.Reason, "no valid JSON at byte") || !strings.Contains(b.Reason, "write one JSON object") {
			t.Errorf("bad %+v", b)
		}
	}
}

func TestBadBatches(t *testing.T) {
	one := `{"user_id":"a","pitc_timestamp":1}`
	for _, tc := range []struct {
		name, contentType, data string
		seen                    int
		want                    string
	}{
		{"empty", "", "", 1, `the text ends; a batch is {"records":[…]}`},
		{"empty lines", NDJSON, "\n\n", 1, "the batch is empty; send one record a line"},
		{"no JSON", "", "hello", 1, `a batch is {"records":[…]}, or one record a line with the header Content-Type`},
		{"a list", "", "[" + one + "]", 1, "found an array; a batch is"},
		{"lines without the header", "", one + "\n" + one, 1, `unknown field "user_id"; a batch is {"records":[…]}, or one record a line with the header`},
		{"no records", "", "{}", 1, "records is missing; a batch is"},
		{"records no list", "", `{"records":{}}`, 1, "want an array, found an object"},
		{"records twice", "", `{"records":[],"records":[]}`, 1, "records is given twice; leave one out"},
		{"more than records", "", `{"records":[` + one + `],"run":"x"}`, 1, `unknown field "run"`},
		{"cut off", "", `{"records":[` + one + "," + one + `,{"user_id":"b"`, 2, "behind 2 whole records"},
		{"something follows", "", `{"records":[` + one + `]}]`, 1, "something follows"},
		{"broken record", "", `{"records":[` + one + `,{"user_id":nil}]}`, 1, "behind 1 whole records"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good, bad, seen, err := ParseBatch([]byte(tc.data), tc.contentType, validator)
			if err == nil || good != nil || bad != nil || seen != tc.seen {
				t.Fatalf("good %+v, bad %+v, seen %d, want %d, err %v", good, bad, seen, tc.seen, err)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q is not in: %v", tc.want, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		r    Record
		want string // "" = good
	}{
		{Record{UserID: "u"}, ""},
		{Record{UserID: "u", EpochMS: MaxEpochMS, Families: []string{"sms"}, Attributes: json.RawMessage(`{"a":1}`)}, ""},
		{Record{}, "user_id: it is empty"},
		{Record{UserID: "\xff"}, "user_id: it is not UTF-8"},
		{Record{UserID: "u", EpochMS: MaxEpochMS + 1}, "pitc_timestamp: it is outside the years"},
		{Record{UserID: "u", EpochMS: MinEpochMS - 1}, "pitc_timestamp: it is outside the years"},
		{Record{UserID: "u", Families: []string{}}, "feature_families: the list is empty"},
		{Record{UserID: "u", Families: []string{"x"}}, `feature_families: "x" is no family`},
		{Record{UserID: "u", Attributes: json.RawMessage(`[]`)}, "attributes: it is an array"},
		{Record{UserID: "u", Attributes: json.RawMessage(`{`)}, "attributes: it is no valid JSON"},
	} {
		err := validator.Check(&tc.r)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%+v: %v, want %q", tc.r, err, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	nairobi, err := time.LoadLocation("Africa/Nairobi")
	if err != nil {
		t.Fatal(err)
	}
	p := NewParser(validator, Names{UserID: "customer", PITCTimestamp: "as_of", Attributes: []string{"country", "age"}, Location: nairobi})
	r, err := p.Parse([]byte(`{"customer":1,"as_of":"2025-01-31 15:00:00","country":"KE","attributes":{"x":[1, 2]},"age":7}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.UserID != "1" || r.EpochMS != noon || string(r.Attributes) != `{"country":"KE","age":7,"x":[1,2]}` {
		t.Errorf("got %+v %s", r, r.Attributes)
	}
	r, err = p.Parse([]byte(`{"customer":1,"as_of":1,"country":null}`))
	if err != nil || string(r.Attributes) != `{"country":null}` {
		t.Errorf("got %s, %v", r.Attributes, err)
	}
	for raw, want := range map[string]string{
		`{"user_id":1,"as_of":1}`:                  "user_id: unknown field; a record has customer, as_of, feature_families, attributes, country, age",
		`{"customer":1}`:                           "as_of: it is missing",
		`{"customer":1,"as_of":1,"age":1,"age":1}`: "age: it is given twice",
		`{"customer":1,"as_of":1,"country":1,"attributes":{"country":1}}`: `attributes: the key "country" is given twice`,
	} {
		if _, err := p.Parse([]byte(raw)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for _, r := range []Record{
		{UserID: "u", EpochMS: noon},
		{UserID: "\"\\\x01ü\u2028<>", EpochMS: MinEpochMS, Families: []string{"sms", "geo"}, Attributes: json.RawMessage(`{"a":"b"}`)},
		{UserID: "7", EpochMS: MaxEpochMS, Families: []string{"sms"}},
	} {
		data := AppendJSON(nil, &r)
		good, _, _, err := ParseBatch(data, NDJSON, validator)
		if err != nil || len(good) != 1 || !reflect.DeepEqual(good[0], r) {
			t.Errorf("%s reads as %+v, %v", data, good, err)
		}
	}
	if r := (Record{UserID: "u", EpochMS: 1}); r.Key() != sample.KeyOf("u", 1) {
		t.Error("another key")
	}
}

func TestAttributesHash(t *testing.T) {
	same := [][2]string{
		{`{"a":1,"b":[true,null]}`, "{ \"b\" : [ true , null ],\n\"a\":1}"},
		{`{"a":"\u0041\/"}`, `{"\u0061":"A/"}`},
		{"", ""},
	}
	for _, pair := range same {
		if !SameAttributes([]byte(pair[0]), []byte(pair[1])) {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	different := []string{"", `{}`, `{"a":1}`, `{"a":"1"}`, `{"a":[1]}`, `{"a":{}}`, `{"a":[]}`, `{"a":null}`, `{"b":1}`,
		`{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":[[1],2]}`, `{"a":[1,[2]]}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"a":1}}`, `{"a":true}`, `{"a":"true"}`}
	for i, a := range different {
		for _, b := range different[i+1:] {
			if SameAttributes([]byte(a), []byte(b)) {
				t.Errorf("%s and %s are the same", a, b)
			}
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"records":[{"user_id":"u1","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["credit","sms"],"attributes":{"country":"KE"}}]}`), false)
	f.Add([]byte("{\"user_id\":1,\"pitc_timestamp\":2}\n{\"user_id\":\"\\ud800\"}\n"), true)
	f.Add([]byte(`{"records":[{"attributes":{"a":[[[{"b":{}}]]]}},7,null]}`), false)
	f.Fuzz(func(t *testing.T, data []byte, lines bool) {
		contentType := ""
		if lines {
			contentType = NDJSON
		}
		good, bad, seen, err := ParseBatch(data, contentType, validator)
		if err != nil {
			if seen < 1 {
				t.Errorf("a bad batch with %d records", seen)
			}
			return
		}
		if len(good)+len(bad) != seen {
			t.Errorf("%d good and %d bad of %d", len(good), len(bad), seen)
		}
		if !lines && !json.Valid(data) {
			t.Errorf("accepted what is no JSON: %q", data)
		}
		for _, b := range bad {
			if b.Reason == "" {
				t.Errorf("no reason for %q", b.Raw)
			}
		}
		for _, r := range good {
			if err := validator.Check(&r); err != nil {
				t.Errorf("a good record is bad: %v", err)
			}
			again, _, _, err := ParseBatch(AppendJSON(nil, &r), NDJSON, validator)
			if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], r) {
				t.Errorf("%+v comes back as %+v, %v", r, again, err)
			}
		}
	})
}

func BenchmarkParseBatch(b *testing.B) {
	var data []byte
	const records = 2000
	data = append(data, `{"records":[`...)
	for i := range records {
		if i > 0 {
			data = append(data, ',')
		}
		data = fmt.Appendf(data, `{"user_id":"user-%d","pitc_timestamp":"2025-01-31T12:00:%02dZ","feature_families":["credit","sms"],"attributes":{"country":"KE"}}`, i, i%60)
	}
	data = append(data, "]}"...)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, bad, seen, err := ParseBatch(data, "", validator); err != nil || len(bad) > 0 || seen != records {
			b.Fatal(bad, seen, err)
		}
	}
}
