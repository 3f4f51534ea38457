package answer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/work"
)

func TestValues(t *testing.T) {
	const attributes, mapped, jsonText = runfile.LayoutAttributes, runfile.LayoutMap, runfile.LayoutJSON
	tests := []struct {
		name   string
		layout runfile.Layout
		item   string // its members beside the key
		want   string // its features; "bad: …" if it cannot be decoded
	}{
		{"integers", attributes, `"a":{"N":"1"},"b":{"N":"-9223372036854775808"},"c":{"N":"0"}`, "a:int64(1) b:int64(-9223372036854775808) c:int64(0)"},
		{"doubles", attributes, `"a":{"N":"1.5"},"b":{"N":"9223372036854775808"},"c":{"N":"1E+2"}`, "a:double(1.5) b:double(9223372036854776000) c:double(100)"},
		{"strings", attributes, `"a":{"S":"x"},"b":{"S":""},"c":{"S":"tab\t \"quote\" \u00fc \ud83d\ude00"}`, "a:string(x) b:string() c:string(tab\t \"quote\" ü 😀)"},
		{"bools and nulls", attributes, `"a":{"BOOL":true},"b":{"BOOL":false},"c":{"NULL":true}`, "a:bool(true) b:bool(false) c:null"},
		{"binary", attributes, `"a":{"B":"aGk="}`, `a:json("aGk=")`},
		{"sets", attributes, `"a":{"SS":["x","y\"z"]},"b":{"NS":["1","2.50"]},"c":{"BS":["aGk="]}`, `a:json(["x","y\"z"]) b:json([1,2.50]) c:json(["aGk="])`},
		{"list", attributes, `"a":{"L":[{"N":"1"},{"S":"x\n"},{"BOOL":true},{"NULL":true},{"L":[]},{"M":{}}]}`, `a:json([1,"x\u000a",true,null,[],{}])`},
		{"map in another order", attributes, `"a":{"M":{"l":{"M":{"z":{"N":"1"},"m":{"SS":["t","s"]}}},"k":{"NULL":true},"ka":{"L":[{"N":"2"},{"N":"1"}]}}}`, `a:json({"k":null,"ka":[2,1],"l":{"m":["s","t"],"z":1}})`},
		{"map", attributes, `"a":{"M":{"k\"":{"N":"-0.5"},"l":{"M":{"m":{"SS":["s"]}}}}}`, `a:json({"k\"":-0.5,"l":{"m":["s"]}})`},
		{"feature name with escapes", attributes, `"a\"b":{"N":"1"}`, `a"b:int64(1)`},
		{"white space", attributes, "\n \"a\" : { \"N\" : \"1\" } ", "a:int64(1)"},
		{"key only", attributes, ``, ""},
		{"no number", attributes, `"a":{"N":"one"}`, `bad: attribute "a": "one" is no number`},
		{"number outside of quotes", attributes, `"a":{"N":1}`, `bad: attribute "a": JSON at byte`},
		{"number too large", attributes, `"a":{"N":"1e999"}`, `bad: attribute "a": "1e999" is no number`},
		{"number in a set", attributes, `"a":{"NS":["x"]}`, `bad: attribute "a": it has a number that is none`},
		{"unknown type", attributes, `"a":{"X":"1"}`, `bad: attribute "a": "X" is no type of DynamoDB`},
		{"no type", attributes, `"a":{}`, `bad: attribute "a": it has no value`},
		{"no type in a list", attributes, `"a":{"L":[{}]}`, `bad: attribute "a": it has no value`},
		{"two types", attributes, `"a":{"N":"1","S":"x"}`, `bad: attribute "a": it has more than one value`},
		{"value that is no object", attributes, `"a":5`, `bad: attribute "a": JSON at byte`},
		{"nests too deeply", attributes, `"a":` + strings.Repeat(`{"L":[`, 70) + strings.Repeat(`]}`, 70), `bad: attribute "a": its lists and maps nest more than 64 deep`},

		{"features in a map", mapped, `"features":{"M":{"a":{"N":"1"},"b":{"S":"x"}}},"beside":{"N":"9"}`, "a:int64(1) b:string(x)"},
		{"map with the names of keys", mapped, `"features":{"M":{"pk":{"S":"x"}}}`, "pk:string(x)"},
		{"empty map", mapped, `"features":{"M":{}}`, ""},
		{"key only, map", mapped, ``, ""},
		{"map missing", mapped, `"beside":{"N":"9"}`, `bad: it has no attribute "features", which is to hold the features`},
		{"map of another type", mapped, `"features":{"S":"{}"}`, `bad: attribute "features": its type is S; the layout is map:features`},
		{"map that is none", mapped, `"features":{"M":"x"}`, `bad: attribute "features": JSON at byte`},
		{"bad entry of a map", mapped, `"features":{"M":{"a":{"N":"x"}}}`, `bad: attribute "features": entry "a": "x" is no number`},
		{"map without a type", mapped, `"features":{}`, `bad: attribute "features": it has no value`},

		{"features in JSON", jsonText, `"features":{"S":"{\"a\": 1, \"b\":1.5,\"c\":\"x\\\"y\\u00fc\",\"d\":true,\"e\":null}"}`, `a:int64(1) b:double(1.5) c:string(x"yü) d:bool(true) e:null`},
		{"arrays and objects in JSON", jsonText, `"features":{"S":"{\"a\": [1, {\"x\": 2}], \"b\":{\"y\" : []}}"}`, `a:json([1,{"x":2}]) b:json({"y":[]})`},
		{"what Python writes", jsonText, `"features":{"S":"{\"a\":NaN,\"b\":Infinity,\"c\":-Infinity}"}`, "a:double(NaN) b:double(Infinity) c:double(-Infinity)"},
		{"empty object", jsonText, `"features":{"S":"{}"}`, ""},
		{"key only, JSON", jsonText, ``, ""},
		{"JSON missing", jsonText, `"beside":{"N":"9"}`, `bad: it has no attribute "features"`},
		{"JSON of another type", jsonText, `"features":{"M":{}}`, `bad: attribute "features": its type is M; the layout is json:features`},
		{"no JSON", jsonText, `"features":{"S":"oops"}`, `bad: attribute "features": JSON at byte 0`},
		{"JSON that is no object", jsonText, `"features":{"S":"[1]"}`, `bad: attribute "features": JSON at byte 0: want an object, found an array`},
		{"JSON with more behind it", jsonText, `"features":{"S":"{} x"}`, `bad: attribute "features": JSON at byte 3`},
		{"empty text", jsonText, `"features":{"S":""}`, `bad: attribute "features": JSON at byte 0`},
		{"feature twice in JSON", jsonText, `"features":{"S":"{\"a\":1,\"b\":1,\"a\":null}"}`, `bad: it has a feature twice`},
		{"bad number in JSON", jsonText, `"features":{"S":"{\"a\":01}"}`, `bad: attribute "features":`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := map[runfile.Layout]string{
				attributes: `"z":{"N":"7"}`, mapped: `"features":{"M":{"z":{"N":"7"}}}`, jsonText: `"features":{"S":"{\"z\":7}"}`,
			}[tt.layout]
			l := newLookUp(t, runFile(t, 1, tt.layout), "u1", "u2")
			item := key("u1", "f0")
			if tt.item != "" {
				item += "," + tt.item
			}
			if err := l.scan(responses("{"+item+"}", "{"+good+","+key("u2", "f0")+"}")); err != nil {
				t.Fatal(err)
			}
			if reason, ok := strings.CutPrefix(tt.want, "bad: "); ok {
				l.wantRows("u2/f0{z:int64(7)}")
				if l.states() != "fh" || len(l.result.Bad) != 1 || l.result.Bad[0].Code != failure.BadItem {
					t.Fatalf("states are %s, bad are %v", l.states(), l.result.Bad)
				}
				if got, want := l.result.Bad[0].Err.Error(), `the item pk="u1", sk="f0": `+reason; !strings.HasPrefix(got, want) {
					t.Errorf("the error is %q, want %q", got, want)
				}
				return
			}
			// Features of the other item are null here.
			want := []string{"z:null"}
			if tt.want != "" {
				want = append(strings.SplitAfter(tt.want, ") "), want...)
			}
			got := l.rows()[0]
			for _, w := range want {
				if !strings.Contains(got, strings.TrimSpace(w)) {
					t.Errorf("row is %s, want %s in it", got, w)
				}
			}
			if n := strings.Count(got, ":"); tt.want == "" && n != 1 {
				t.Errorf("row is %s, want nulls only", got)
			}
			if l.states() != "hh" {
				t.Errorf("states are %s, want two hits", l.states())
			}
		})
	}
}

