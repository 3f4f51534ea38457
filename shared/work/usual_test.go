package work

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

// FuzzUsual compares with encoding/json: what is read without it is what it would read, and
// every block is written as it would write it.
func FuzzUsual(f *testing.F) {
	for _, seed := range []string{
		`{"requests":[{"user_id":"u","pitc_timestamp":1,"feature_families":["a","b"]},{"user_id":"v","pitc_timestamp":-2,"feature_families":["b","b","a"],"direct_families":["c"]}]}`,
		` { "requests" : [ { "feature_families" : null , "direct_families":[], "attributes" : {"a" : [1 , "<\u00e9>"]}, "user_id":"\ud800&\u2028" } ] } `,
		`{"requests":[{"user_id":"u","user_id":"v","pitc_timestamp":1.0}]}`, `{"requests":null}`, `{"requests":[]}`, `{"requests":[null]}`,
		`{"Requests":[{"USER_ID":"u","x":1}],"requests":[]}`, `{"requests":[{"attributes":null,"pitc_timestamp":9223372036854775808}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want Block
		err := json.Unmarshal(data, &want)
		got, ok := decodeUsual(data)
		if ok && (err != nil || !reflect.DeepEqual(*got, want)) {
			t.Fatalf("%s: read as %+v, by encoding/json as %+v (%v)", data, got, want, err)
		}
		if err != nil {
			return
		}
		written, err := json.Marshal(&want)
		if err != nil {
			t.Fatal(err)
		}
		if got := want.Encode(); string(got) != string(written) {
			t.Errorf("written as\n%s\nby encoding/json as\n%s", got, written)
		}
	})
}

// What Encode writes needs no second reading.
func TestWhatEncodeWritesIsUsual(t *testing.T) {
	for name, r := range map[string]Request{
		"looked up":           {UserID: "u", EpochMS: 1, Families: []string{"a", "b"}, Direct: []string{"c"}, Attributes: json.RawMessage(`{"k":"<"}`)},
		"with nothing cached": {UserID: "ü\"\\", EpochMS: -1, Direct: []string{"c"}},
	} {
		b := &Block{Requests: []Request{r, r}}
		if got, ok := decodeUsual(b.Encode()); !ok || got.Cells() != b.Cells() || got.Requests[1].UserID != r.UserID {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// A block of 100 samples with 50 families each.
func usualBlock() *Block {
	b := &Block{}
	for i := range 100 {
		r := Request{UserID: fmt.Sprintf("user-%07d", i), EpochMS: 1_700_000_000_000 + int64(i)}
		for f := range 50 {
			r.Families = append(r.Families, fmt.Sprintf("family_%02d", f))
		}
		b.Requests = append(b.Requests, r)
	}
	return b
}

func BenchmarkDecode(b *testing.B) {
	data := usualBlock().Encode()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	block := usualBlock()
	b.SetBytes(int64(len(block.Encode())))
	b.ReportAllocs()
	for b.Loop() {
		block.Encode()
	}
}
