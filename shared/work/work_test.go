package work_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/work"
)

var block = &work.Block{Requests: []work.Request{
	{UserID: "ü\"1", EpochMS: 1738324800123, Families: []string{"credit", "sms"}, Direct: []string{"geo"}, Attributes: json.RawMessage(`{"country":"KE"}`)},
	{UserID: "2", EpochMS: -1, Direct: []string{"geo"}},
}}

// TestWireForm guards the form in which requests travel and stand in dead letters.
func TestWireForm(t *testing.T) {
	const want = `{"requests":[` +
		`{"user_id":"ü\"1","pitc_timestamp":1738324800123,"feature_families":["credit","sms"],"direct_families":["geo"],"attributes":{"country":"KE"}},` +
		`{"user_id":"2","pitc_timestamp":-1,"feature_families":null,"direct_families":["geo"]}]}`
	if got := string(block.Encode()); got != want {
		t.Errorf("encoded as\n%s\nwant\n%s", got, want)
	}
	if got, err := work.Decode([]byte(want)); err != nil || !reflect.DeepEqual(got, block) {
		t.Errorf("decoded as %+v (%v)", got, err)
	}
}

func TestDecodeRefusesRequestsForNothing(t *testing.T) {
	for _, data := range []string{
		``, `{`, `[]`, `{"requests":[{}]}`, `{"requests":[{"user_id":"u"}]}`, `{"requests":[{"feature_families":["f"]}]}`,
		`{"requests":[{"user_id":"u","feature_families":["f"]},{"user_id":"u","feature_families":[]}]}`, `{"requests":[{"user_id":1}]}`,
	} {
		if b, err := work.Decode([]byte(data)); err == nil || !strings.HasPrefix(err.Error(), "block of requests: ") {
			t.Errorf("%s was read as %+v (%v)", data, b, err)
		}
	}
}

func TestRequest(t *testing.T) {
	r := &block.Requests[0]
	if r.Key() != sample.KeyOf(r.UserID, r.EpochMS) {
		t.Error("a request has another key than its sample")
	}
	if r.Cells() != 3 || block.Cells() != 4 {
		t.Errorf("%d and %d cells, want 3 and 4", r.Cells(), block.Cells())
	}
	other := r.With([]string{"sms"})
	if other.Cells() != 1 || other.UserID != r.UserID || other.EpochMS != r.EpochMS || string(other.Attributes) != string(r.Attributes) || r.Cells() != 3 {
		t.Errorf("for other families %+v, from %+v", other, r)
	}
}

// TestSizeIsAboutTheWire: messages are closed by it.
func TestSizeIsAboutTheWire(t *testing.T) {
	for _, r := range []work.Request{
		{UserID: "u", EpochMS: 1, Families: []string{"f"}},
		{UserID: strings.Repeat("u", 1024), EpochMS: -1738324800123, Families: strings.Split(strings.Repeat("family_id,", 49)+"x", ","), Direct: []string{"a", "b"}},
		{UserID: "u", EpochMS: 1, Direct: []string{"f"}, Attributes: json.RawMessage(`{"a":"` + strings.Repeat("x", 60_000) + `"}`)},
	} {
		wire := len((&work.Block{Requests: []work.Request{r}}).Encode()) - len(`{"requests":[]}`)
		if over := r.Size() - wire; over < -40 || over > 40 {
			t.Errorf("size %d, on the wire %d bytes", r.Size(), wire)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(block.Encode())
	f.Add([]byte(`{"requests":[{"user_id":"u","feature_families":["f"],"attributes":[1, 2 ]}]}`))
	f.Add([]byte(`{"requests":[{"user_id":"\ud800","direct_families":[""]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := work.Decode(data)
		if err != nil {
			return
		}
		again, err := work.Decode(b.Encode())
		if err != nil {
			t.Fatalf("what was read as %+v cannot be read again: %v", b, err)
		}
		if again.Cells() != b.Cells() || len(again.Requests) != len(b.Requests) {
			t.Errorf("read as %+v, then as %+v", b, again)
		}
		for i := range b.Requests {
			if again.Requests[i].Key() != b.Requests[i].Key() {
				t.Errorf("request %d is of another sample when read again", i)
			}
		}
	})
}
