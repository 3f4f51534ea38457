package recordsfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const noon = 1738324800000 // 2025-01-31T12:00:00Z

var families = []string{"credit", "sms", "geo"}

// write makes a file and gives its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read gives the good rows and everything that was wrong.
func read(t *testing.T, path string, o Options) (rows []Row, wrong []error) {
	t.Helper()
	r, err := Open(path, o)
	if err != nil {
		return nil, []error{err}
	}
	for row, err := range r.All() {
		if err != nil {
			wrong = append(wrong, err)
		} else {
			rows = append(rows, row)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return rows, wrong
}

func row(line int64, user string, ms int64, attributes string, families ...string) Row {
	r := Row{Line: line, Record: record.Record{UserID: user, EpochMS: ms, Families: families}}
	if attributes != "" {
		r.Record.Attributes = []byte(attributes)
	}
	return r
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	renamed := runfile.Records{UserID: "customer_id", PITCTimestamp: "as_of", FeatureFamilies: "fams", Attributes: []string{"country"}, Timezone: "Africa/Nairobi"}
	const lines = "{\"user_id\":7,\"pitc_timestamp\":1738324800000}\n\n{\"user_id\":\"ü\",\"pitc_timestamp\":\"2025-01-31T12:00:00Z\",\"feature_families\":[\"sms\"],\"attributes\":{\"a\": 1}}"
	wantLines := []Row{row(1, "7", noon, ""), row(3, "ü", noon, `{"a":1}`, "sms")}
	for _, tc := range []struct {
		name, file, text string
		columns          runfile.Records
		want             []Row
	}{
		{"JSONL", "r.jsonl", lines, runfile.Records{}, wantLines},
		{"JSONL with BOM and CRLF", "r.NDJSON", "\ufeff" + strings.ReplaceAll(lines, "\n", "\r\n"), runfile.Records{}, wantLines},
		{"JSONL zipped", "r.json.gz", zip(t, lines), runfile.Records{}, wantLines},
		{"JSONL renamed", "r.jsonl", `{"customer_id":"a","as_of":"2025-01-31 15:00:00","fams":["geo","sms"],"country":"KE"}`, renamed,
			[]Row{row(1, "a", noon, `{"country":"KE"}`, "geo", "sms")}},
		{"CSV", "r.csv", "user_id,pitc_timestamp,feature_families,attributes.country,age\n007,2025-01-31T12:00:00Z,credit;sms,KE,5\n8,1738324800000,,\"a\"\"b,\nc\",\n",
			runfile.Records{}, []Row{row(2, "007", noon, `{"country":"KE"}`, "credit", "sms"), row(3, "8", noon, `{"country":"a\"b,\u000ac"}`)}},
		{"CSV with BOM, CRLF and empty lines", "r.csv", "\ufeff\"user_id\",pitc_timestamp\r\na,-1\r\n\r\nb,\"2025-01-31T12:00:00.5+00:00\"\r\n",
			runfile.Records{}, []Row{row(2, "a", -1, ""), row(4, "b", noon+500, "")}},
		{"CSV zipped", "r.csv.gz", zip(t, "pitc_timestamp,user_id\n1,a"), runfile.Records{}, []Row{row(2, "a", 1, "")}},
		{"CSV renamed", "r.csv", "x,country,as_of,fams,customer_id\n,UG,2025-01-31T15:00:00,geo,a\n", renamed,
			[]Row{row(2, "a", noon, `{"country":"UG"}`, "geo")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, wrong := read(t, write(t, tc.file, tc.text), Options{Columns: tc.columns, Families: families})
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			if !reflect.DeepEqual(rows, tc.want) {
				t.Errorf("got  %+v\nwant %+v", rows, tc.want)
			}
		})
	}
}

// TestBadRows gives one bad row among good ones.
func TestBadRows(t *testing.T) {
	berlin := runfile.Records{Timezone: "Europe/Berlin"}
	header := "user_id,pitc_timestamp,feature_families\na,1,\n"
	for _, tc := range []struct {
		name, file, text string
		columns          runfile.Records
		line             int64
		field, reason    string
	}{
		{"JSONL: no JSON", "r.jsonl", "hello", runfile.Records{}, 2, "", "a record is a JSON object"},
		{"JSONL: cut off", "r.jsonl", `{"user_id":"b"`, runfile.Records{}, 2, "", "no valid JSON at byte"},
		{"JSONL: unknown field", "r.jsonl", `{"user_id":"b","pitc_timestamp":1,"age":3}`, runfile.Records{}, 2, "age", "unknown field; a record has user_id"},
		{"JSONL: no time", "r.jsonl", `{"user_id":"b"}`, runfile.Records{}, 2, "pitc_timestamp", "it is missing; give a time"},
		{"JSONL: family", "r.jsonl", `{"user_id":"b","pitc_timestamp":1,"feature_families":["x"]}`, runfile.Records{}, 2, "feature_families", "is no family of this run; add it"},
		{"JSONL: very long line", "r.jsonl", `{"user_id":"` + strings.Repeat("b", 2<<20) + `"}`, runfile.Records{}, 2, "", "the line is longer than 1048576 bytes; write one record a line"},
		{"JSONL: not UTF-8", "r.jsonl", "{\"user_id\":\"\xff\",\"pitc_timestamp\":1}", runfile.Records{}, 2, "", "is not UTF-8; encode it"},
		{"JSONL: no zone", "r.jsonl", `{"user_id":"b","pitc_timestamp":"2025-01-31T12:00:00"}`, runfile.Records{}, 2, "pitc_timestamp", "has no time zone; write Z or an offset"},

		{"CSV: user empty", "r.csv", ",1,", runfile.Records{}, 3, "user_id", "it is empty; give 1 to 1024 bytes"},
		{"CSV: time empty", "r.csv", "b,,", runfile.Records{}, 3, "pitc_timestamp", "it is empty; give a time"},
		{"CSV: time", "r.csv", "b,yesterday,", runfile.Records{}, 3, "pitc_timestamp", `"yesterday" is no time; give a time like`},
		{"CSV: date", "r.csv", "b,2025-01-31,", runfile.Records{}, 3, "pitc_timestamp", "is no time; give a time like"},
		{"CSV: no zone", "r.csv", "b,2025-01-31 12:00:00,", runfile.Records{}, 3, "pitc_timestamp", "or set records.timezone in the run file"},
		{"CSV: too fine", "r.csv", "b,2025-01-31 12:00:00.000001Z,", runfile.Records{}, 3, "pitc_timestamp", "is finer than milliseconds; round it"},
		{"CSV: nanoseconds", "r.csv", "b,1738324800000000000,", runfile.Records{}, 3, "pitc_timestamp", "give epoch milliseconds, not micro- or nanoseconds"},
		{"CSV: nonexistent hour", "r.csv", "b,2025-03-30T02:30:00,", berlin, 3, "pitc_timestamp", "does not exist in this time zone"},
		{"CSV: hour that is two", "r.csv", "b,2025-10-26T02:30:00,", berlin, 3, "pitc_timestamp", "occurs twice in this time zone"},
		{"CSV: family", "r.csv", "b,1,sms;smss", runfile.Records{}, 3, "feature_families", `"smss" is no family of this run`},
		{"CSV: family twice", "r.csv", "b,1,sms;sms", runfile.Records{}, 3, "feature_families", "named twice; leave one out"},
		{"CSV: empty family", "r.csv", "b,1,sms;", runfile.Records{}, 3, "feature_families", `"" is no family`},
		{"CSV: too few", "r.csv", "b,1", runfile.Records{}, 3, "", "the row has 2 values and the header 3; give one for each column"},
		{"CSV: too many", "r.csv", "b,1,,", runfile.Records{}, 3, "", "the row has 4 values and the header 3"},
		{"CSV: stray quote", "r.csv", "b\"c,1,", runfile.Records{}, 3, "", "value 1 holds a quote; put the whole value in quotes"},
		{"CSV: behind the quote", "r.csv", "b,\"1\"2,", runfile.Records{}, 3, "", "value 2 goes on behind its closing quote; write a quote"},
		{"CSV: not UTF-8", "r.csv", "\xff,1,", runfile.Records{}, 3, "user_id", "it is not UTF-8"},
		{"CSV: user too long", "r.csv", strings.Repeat("b", 1025) + ",1,", runfile.Records{}, 3, "user_id", "it has 1025 bytes; give 1 to 1024"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "{\"user_id\":\"a\",\"pitc_timestamp\":1}\n" + tc.text + "\n{\"user_id\":\"z\",\"pitc_timestamp\":1}\n"
			if tc.file == "r.csv" {
				text = header + tc.text + "\nz,1,\n"
			}
			path := write(t, tc.file, text)
			rows, wrong := read(t, path, Options{Columns: tc.columns, Families: families})
			if len(rows) != 2 || rows[1].Record.UserID != "z" || rows[1].Line != tc.line+1 || len(wrong) != 1 {
				t.Fatalf("rows %+v, wrong %v", rows, wrong)
			}
			b, ok := errors.AsType[*BadRecord](wrong[0])
			if !ok {
				t.Fatalf("got %v", wrong[0])
			}
			if b.Line != tc.line || b.Field != tc.field || !strings.Contains(b.Reason, tc.reason) || b.Raw == "" || len(b.Raw) > maxRawBytes {
				t.Errorf("got %+v, want line %d, field %q, reason %q", b, tc.line, tc.field, tc.reason)
			}
			if prefix := fmt.Sprintf("%s: line %d: ", path, tc.line); !strings.HasPrefix(b.Error(), prefix) {
				t.Errorf("%q does not begin with %q", b.Error(), prefix)
			}
		})
	}
}

// TestBadFiles gives files that cannot be read at all, or not further.
func TestBadFiles(t *testing.T) {
	for _, tc := range []struct {
		name, file, text string
		columns          runfile.Records
		want             []string
	}{
		{"empty", "r.jsonl", "", runfile.Records{}, []string{"is empty; a records file holds a record at least"}},
		{"empty lines", "r.jsonl", "\n\n", runfile.Records{}, []string{"holds no records; it needs one at least"}},
		{"header only", "r.csv", "user_id,pitc_timestamp\n", runfile.Records{}, []string{"holds no records"}},
		{"zipped nothing", "r.csv.gz", zip(t, ""), runfile.Records{}, []string{"is empty; the first line of a CSV file names its columns"}},
		{"not zipped", "r.csv.gz", "user_id", runfile.Records{}, []string{"cannot be unzipped", "write it again, or without .gz"}},
		{"zip cut off", "r.jsonl.gz", zip(t, `{"user_id":1,"pitc_timestamp":1}`)[:30], runfile.Records{}, []string{"line 1: it cannot be read further: unexpected EOF"}},
		{"extension", "r.txt", "x", runfile.Records{}, []string{"use .jsonl, .ndjson, .json, .csv", ".parquet"}},
		{"zipped Parquet", "r.parquet.gz", "x", runfile.Records{}, []string{"the name does not say what it is"}},
		{"missing column", "r.csv", "customer,as_of\n", runfile.Records{}, []string{`has no column "user_id"; it has "customer", "as_of": name the right one as records.user_id in the run file`}},
		{"missing renamed families", "r.csv", "user_id,pitc_timestamp\n", runfile.Records{FeatureFamilies: "fams"}, []string{`has no column "fams"`, "records.feature_families"}},
		{"missing attribute", "r.csv", "user_id,pitc_timestamp\n", runfile.Records{Attributes: []string{"country"}}, []string{`has no column "country"`, "records.attributes"}},
		{"semicolons", "r.csv", "user_id;pitc_timestamp\n", runfile.Records{}, []string{"the columns must be separated by commas"}},
		{"column twice", "r.csv", "user_id,pitc_timestamp,user_id\n", runfile.Records{}, []string{`two columns are called "user_id"; rename one`}},
		{"attribute twice", "r.csv", "user_id,pitc_timestamp,a,attributes.a\n", runfile.Records{Attributes: []string{"a"}}, []string{`two columns give the attribute "a"`, "leave it out of records.attributes"}},
		{"bad header", "r.csv", "user_id,\"pitc\"x\n", runfile.Records{}, []string{"line 1: the header cannot be read", "closing quote"}},
		{"open quote", "r.csv", "user_id,pitc_timestamp\na,1\n\"b,1\nc,1\n", runfile.Records{}, []string{"line 3: it cannot be read further: a quote that opens in line 3 is never closed; close it"}},
		{"open quote, large file", "r.csv", "user_id,pitc_timestamp\n\"b,1\n" + strings.Repeat("c,1\n", 300_000), runfile.Records{}, []string{"line 2", "longer than 1048576 bytes; is a quote left open?"}},
		{"time zone", "r.csv", "user_id,pitc_timestamp\n", runfile.Records{Timezone: "Mars"}, []string{`records.timezone: "Mars" is no time zone; use UTC`}},
		{"no Parquet", "r.parquet", "hello, this is text", runfile.Records{}, []string{"is no Parquet file that can be read", "write it again"}},
		{"short Parquet", "r.parquet", "PAR1", runfile.Records{}, []string{"write it again"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := write(t, tc.file, tc.text)
			_, wrong := read(t, path, Options{Columns: tc.columns, Families: families})
			if len(wrong) == 0 {
				t.Fatal("it was read")
			}
			last := wrong[len(wrong)-1]
			if _, bad := errors.AsType[*BadRecord](last); bad {
				t.Errorf("a bad record, so that reading would go on: %v", last)
			}
			for _, part := range tc.want {
				if !strings.Contains(last.Error(), part) {
					t.Errorf("%q is not in: %v", part, last)
				}
			}
		})
	}
	for path, want := range map[string]string{t.TempDir() + "/none.csv": "no such file", t.TempDir() + "/d.csv": "is a directory"} {
		if strings.HasSuffix(path, "d.csv") {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func fuzzText(f *testing.F, format string) {
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := newReader("r", bytes.NewReader(text), format, Options{Families: families})
		if err != nil {
			return
		}
		v := record.NewValidator(families)
		var last int64
		for row, err := range r.All() {
			if bad, ok := errors.AsType[*BadRecord](err); ok {
				if bad.Reason == "" || bad.Line <= last {
					t.Errorf("%+v after line %d", bad, last)
				}
				last = bad.Line
				continue
			}
			if err != nil {
				continue
			}
			if row.Line <= last {
				t.Errorf("line %d after line %d", row.Line, last)
			}
			last = row.Line
			if err := v.Check(&row.Record); err != nil {
				t.Errorf("a good record is bad: %v", err)
			}
		}
	})
}

func FuzzJSONL(f *testing.F) {
	f.Add([]byte("{\"user_id\":7,\"pitc_timestamp\":1738324800000}\n\r\n{\"user_id\":\"\\u00fc\"}"))
	fuzzText(f, ".jsonl")
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("user_id,pitc_timestamp,feature_families,attributes.a\r\nu,1,sms;geo,\"x\"\"\n\"\n\n,,\n"))
	f.Add([]byte("\"user_id\",\"pitc_timestamp\"\n\"a,1\n"))
	fuzzText(f, ".csv")
}

func BenchmarkText(b *testing.B) {
	var csv, jsonl strings.Builder
	csv.WriteString("user_id,pitc_timestamp,feature_families,attributes.country\n")
	const rows = 5000
	for i := range rows {
		fmt.Fprintf(&csv, "user-%d,2025-01-31T12:00:00Z,credit;sms,KE\n", i)
		fmt.Fprintf(&jsonl, `{"user_id":"user-%d","pitc_timestamp":"2025-01-31T12:00:00Z","feature_families":["credit","sms"],"attributes":{"country":"KE"}}`+"\n", i)
	}
	for _, tc := range []struct{ format, text string }{{".csv", csv.String()}, {".jsonl", jsonl.String()}} {
		b.Run(tc.format, func(b *testing.B) {
			b.SetBytes(int64(len(tc.text)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := newReader("r", strings.NewReader(tc.text), tc.format, Options{Families: families})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, err := range r.All() {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != rows {
					b.Fatal(n)
				}
			}
		})
	}
}