func TestWhatIsNotReturnedIsMissing(t *testing.T) {
	l := newLookUp(t, runFile(t, 1, runfile.LayoutAttributes), "u1", "u2", "u3")
	body := `{"ConsumedCapacity":[{"TableName":"t","CapacityUnits":1.5},{"CapacityUnits":2}],
		"UnprocessedKeys":{"t":{"ConsistentRead":false,"Keys":[{` + key("u3", "f0") + `}]}},
		"Responses":{"t":[{"a":{"N":"1"},` + key("u2", "f0") + `}]}}`
	if err := l.scan(body); err != nil {
		t.Fatal(err)
	}
	l.wantRows("u2/f0{a:int64(1)}")
	if l.states() != "mhp" {
		t.Errorf("states are %s", l.states())
	}
	if want := []int32{2}; !slices.Equal(l.result.Unprocessed, want) {
		t.Errorf("unprocessed are %v, want %v", l.result.Unprocessed, want)
	}
	if l.result.Units != 3.5 || l.result.Settled != 2 {
		t.Errorf("result is %+v", l.result)
	}
	if err := l.scanFor(responses(), l.result.Unprocessed); err != nil {
		t.Fatal(err)
	}
	if l.states() != "mhm" {
		t.Errorf("states are %s after the second answer", l.states())
	}
}

