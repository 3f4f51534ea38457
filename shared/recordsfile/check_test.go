package recordsfile

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	text := strings.Join([]string{
		`{"user_id":"a","pitc_timestamp":1}`,
		`{"user_id":"a","pitc_timestamp":1,"feature_families":["sms"]}`, // all of them were asked for
		`{"user_id":"b","pitc_timestamp":1,"feature_families":["sms"],"attributes":{"x":1,"y":2}}`,
		`{"user_id":"b","pitc_timestamp":1,"feature_families":["sms","geo"],"attributes":{"y":2,"x":1}}`,
		`{"user_id":"b","pitc_timestamp":1,"attributes":{"x":1}}`, // other attributes
		`{"user_id":"b","pitc_timestamp":2,"feature_families":["credit"]}`,
		`{"user_id":"b"}`,
	}, "\n")
	r, err := Check(write(t, "r.jsonl", text), Options{Families: families})
	if err != nil {
		t.Fatal(err)
	}
	if r.Records != 7 || r.Samples != 3 || r.Cells != 3+2+1 || r.BadTotal != 2 || len(r.Bad) != 2 {
		t.Errorf("got %+v", r)
	}
	if b := r.Bad[0]; b.Line != 5 || b.Field != "attributes" || !strings.Contains(b.Error(), "line 5: attributes: the sample was given before with other attributes; give the same ones") {
		t.Errorf("got %+v", b)
	}
	if b := r.Bad[1]; b.Line != 7 || b.Field != "pitc_timestamp" {
		t.Errorf("got %+v", b)
	}
}

func TestCheckReportsTheFirstTen(t *testing.T) {
	var text strings.Builder
	text.WriteString("user_id,pitc_timestamp\n")
	for i := range 25 {
		fmt.Fprintf(&text, "u%d,never\n", i)
	}
	r, err := Check(write(t, "r.csv", text.String()), Options{Families: families})
	if err != nil || r.Records != 25 || r.BadTotal != 25 || len(r.Bad) != 10 || r.Bad[9].Line != 11 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestCheckErrors(t *testing.T) {
	for path, want := range map[string]string{
		Stdin: "standard input cannot be checked before it is used",
		write(t, "r.csv", "user_id,pitc_timestamp\n\"a,1\n"): "is never closed",
		write(t, "r.csv", "a,b\n"):                           `has no column "user_id"`,
	} {
		if r, err := Check(path, Options{}); err == nil || r != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", path, r, err, want)
		}
	}
}
