package dynamodb

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox/values"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// job parses a run file with the families credit, sms, "a", "a#b" and geo; geo has a
// table of its own and other is not cached.
func job(t testing.TB, dynamodb string) *runfile.File {
	t.Helper()
	f, err := runfile.Parse("run.yaml", []byte(`
run: demo
families: [{id: credit}, {id: sms}, {id: a}, {id: "a#b"}, {id: geo, table: places}, {id: other, cached: false}]
feature_service: {url: "http://127.0.0.1:1"}
dynamodb: `+dynamodb))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const byUser = `{table: features, partition_key: {name: user_id, value: "{user_id}"}, sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}`

func newSynth(t testing.TB, f *runfile.File, cfg SynthConfig) *Synth {
	t.Helper()
	y, err := NewSynth(f, "features", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// What the templates make of a cell the matcher must find again.
func TestMatcherInvertsTemplates(t *testing.T) {
	const second, milli = int64(1738324800000), int64(1738324800123)
	for _, templates := range [][2]string{
		{"{user_id}", "{family}#{pitc_timestamp}"},
		{"{user_id}#{family}", "{pitc_timestamp_ms}"},
		{"{family}/{user_id}/{pitc_timestamp}", ""},
		{"{pitc_date}|{user_id}|{family}|{user_id}", "{pitc_timestamp}"},
		{"v1:{user_id}:{pitc_timestamp_ms}:{family}", "fixed"},
		{"{family}", "{pitc_timestamp}{user_id}"},
		{"{user_id}", "{family}"},
		{"{family}#{pitc_date}", "{user_id}"},
		{"{pitc_timestamp}{pitc_date}", "{family}#{user_id}"},
	} {
		spec := fmt.Sprintf(`{table: features, partition_key: {name: pk, value: %q}`, templates[0])
		if templates[1] != "" {
			spec += fmt.Sprintf(`, sort_key: {name: sk, value: %q}`, templates[1])
		}
		f := job(t, spec+"}")
		y := newSynth(t, f, SynthConfig{HitRatio: 1, FeaturesPerFamily: 3})
		for _, user := range []string{"u1", "a#b", "12", "#", "é\n|:", "2025-01-31", "a#"} {
			for _, family := range []string{"credit", "sms", "a", "a#b"} {
				for _, ms := range []int64{second, milli, 0, -1} {
					partition := string(f.DynamoDB.PartitionKey.Value.Append(nil, user, family, ms))
					sort := ""
					if f.DynamoDB.SortKey != nil {
						sort = string(f.DynamoDB.SortKey.Value.Append(nil, user, family, ms))
					}
					got, ok := y.matcher.match(partition, sort)
					if !ok {
						t.Fatalf("%v: %q, %q is not matched", templates, partition, sort)
					}
					// Ambiguous keys may be read otherwise, if they give the same key again.
					again := string(f.DynamoDB.PartitionKey.Value.Append(nil, got.userID, got.family.ID, got.time))
					if again != partition {
						t.Fatalf("%v: %q is read as %+v", templates, partition, got)
					}
					if !strings.Contains(partition+sort, "#") && (got.userID != user || got.family.ID != family || got.time != KeyTime(f.DynamoDB, ms)) {
						t.Fatalf("%v: %q, %q is read as %q %s %d", templates, partition, sort, got.userID, got.family.ID, got.time)
					}
				}
			}
		}
		for _, other := range []string{"", "x", "u1#nothing", "credit", strings.Repeat("#", 1000)} {
			if c, ok := y.matcher.match(other, "nothing"); ok {
				t.Errorf("%v: %q is read as %+v", templates, other, c)
			}
		}
	}
}

func TestKeyTime(t *testing.T) {
	for sort, want := range map[string]int64{
		"{family}#{pitc_timestamp}":             1738324800123,
		"{family}#{pitc_timestamp_ms}":          1738324800123,
		"{family}#{pitc_date}":                  1738281600000,
		"{pitc_date}#{family}#{pitc_timestamp}": 1738324800123,
		"{family}":                              0,
	} {
		f := job(t, fmt.Sprintf(`{table: features, partition_key: {name: pk, value: "{user_id}"}, sort_key: {name: sk, value: %q}}`, sort))
		if got := KeyTime(f.DynamoDB, 1738324800123); got != want {
			t.Errorf("%s carries %d, want %d", sort, got, want)
		}
	}
}

func TestHitsFollowTheRatio(t *testing.T) {
	f := job(t, byUser+"}")
	y := newSynth(t, f, SynthConfig{HitRatio: 0.8})
	hits := 0
	for u := range 5000 {
		user := strconv.Itoa(u)
		if y.Hit(user, "credit", int64(u)*1000) {
			hits++
		}
		if y.Hit(user, "credit", int64(u)*1000) != Hit(0.8, user, "credit", int64(u)*1000) {
			t.Fatal("the two ways to ask for a hit differ")
		}
		if !Hit(1, user, "credit", 0) || Hit(0, user, "credit", 0) {
			t.Fatal("a ratio of 1 or 0 is not kept")
		}
	}
	if hits < 3900 || hits > 4100 {
		t.Errorf("%d hits of 5000", hits)
	}
	if y.Hit("u", "other", 0) || y.Hit("u", "geo", 0) || y.Hit("u", "nothing", 0) {
		t.Error("a family of another table or of none is a hit")
	}
}

// itemOf gives the item of a cell.
func itemOf(t *testing.T, y *Synth, user, family string, ms int64) (map[string]map[string]json.RawMessage, bool) {
	t.Helper()
	sort := ""
	if y.db.SortKey != nil {
		sort = string(y.db.SortKey.Value.Append(nil, user, family, ms))
	}
	text, size, ok := y.appendItem(nil, string(y.db.PartitionKey.Value.Append(nil, user, family, ms)), sort)
	if !ok {
		return nil, false
	}
	var item map[string]map[string]json.RawMessage
	if err := json.Unmarshal(text, &item); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	a := attributes{}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	exact, err := a.size()
	if err != nil {
		t.Fatal(err)
	}
	if size < exact/2 || size > 2*exact+200 {
		t.Errorf("size %d of %s is estimated as %d", exact, text, size)
	}
	return item, true
}

// textOf gives the value of an N or S attribute.
func textOf(t *testing.T, a map[string]json.RawMessage, tag string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal(a[tag], &s); err != nil {
		t.Fatalf("%v is no %s", a, tag)
	}
	return s
}

func TestItemsHoldTheFormula(t *testing.T) {
	const user, ms, n = "u\"1", int64(1738324800123), 60
	want := map[string]values.V{}
	for _, name := range values.Features("credit", n) {
		want[name] = values.Value(user, ms, "credit", name)
	}
	for layout, features := range map[string]func(map[string]map[string]json.RawMessage) map[string]map[string]json.RawMessage{
		"attributes": func(i map[string]map[string]json.RawMessage) map[string]map[string]json.RawMessage {
			delete(i, "user_id")
			delete(i, "feature_key")
			return i
		},
		"map:f": func(i map[string]map[string]json.RawMessage) map[string]map[string]json.RawMessage {
			var m map[string]map[string]json.RawMessage
			if err := json.Unmarshal(i["f"]["M"], &m); err != nil {
				t.Error(err)
			}
			return m
		},
	} {
		y := newSynth(t, job(t, byUser+", layout: "+layout+"}"), SynthConfig{HitRatio: 1, FeaturesPerFamily: n})
		item, ok := itemOf(t, y, user, "credit", ms)
		if !ok {
			t.Fatalf("%s: no item", layout)
		}
		if got := textOf(t, item["user_id"], "S"); got != user {
			t.Errorf("user %q", got)
		}
		got := features(item)
		if len(got) != n {
			t.Errorf("%s: %d features", layout, len(got))
		}
		for name, v := range want {
			if v.Kind == values.Int64 && textOf(t, got[name], "N") != v.String() || v.Kind == values.String && textOf(t, got[name], "S") != v.Text {
				t.Errorf("%s: %s is %v, want %v", layout, name, got[name], v)
			}
		}
	}
}

func TestJSONLayout(t *testing.T) {
	y := newSynth(t, job(t, byUser+", layout: json:doc}"), SynthConfig{HitRatio: 1, FeaturesPerFamily: 200})
	for u := range 20 {
		user := strconv.Itoa(u)
		item, ok := itemOf(t, y, user, "sms", 5000)
		if !ok || len(item) != 3 {
			t.Fatalf("item %v", item)
		}
		text := textOf(t, item["doc"], "S")
		family, row, ok := y.Row(user, "sms", 5000)
		if want := "{" + string(family.Append(nil, row, values.PlainJSON)) + "}"; !ok || text != want {
			t.Fatalf("document %s, want %s", text, want)
		}
	}
}

func TestTimeToLiveAndExcluded(t *testing.T) {
	f := job(t, byUser+", ttl: expires, exclude: [updated_at]}")
	y := newSynth(t, f, SynthConfig{HitRatio: 0.9, ExpiredRatio: 0.5, FeaturesPerFamily: 2})
	counts := map[string]int{}
	for u := range 2000 {
		user := strconv.Itoa(u)
		item, ok := itemOf(t, y, user, "credit", 0)
		expired := ok && textOf(t, item["expires"], "N") == "1577836800"
		if y.Hit(user, "credit", 0) != (ok && !expired) {
			t.Fatalf("user %s: item %v, expired %v, but Hit says otherwise", user, ok, expired)
		}
		if ok && (item["updated_at"] == nil || len(item) != 6) {
			t.Fatalf("item %v", item)
		}
		counts[fmt.Sprint(ok, expired)]++
	}
	if counts["false false"] < 100 || counts["true true"] < 800 || counts["true false"] < 800 {
		t.Errorf("missing, expired and live items: %v", counts)
	}
}

// Where keys carry no family, the table has the items of its one family; where they
// carry no time, a user's points in time share them.
func TestKeysThatSayLittle(t *testing.T) {
	f, err := runfile.Parse("run.yaml", []byte(`
run: demo
families: [{id: geo}]
dynamodb: {table: places, partition_key: {name: id, type: N, value: "{user_id}"}}
feature_service: {url: "http://127.0.0.1:1"}`))
	if err != nil {
		t.Fatal(err)
	}
	y, err := NewSynth(f, "places", SynthConfig{HitRatio: 1, FeaturesPerFamily: 2})
	if err != nil {
		t.Fatal(err)
	}
	item, ok := itemOf(t, y, "42", "geo", 99)
	if !ok || textOf(t, item["id"], "N") != "42" || !y.Hit("42", "geo", 1) {
		t.Fatalf("item %v", item)
	}
	family, row, _ := y.Row("42", "geo", 12345)
	for name, v := range family.All(row) {
		if v != values.Value("42", 0, "geo", name) {
			t.Errorf("%s does not follow from time 0", name)
		}
	}
}

func TestSynthsThatCannotBe(t *testing.T) {
	if _, err := NewSynth(job(t, byUser+"}"), "nothing", SynthConfig{}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a table of no family: %v", err)
	}
	s := New(Config{})
	if err := s.CreateTables(job(t, byUser+"}"), 0, SynthConfig{HitRatio: 1.5}); err == nil {
		t.Error("a hit ratio of 1.5 is taken")
	}
	if err := s.CreateTables(&runfile.File{}, 0, SynthConfig{}); err != nil {
		t.Errorf("a run without DynamoDB: %v", err)
	}
	if err := s.SetSynth("nothing", nil); err == nil {
		t.Error("an unknown table is given items")
	}
}
