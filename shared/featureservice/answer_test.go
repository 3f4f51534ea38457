package featureservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// FuzzAnswer compares with encoding/json: what it takes for broken gives no row, and a
// row has the features that it sees.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"features":{"a":{"x":1,"y":-2.5e3,"z":"t\u00e9xt\ud83d\ude00","n":null,"b":true},"b":{}},"errors":{}}`,
		`{"errors":{"a":{"code":"E","message":"m","retryable":false}},"features":{"b":{"l":[1,{"k":{}}],"o":{"p":[[]]}}}}`,
		`{"features":{"a":null,"c":{"x":1}},"errors":null,"more":[1]}`,
		`{"features":{"a":{"x":NaN,"y":-Infinity,"z":[Infinity]},"b":{"x":1,"x":2}}}`,
		"{\"features\":{\"a\":{\"\xff\":\"\xfe\",\"\\ud800\":1},\"b\":5}}",
		`{"features":{"a":{"x":1e999,"y":123456789012345678901234567890}}} `,
		`{"features":{"a":{}},"features":{}}`, `[]`, ``, `{"errors":{"a":"b"}}`,
	} {
		f.Add([]byte(seed))
	}
	var book nameBook
	families := []string{"a", "b"}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := newAnswer(&book)
		err := a.read(body, families)
		finite := !bytes.Contains(body, []byte("NaN")) && !bytes.Contains(body, []byte("Infinity"))
		if err == nil && finite && !json.Valid(body) {
			t.Fatal("broken JSON was taken for an answer")
		}
		if err != nil {
			return
		}
		b := packed.NewBuilder()
		rows := 0
		for i := range a.cells {
			c := &a.cells[i]
			if c.err != nil {
				continue
			}
			a.addRow(c, b.Block(c.family), b.Sample("u", 1))
			if c.err == nil {
				rows++
			}
		}
		var m packed.Message
		if err := packed.Decode(b.Encode(nil, packed.FeatureService), &m); err != nil {
			t.Fatal(err)
		}
		if len(m.Blocks) != rows {
			t.Fatalf("%d rows became %d blocks", rows, len(m.Blocks))
		}
		for _, block := range m.Blocks {
			compare(t, a, &block, finite)
		}
	})
}

// compare compares a row with what encoding/json makes of its span.
func compare(t *testing.T, a *answer, block *packed.BlockView, finite bool) {
	if !finite {
		return
	}
	c := a.find([]byte(block.Family), new(int))
	var want map[string]json.RawMessage
	if err := json.Unmarshal(c.features, &want); err != nil {
		t.Fatalf("%s: %v", c.features, err)
	}
	if len(want) != len(block.Columns) {
		t.Fatalf("%s: %d columns", c.features, len(block.Columns))
	}
	for _, column := range block.Columns {
		raw, ok := want[column.Name]
		if !ok {
			t.Fatalf("%s: column %q is not there", c.features, column.Name)
		}
		if column.IsNull(0) != (string(raw) == "null") {
			t.Fatalf("%s: column %q: null is %v", c.features, column.Name, column.IsNull(0))
		}
		if column.Kind == packed.String {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil || text != string(column.Bytes(0)) {
				t.Fatalf("%s: column %q is %q", c.features, column.Name, column.Bytes(0))
			}
		}
	}
}

// Names in any order, sparse or new, are known after the first row; repeated ones are
// found whatever is known.
func TestRepeatedNames(t *testing.T) {
	var book nameBook
	var check nameCheck
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		names := r.Perm(3 + round)[:3+r.IntN(round+1)]
		check.begin(&book, "f")
		for _, n := range names {
			if check.repeated(fmt.Append(nil, "name", n)) {
				t.Fatalf("round %d: name%d was taken for repeated", round, n)
			}
		}
		again := fmt.Append(nil, "name", names[r.IntN(len(names))])
		if !check.repeated(again) {
			t.Fatalf("round %d: repeated %s was not seen", round, again)
		}
		check.end(&book, "f")
	}
	check.begin(&book, "other")
	if check.repeated([]byte("name1")) || !check.repeated([]byte("name1")) {
		t.Error("families are mixed up")
	}
}

// Beyond what is remembered of a family, repeated names are found all the same.
func TestRepeatedNamesBeyondTheBook(t *testing.T) {
	var book nameBook
	var check nameCheck
	for range 2 {
		check.begin(&book, "f")
		for i := range maxKnownNames + 10 {
			if check.repeated(fmt.Append(nil, i)) {
				t.Fatalf("%d was taken for repeated", i)
			}
		}
		if !check.repeated([]byte("17")) {
			t.Fatal("repeated 17 was not seen")
		}
		check.end(&book, "f")
	}
	if _, ok := book.tables.Load("f"); ok {
		t.Error("too many names are remembered")
	}
}

// A usual answer: 20 families of 60 numbers.
func BenchmarkAnswer(b *testing.B) {
	const families, features = 20, 60
	r := rand.New(rand.NewPCG(7, 7))
	var body strings.Builder
	var ids []string
	body.WriteString(`{"features":{`)
	for i := range families {
		ids = append(ids, fmt.Sprintf("family_%02d", i))
		fmt.Fprintf(&body, `"%s":{`, ids[i])
		for j := range features {
			fmt.Fprintf(&body, `"feature_%02d":%.6f`, j, r.NormFloat64()*1000)
			if j < features-1 {
				body.WriteString(",")
			}
		}
		body.WriteString("}")
		if i < families-1 {
			body.WriteString(",")
		}
	}
	body.WriteString(`},"errors":{}}`)
	data := []byte(body.String())
	var book nameBook
	a := newAnswer(&book)
	builder := packed.NewBuilder()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if builder.Size() > 256<<10 {
			builder.Reset()
		}
		if err := a.read(data, ids); err != nil {
			b.Fatal(err)
		}
		sample := builder.Sample("user", int64(i))
		for j := range a.cells {
			a.addRow(&a.cells[j], builder.Block(a.cells[j].family), sample)
		}
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / families
	b.ReportMetric(ns/1000, "µs/family")
	b.ReportMetric(ns/features, "ns/value")
}