func TestAnswersThatCannotBeBelieved(t *testing.T) {
	one := "{" + key("u1", "f0") + `,"a":{"N":"1"}}`
	tests := []struct{ name, body, want, states string }{
		{"empty", ``, "want an object", "pp"},
		{"no members", `{}`, "no member Responses", "pp"},
		{"cut off", `{"Responses":{"t":[` + one, "JSON at byte", "hp"},
		{"cut off in an item", `{"Responses":{"t":[` + one + `,{"a":{"N`, "JSON at byte", "hp"},
		{"more behind it", responses(one) + "x", "something follows", "hp"},
		{"item that was not asked for", responses(one, "{"+key("u9", "f0")+"}"), `the item pk="u9", sk="f0", which was not asked for`, "hp"},
		{"item twice", responses(one, one), `answers the item pk="u1", sk="f0" twice`, "hp"},
		{"item and unprocessed", `{"Responses":{"t":[` + one + `]},"UnprocessedKeys":{"t":{"Keys":[{` + key("u1", "f0") + `}]}}}`, "twice", "hp"},
		{"unprocessed that was not asked for", `{"Responses":{},"UnprocessedKeys":{"t":{"Keys":[{` + key("u9", "f0") + `}]}}}`, "not asked for", "pp"},
		{"item without its partition key", responses(`{"sk":{"S":"f0"}}`), `no proper key attribute "pk"`, "pp"},
		{"item without its sort key", responses(`{"pk":{"S":"u1"},"sk":{}}`), `no proper key attribute "sk"`, "pp"},
		{"key of another type", responses(`{"pk":{"N":"1"},"sk":{"S":"f0"}}`), `no proper key attribute "pk"`, "pp"},
		{"bad item without a key", responses(`{"a":{"N":"x"}}`), `no proper key attribute "pk"`, "pp"},
		{"items that are no array", `{"Responses":{"t":{}}}`, "want an array", "pp"},
		{"item that is no object", responses(`5`), "want an object", "pp"},
	}
	for _, tt := range tests {
		// The second cell is of another user, or of another family.
		for _, families := range []int{1, 2} {
			t.Run(fmt.Sprint(tt.name, ", families ", families), func(t *testing.T) {
				users := []string{"u1", "u2"}[:3-families]
				l := newLookUp(t, runFile(t, families, runfile.LayoutAttributes), users...)
				err := l.scan(tt.body)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "answer of BatchGetItem: ") {
					t.Errorf("error is %v, want %q", err, tt.want)
				}
				if l.states() != tt.states {
					t.Errorf("states are %s, want %s: what was read before the error is a hit, nothing is a miss", l.states(), tt.states)
				}
				if hits := strings.Count(tt.states, "h"); len(l.rows()) != hits {
					t.Errorf("rows are %v, want %d", l.rows(), hits)
				}
			})
		}
	}
}

func TestKeysWithEscapes(t *testing.T) {
	user := "a\"b\\c\nü😀"
	for _, families := range []int{1, 2} {
		l := newLookUp(t, runFile(t, families, runfile.LayoutAttributes), user)
		item := `{"x":{"N":"1"},"pk":{"S":"a\"b\\c\n\u00fc\ud83d\ude00"},"sk":{"S":"\u0066\u0030"}}`
		if err := l.scan(responses(item)); err != nil {
			t.Fatal(err)
		}
		l.wantRows(user + "/f0{x:int64(1)}")
	}
}

