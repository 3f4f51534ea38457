package values

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

var update = flag.Bool("update", false, "write the golden file anew")

// The formula may not change between releases: datasets made with one are checked
// with another.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, family := range []string{"credit", "sms", "географ"} {
		for _, name := range Features(family, 30) {
			v := Value("u1", 1738324800000, family, name)
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", family, name, v.Kind, strconv.Quote(v.String()))
		}
	}
	const path = "testdata/values.golden"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("values differ from %s; got\n%s", path, b.String())
	}
}

func TestFeaturesAreUnique(t *testing.T) {
	for _, n := range []int{0, 1, 60, 2000} {
		names := Features("credit", n)
		slices.Sort(names)
		if got := len(slices.Compact(names)); got != n {
			t.Errorf("%d features have %d names", n, got)
		}
	}
	if slices.Equal(Features("credit", 60), Features("sms", 60)) {
		t.Error("two families have the same features")
	}
}

func TestValueDependsOnEverything(t *testing.T) {
	feature := firstOf(t, Int64, "credit")
	base := Value("u1", 1000, "credit", feature)
	if again := Value("u1", 1000, "credit", feature); again != base {
		t.Errorf("the same value twice: %v, %v", base, again)
	}
	for name, other := range map[string]V{
		"user": Value("u2", 1000, "credit", feature),
		"time": Value("u1", 1001, "credit", feature),
	} {
		if other == base {
			t.Errorf("another %s gives the same value %v", name, base)
		}
	}
}

func firstOf(t *testing.T, kind Kind, family string) string {
	t.Helper()
	for _, name := range Features(family, 700) {
		if KindOf(family, name) == kind {
			return name
		}
	}
	t.Fatalf("family %s has no %s", family, kind)
	return ""
}

func TestMixture(t *testing.T) {
	kinds := map[Kind]int{}
	var beyond53, integralDoubles, nulls, total int
	for f := range 50 {
		family := NewFamily(runfile.Family{ID: fmt.Sprint("family", f)}, 60)
		for u := range 20 {
			for name, v := range family.All(family.Row([]byte(strconv.Itoa(u)), int64(u))) {
				total++
				kinds[v.Kind]++
				switch {
				case v.Kind == Null:
					nulls++
				case v.Kind != KindOf(family.ID, name):
					t.Fatalf("%s.%s is a %s, not a %s", family.ID, name, v.Kind, KindOf(family.ID, name))
				case v.Kind == Int64 && (v.Int64 > 1<<53):
					beyond53++
				case v.Kind == Double && v.Double == math.Trunc(v.Double):
					integralDoubles++
				case v.Kind == Double && (math.IsNaN(v.Double) || math.IsInf(v.Double, 0)):
					t.Fatal("DynamoDB cannot hold NaN and infinities")
				case (v.Kind == String || v.Kind == JSON) && !utf8.ValidString(v.Text):
					t.Fatalf("%q is no UTF-8", v.Text)
				}
			}
		}
	}
	if kinds[Double] < total/2 || len(kinds) != 6 || beyond53 == 0 || integralDoubles == 0 || nulls > total/20 {
		t.Errorf("of %d: %v, %d beyond 2^53, %d integral doubles, %d nulls", total, kinds, beyond53, integralDoubles, nulls)
	}
}

// Every column must come out with the kind of the formula, so a few rows of each
// double feature must hold one that is not integral.
func TestDoublesShowThatTheyAreDoubles(t *testing.T) {
	for f := range 50 {
		id := fmt.Sprint("family", f)
		for _, name := range Features(id, 60) {
			if KindOf(id, name) != Double {
				continue
			}
			fraction := false
			for u := range 40 {
				v := Value(strconv.Itoa(u), 0, id, name)
				fraction = fraction || v.Double != math.Trunc(v.Double)
			}
			if !fraction {
				t.Errorf("%s.%s: 40 doubles without a fraction", id, name)
			}
		}
	}
}

func TestFormsHoldTheValue(t *testing.T) {
	family := NewFamily(runfile.Family{ID: "credit"}, 700)
	for u := range 50 {
		row := family.Row([]byte("user "+strconv.Itoa(u)), int64(u)*777)
		var plain, ascii map[string]json.RawMessage
		var attributes map[string]map[string]json.RawMessage
		parse(t, family.Append(nil, row, PlainJSON), &plain)
		asciiText := family.Append(nil, row, ASCIIJSON)
		parse(t, asciiText, &ascii)
		parse(t, family.Append(nil, row, Attribute), &attributes)
		if slices.ContainsFunc(asciiText, func(b byte) bool { return b >= utf8.RuneSelf }) {
			t.Fatalf("not ASCII: %s", asciiText)
		}
		if len(plain) != 700 || len(ascii) != 700 || len(attributes) != 700 {
			t.Fatalf("%d, %d, %d features", len(plain), len(ascii), len(attributes))
		}
		for name, v := range family.All(row) {
			if want := Value("user "+strconv.Itoa(u), int64(u)*777, "credit", name); v != want {
				t.Fatalf("%s: %v, want %v", name, v, want)
			}
			checkJSON(t, name, plain[name], v)
			checkJSON(t, name, ascii[name], v)
			checkAttribute(t, name, attributes[name], v)
		}
	}
}

