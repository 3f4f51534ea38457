package featureservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/work"
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
	r := work.Request{UserID: "u", EpochMS: 1, Families: []string{"a", "b"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, b := newAnswer(), packed.NewBuilder()
		err := a.read(body, r.Families, b)
		finite := !bytes.Contains(body, []byte("NaN")) && !bytes.Contains(body, []byte("Infinity"))
		if err == nil && finite && !json.Valid(body) {
			t.Fatal("broken JSON was taken for an answer")
		}
		if err == nil {
			err = a.closeRows(&r, b)
		}
		rows := 0
		for i := range a.cells {
			if a.cells[i].done {
				rows++
			}
		}
		if rows > 0 != (err == nil) || b.Rows() != rows {
			t.Fatalf("%d rows, %d of them closed: %v", b.Rows(), rows, err)
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

// Names in any order, sparse or new, are good; repeated ones are found whatever the rows
// before were like.
func TestRepeatedNames(t *testing.T) {
	a, b := newAnswer(), packed.NewBuilder()
	r := rand.New(rand.NewPCG(1, 2))
	req := work.Request{UserID: "u", EpochMS: 1, Families: []string{"f"}}
	row := func(names []int) string {
		var body strings.Builder
		for i, n := range names {
			fmt.Fprintf(&body, `%c"name%d":1`, "{,"[min(i, 1)], n)
		}
		return `{"features":{"f":` + body.String() + `}}}`
	}
	verdict := func(names []int) error {
		if err := a.read([]byte(row(names)), req.Families, b); err != nil {
			t.Fatal(err)
		}
		if err := a.closeRows(&req, b); (err == nil) != (a.cells[0].err == nil) {
			t.Fatalf("%v beside %v", err, a.cells[0].err)
		}
		return a.cells[0].err
	}
	for round := range 200 {
		names := r.Perm(3 + round)[:3+r.IntN(round+1)]
		if err := verdict(names); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		again := names[r.IntN(len(names))]
		if err := verdict(append(names, again)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"name%d" twice`, again)) {
			t.Fatalf("round %d: repeated name%d: %v", round, again, err)
		}
	}
	if b.Rows() != 200 {
		t.Errorf("%d rows, want one for each round", b.Rows())
	}
}