func TestNumericKeys(t *testing.T) {
	f := runFile(t, 1, runfile.LayoutAttributes)
	f.DynamoDB.PartitionKey.Type = "N"
	l := newLookUp(t, f, "007", "-1.50", "1e3")
	if err := l.scan(responses(
		`{"pk":{"N":"1000"},"sk":{"S":"f0"}}`, `{"pk":{"N":"7"},"sk":{"S":"f0"}}`, `{"pk":{"N":"-1.5"},"sk":{"S":"f0"}}`)); err != nil {
		t.Fatal(err)
	}
	l.wantRows("1e3/f0{}", "007/f0{}", "-1.50/f0{}")
}

func TestTableWithoutASortKey(t *testing.T) {
	f := runFile(t, 1, runfile.LayoutAttributes)
	f.DynamoDB.SortKey = nil
	l := newLookUp(t, f, "u1")
	if err := l.scan(responses(`{"pk":{"S":"u1"},"sk":{"S":"a feature"},"a":{"N":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	if len(l.result.Bad) != 1 || !strings.HasPrefix(l.result.Bad[0].Err.Error(), `the item pk="u1": `) {
		t.Errorf("bad are %v", l.result.Bad)
	}
}

func TestOneItemServesAllSamplesOfItsKey(t *testing.T) {
	for _, families := range []int{1, 2} {
		l := newLookUp(t, runFile(t, families, runfile.LayoutAttributes), "u1", "u1", "u1")
		if err := l.scan(responses("{" + key("u1", "f0") + `,"a":{"S":"x"}}`)); err != nil {
			t.Fatal(err)
		}
		l.wantRows("u1/f0{a:string(x)}", "u1/f0{a:string(x)}", "u1/f0{a:string(x)}")
		if want := strings.Repeat([]string{"h", "hm"}[families-1], 3); l.states() != want {
			t.Errorf("states are %s, want %s", l.states(), want)
		}
	}
}

func TestOneItemServesTwoFamiliesOfItsKey(t *testing.T) {
	f := runFile(t, 2, runfile.LayoutAttributes)
	f.DynamoDB.SortKey.Value = template(t, "x")
	l := newLookUp(t, f, "u1")
	if err := l.scan(responses(`{"pk":{"S":"u1"},"sk":{"S":"x"},"a":{"N":"1"}}`)); err != nil {
		t.Fatal(err)
	}
	rows := l.rows()
	slices.Sort(rows)
	if want := []string{"u1/f0{a:int64(1)}", "u1/f1{a:int64(1)}"}; !slices.Equal(rows, want) {
		t.Errorf("rows are %v, want %v", rows, want)
	}
}

func TestExcludedAttributes(t *testing.T) {
	for layout, features := range map[runfile.Layout]string{
		runfile.LayoutAttributes: `"a":{"N":"1"},"updated_at":{"X":"not even read"},"by":{"S":"x"}`,
		runfile.LayoutMap:        `"features":{"M":{"a":{"N":"1"},"by":{"S":"x"}}},"updated_at":{"S":"x"}`,
		runfile.LayoutJSON:       `"features":{"S":"{\"by\":1,\"a\":1}"},"updated_at":{"S":"x"}`,
	} {
		f := runFile(t, 1, layout)
		f.DynamoDB.Exclude = []string{"updated_at", "by"}
		l := newLookUp(t, f, "u1")
		if err := l.scan(responses("{" + features + "," + key("u1", "f0") + "}")); err != nil {
			t.Fatal(err)
		}
		l.wantRows("u1/f0{a:int64(1)}")
	}
}

// A builder serves one run after the other, and what is a feature to one is none to the next.
func TestANameExcludedAfterARunThatHadIt(t *testing.T) {
	for layout, features := range map[runfile.Layout]string{
		runfile.LayoutAttributes: `"by":{"N":"2"},"a":{"N":"1"}`,
		runfile.LayoutMap:        `"features":{"M":{"by":{"N":"2"},"a":{"N":"1"}}}`,
		runfile.LayoutJSON:       `"features":{"S":"{\"by\":2,\"a\":1}"}`,
	} {
		f := runFile(t, 1, layout)
		first := newLookUp(t, f, "u1")
		body := responses("{" + features + "," + key("u1", "f0") + "}")
		if err := first.scan(body); err != nil {
			t.Fatal(err)
		}
		first.wantRows("u1/f0{a:int64(1) by:int64(2)}")
		first.builder.Reset()
		f.DynamoDB.Exclude = []string{"by"}
		next := newLookUp(t, f, "u1")
		next.builder = first.builder
		if err := next.scan(body); err != nil {
			t.Fatal(err)
		}
		next.wantRows("u1/f0{a:int64(1)}")
	}
}

func TestExpiredItemsAreMissing(t *testing.T) {
	tests := []struct {
		name, members, states string
	}{
		{"past", `"ttl":{"N":"1699999999"},"a":{"N":"1"}`, "mm"},
		{"past, behind the features", `"a":{"N":"1"},"ttl":{"N":"1699999999"}`, "mm"},
		{"past, with a fraction", `"ttl":{"N":"1699999999.5"}`, "mm"},
		{"now", `"ttl":{"N":"1700000000"}`, "hm"},
		{"future", `"a":{"N":"1"},"ttl":{"N":"1700000001"}`, "hm"},
		{"none", `"a":{"N":"1"}`, "hm"},
		{"no number", `"ttl":{"S":"1"}`, "hm"},
		{"past, and bad before its ttl", `"a":{"N":"x"},"ttl":{"N":"1"}`, "mm"},
		{"future, and bad", `"a":{"N":"x"},"ttl":{"N":"1700000001"}`, "fm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, families := range []int{1, 2} {
				f := runFile(t, families, runfile.LayoutAttributes)
				f.DynamoDB.TTL = "ttl"
				users := []string{"u1", "u2"}[:3-families]
				l := newLookUp(t, f, users...)
				if err := l.scan(responses("{" + tt.members + "," + key("u1", "f0") + "}")); err != nil {
					t.Fatal(err)
				}
				if l.states() != tt.states {
					t.Errorf("states are %s, want %s", l.states(), tt.states)
				}
				for _, row := range l.rows() {
					if strings.Contains(row, "ttl") {
						t.Errorf("row %s has the ttl", row)
					}
				}
			}
		})
	}
}

func TestLargeAnswersAreSeveralMessages(t *testing.T) {
	var users, items []string
	for i := range 40 {
		users = append(users, fmt.Sprint("u", i))
		items = append(items, "{"+key(fmt.Sprint("u", i), "f0")+`,"a":{"S":"`+strings.Repeat("x", 50_000)+`"}}`)
	}
	for _, families := range []int{1, 2} {
		l := newLookUp(t, runFile(t, families, runfile.LayoutAttributes), users...)
		rows, largest := 0, 0
		if err := l.scanInto(responses(items...), func(size, n int) { rows += n; largest = max(largest, size) }); err != nil {
			t.Fatal(err)
		}
		if rows != 40 || strings.Count(l.states(), "h") != 40 {
			t.Errorf("%d rows, states are %s", rows, l.states())
		}
		if l.emits < 4 || largest > work.MaxCellBytes {
			t.Errorf("%d messages, the largest has %d bytes", l.emits, largest)
		}
	}
}

func TestACellThatIsTooLarge(t *testing.T) {
	for _, families := range []int{1, 2} {
		l := newLookUp(t, runFile(t, families, runfile.LayoutAttributes), []string{"u1", "u2"}[:3-families]...)
		large := "{" + key("u1", "f0") + `,"a":{"S":"` + strings.Repeat("x", work.MaxCellBytes) + `"}}`
		if err := l.scan(responses(large)); err != nil {
			t.Fatal(err)
		}
		if l.states() != "fm" || len(l.result.Bad) != 1 || l.result.Bad[0].Code != failure.TooLarge {
			t.Errorf("states are %s, bad are %v", l.states(), l.result.Bad)
		}
		if rows := l.rows(); len(rows) > 0 {
			t.Errorf("rows are %.80v", rows)
		}
	}
}

func TestAnEmitterThatFails(t *testing.T) {
	l := newLookUp(t, runFile(t, 1, runfile.LayoutAttributes), "u1", "u2")
	l.emitErr = errors.New("no room")
	if err := l.scan(responses("{" + key("u1", "f0") + "}")); !errors.Is(err, l.emitErr) {
		t.Errorf("error is %v", err)
	}
	if l.states() != "pp" {
		t.Errorf("states are %s: nothing was handed on", l.states())
	}
}
