package recordsfile

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// checkFile checks a local file.
func checkFile(t *testing.T, path string, o Options) (*Report, error) {
	t.Helper()
	f, err := OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Check(o)
}

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
	r, err := checkFile(t, write(t, "r.jsonl", text), Options{Families: families})
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
	r, err := checkFile(t, write(t, "r.csv", text.String()), Options{Families: families})
	if err != nil || r.Records != 25 || r.BadTotal != 25 || len(r.Bad) != 10 || r.Bad[9].Line != 11 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestCheckErrors(t *testing.T) {
	for path, want := range map[string]string{
		write(t, "r.csv", "user_id,pitc_timestamp\n\"a,1\n"): "is never closed",
		write(t, "r.csv", "a,b\n"):                           `has no column "user_id"`,
	} {
		if r, err := checkFile(t, path, Options{}); err == nil || r != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", path, r, err, want)
		}
	}
}

func TestCheckGivesTheHashOfTheBytes(t *testing.T) {
	text := `{"user_id":1,"pitc_timestamp":1}` + "\n\n\n"
	for name, bytes := range map[string]string{"r.jsonl": text, "r.json.gz": zip(t, text), "r.csv": "user_id,pitc_timestamp\na,1\n"} {
		r, err := checkFile(t, write(t, name, bytes), Options{Families: families})
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(bytes))); err != nil || r.Hash != want {
			t.Errorf("%s: %+v, %v, want %s", name, r, err, want)
		}
	}
}

func TestAFileCanBeReadAgain(t *testing.T) {
	f, err := OpenLocal(write(t, "r.csv.gz", zip(t, "user_id,pitc_timestamp\na,1\nb,1\n")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		r, err := f.Read(Options{Families: families})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range r.All() {
			n++
		}
		if err := r.Close(); n != 2 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	}
}