func parse(t *testing.T, members []byte, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte("{"+string(members)+"}"), to); err != nil {
		t.Fatalf("%v: %s", err, members)
	}
}

func checkJSON(t *testing.T, name string, text json.RawMessage, v V) {
	t.Helper()
	got := string(text)
	switch v.Kind {
	case Double:
		checkDouble(t, name, got, v.Double)
	case String:
		var s string
		if err := json.Unmarshal(text, &s); err != nil || s != v.Text {
			t.Errorf("%s: %s is not %q (%v)", name, got, v.Text, err)
		}
	case JSON:
		if compact(t, text) != compact(t, []byte(v.Text)) {
			t.Errorf("%s: %s is not %s", name, got, v.Text)
		}
	default:
		if got != v.String() {
			t.Errorf("%s: %s is not %s", name, got, v)
		}
	}
}

// checkDouble also sees to it that a literal that looks like an int64 is exact as a
// double.
func checkDouble(t *testing.T, name, text string, want float64) {
	t.Helper()
	got, err := strconv.ParseFloat(text, 64)
	if err != nil || got != want {
		t.Errorf("%s: %s is not %v (%v)", name, text, want, err)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && (n > 1<<53 || n < -1<<53) {
		t.Errorf("%s: %s would be taken for an int64 that is no double", name, text)
	}
}

func checkAttribute(t *testing.T, name string, a map[string]json.RawMessage, v V) {
	t.Helper()
	var text string
	for _, tag := range []string{"S", "N"} {
		if raw, ok := a[tag]; ok {
			parse(t, fmt.Appendf(nil, `"v":%s`, raw), &struct{ V *string }{&text})
		}
	}
	switch v.Kind {
	case Null:
		text = strings.ReplaceAll(string(a["NULL"]), "true", "null")
	case Bool:
		text = string(a["BOOL"])
	case Double:
		checkDouble(t, name, text, v.Double)
		return
	case JSON:
		whole, _ := json.Marshal(a)
		text = compact(t, plainOf(t, whole))
		if want := compact(t, []byte(v.Text)); text != want {
			t.Errorf("%s: %s is not %s", name, text, want)
		}
		return
	}
	if text != v.String() {
		t.Errorf("%s: %v is not %s", name, a, v)
	}
}

// plainOf turns a DynamoDB attribute into JSON.
func plainOf(t *testing.T, attribute []byte) []byte {
	t.Helper()
	var a struct {
		S    *string
		N    *json.Number
		NULL bool
		L    []json.RawMessage
		M    map[string]json.RawMessage
	}
	if err := json.Unmarshal(attribute, &a); err != nil {
		t.Fatalf("%v: %s", err, attribute)
	}
	switch {
	case a.S != nil:
		out, _ := json.Marshal(*a.S)
		return out
	case a.N != nil:
		return []byte(*a.N)
	case a.NULL:
		return []byte("null")
	case a.M != nil:
		for k, v := range a.M {
			a.M[k] = plainOf(t, v)
		}
		out, _ := json.Marshal(a.M)
		return out
	default:
		for i, v := range a.L {
			a.L[i] = plainOf(t, v)
		}
		out, _ := json.Marshal(a.L)
		if a.L == nil {
			out = []byte("[]")
		}
		return out
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func TestDeclaredFeaturesComeFirst(t *testing.T) {
	id := "geo"
	declared := []runfile.Feature{{Name: "lat", Type: runfile.Double}, {Name: "visits", Type: runfile.Int64}, {Name: Features(id, 3)[0], Type: runfile.Bool}}
	family := NewFamily(runfile.Family{ID: id, Features: declared}, 5)
	var names []string
	var kinds []Kind
	for name, v := range family.All(family.Row([]byte("u"), 0)) {
		names, kinds = append(names, name), append(kinds, v.Kind)
	}
	want := []string{"lat", "visits", Features(id, 3)[0], Features(id, 3)[1], Features(id, 3)[2]}
	if !slices.Equal(names, want) {
		t.Errorf("features %v, want %v", names, want)
	}
	if !slices.Equal(kinds[:3], []Kind{Double, Int64, Bool}) {
		t.Errorf("kinds %v", kinds)
	}
}

func BenchmarkAppendFamily(b *testing.B) {
	family := NewFamily(runfile.Family{ID: "credit"}, 60)
	user := []byte("user-123456")
	var buf []byte
	b.ReportAllocs()
	for i := range b.N {
		buf = family.Append(buf[:0], family.Row(user, int64(i)), Attribute)
	}
}
