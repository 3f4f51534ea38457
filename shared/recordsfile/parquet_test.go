package recordsfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// encode makes a Parquet file with two rows a row group.
func encode[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	for len(rows) > 0 {
		n := min(2, len(rows))
		if _, err := w.Write(rows[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		rows = rows[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeParquet[T any](t *testing.T, rows []T, options ...parquet.WriterOption) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.parquet")
	if err := os.WriteFile(path, encode(t, rows, options...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type wideRow struct {
	Noise    []int64  `parquet:"noise,list"`
	UserID   int64    `parquet:"user_id"`
	Time     int64    `parquet:"pitc_timestamp,timestamp(microsecond)"`
	Families []string `parquet:"feature_families,optional,list"`
	Country  *string  `parquet:"attributes.country,optional"`
	Age      int32    `parquet:"age"`
	Score    float64  `parquet:"score"`
	Adult    bool     `parquet:"adult"`
	Born     int32    `parquet:"born,date"`
	Seen     int64    `parquet:"seen,timestamp(nanosecond)"`
}

func TestParquet(t *testing.T) {
	ke := "K\"E"
	path := writeParquet(t, []wideRow{
		{[]int64{1, 2, 3}, 7, noon * 1000, []string{"sms", "geo"}, &ke, 5, 1.5, true, 1, 1_500_000_000},
		{nil, -8, -1000, nil, nil, -5, math.NaN(), false, -1, 0},
		{nil, 9, noon*1000 + 1000, []string{"sms", "geo"}, &ke, 0, 1e300, true, 20089, noon * 1e6},
	})
	rows, wrong := read(t, path, Options{Families: families, Columns: runfile.Records{Attributes: []string{"age", "score", "adult", "born", "seen"}}})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	want := []Row{
		row(1, "7", noon, `{"age":5,"score":1.5,"adult":true,"born":"1970-01-02","seen":"1970-01-01T00:00:01.5Z","country":"K\"E"}`, "sms", "geo"),
		row(2, "-8", -1, `{"age":-5,"score":null,"adult":false,"born":"1969-12-31","seen":"1970-01-01T00:00:00Z","country":null}`),
		row(3, "9", noon+1, `{"age":0,"score":1e+300,"adult":true,"born":"2025-01-01","seen":"2025-01-31T12:00:00Z","country":"K\"E"}`, "sms", "geo"),
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("got  %+v\nwant %+v", rows, want)
	}
}

// one is a file with one time column of some type.
type one[T any] struct {
	UserID string `parquet:"user_id"`
	Time   T      `parquet:"pitc_timestamp"`
}

type (
	millis struct {
		UserID string `parquet:"user_id"`
		Time   int64  `parquet:"pitc_timestamp,timestamp(millisecond)"`
	}
	nanos struct {
		UserID string `parquet:"user_id"`
		Time   int64  `parquet:"pitc_timestamp,timestamp(nanosecond)"`
	}
	local struct {
		UserID string `parquet:"user_id"`
		Time   int64  `parquet:"pitc_timestamp,timestamp(microsecond:local)"`
	}
	nullable struct {
		UserID *string `parquet:"user_id,optional"`
		Time   *int64  `parquet:"pitc_timestamp,timestamp(millisecond),optional"`
	}
	date struct {
		UserID string `parquet:"user_id"`
		Time   int32  `parquet:"pitc_timestamp,date"`
	}
	listed struct {
		UserID   string   `parquet:"user_id"`
		Time     int64    `parquet:"pitc_timestamp"`
		Families []string `parquet:"feature_families"`
	}
	holes struct {
		UserID   string    `parquet:"user_id"`
		Time     int64     `parquet:"pitc_timestamp"`
		Families []*string `parquet:"feature_families,list"`
	}
	joined struct {
		UserID   string `parquet:"user_id"`
		Time     int64  `parquet:"pitc_timestamp"`
		Families string `parquet:"feature_families"`
	}
	structured struct {
		UserID     string `parquet:"user_id"`
		Time       int64  `parquet:"pitc_timestamp"`
		Attributes struct {
			Country string `parquet:"country"`
			Age     uint32 `parquet:"age"`
		} `parquet:"attributes"`
	}
)

func TestParquetTypes(t *testing.T) {
	berlin := runfile.Records{Timezone: "Europe/Berlin"}
	s := structured{UserID: "a", Time: 1}
	s.Attributes.Country, s.Attributes.Age = "KE", math.MaxUint32
	julian := deprecated.Int96{0, 0, 2440588 + 1}
	nanosOfDay := uint64(7_000_000)
	julian[0], julian[1] = uint32(nanosOfDay), uint32(nanosOfDay>>32)
	for _, tc := range []struct {
		name, path string
		columns    runfile.Records
		want       Row
	}{
		{"milliseconds", writeParquet(t, []millis{{"a", noon}}), runfile.Records{}, row(1, "a", noon, "")},
		{"nanoseconds", writeParquet(t, []nanos{{"a", noon * 1_000_000}}), runfile.Records{}, row(1, "a", noon, "")},
		{"no zone", writeParquet(t, []local{{"a", noon * 1000}}), berlin, row(1, "a", noon-3600_000, "")},
		{"zone that is not needed", writeParquet(t, []millis{{"a", noon}}), berlin, row(1, "a", noon, "")},
		{"int64", writeParquet(t, []one[int64]{{"a", noon}}), runfile.Records{}, row(1, "a", noon, "")},
		{"string", writeParquet(t, []one[string]{{"a", "2025-01-31T12:00:00Z"}}), runfile.Records{}, row(1, "a", noon, "")},
		{"integer as string", writeParquet(t, []one[string]{{"a", "1738324800000"}}), runfile.Records{}, row(1, "a", noon, "")},
		{"Spark's int96", writeParquet(t, []one[deprecated.Int96]{{"a", julian}}), runfile.Records{}, row(1, "a", 86_400_007, "")},
		{"bare list", writeParquet(t, []listed{{"a", 1, []string{"geo", "sms"}}}), runfile.Records{}, row(1, "a", 1, "", "geo", "sms")},
		{"bare list, empty", writeParquet(t, []listed{{"a", 1, nil}}), runfile.Records{}, row(1, "a", 1, "")},
		{"joined list", writeParquet(t, []joined{{"a", 1, "geo;sms"}}), runfile.Records{}, row(1, "a", 1, "", "geo", "sms")},
		{"struct of attributes", writeParquet(t, []structured{s}), runfile.Records{}, row(1, "a", 1, `{"country":"KE","age":4294967295}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, wrong := read(t, tc.path, Options{Families: families, Columns: tc.columns})
			if len(wrong) > 0 || !reflect.DeepEqual(rows, []Row{tc.want}) {
				t.Errorf("got %+v, %v, want %+v", rows, wrong, tc.want)
			}
		})
	}
}

func TestBadParquetRows(t *testing.T) {
	berlin := runfile.Records{Timezone: "Europe/Berlin"}
	a, at := "a", int64(noon)
	good := nullable{&a, &at}
	sms := "sms"
	spring, autumn := int64(1743301800_000_000), int64(1761445800_000_000) // 02:30 by the clock
	for _, tc := range []struct {
		name, path    string
		columns       runfile.Records
		line          int64
		field, reason string
	}{
		{"user null", writeParquet(t, []nullable{good, {nil, &at}, good}), runfile.Records{}, 2, "user_id", "it is null; give a value"},
		{"time null", writeParquet(t, []nullable{good, good, {&a, nil}}), runfile.Records{}, 3, "pitc_timestamp", "it is null; give a value"},
		{"too fine", writeParquet(t, []nanos{{"a", 0}, {"a", 1}, {"a", 0}}), runfile.Records{}, 2, "pitc_timestamp", "finer than milliseconds; round it"},
		{"out of range", writeParquet(t, []one[int64]{{"a", 0}, {"a", noon * 1000}, {"a", 0}}), runfile.Records{}, 2, "pitc_timestamp", "give epoch milliseconds"},
		{"text", writeParquet(t, []one[string]{{"a", "0"}, {"a", "today"}, {"a", "0"}}), runfile.Records{}, 2, "pitc_timestamp", `"today" is no time`},
		{"user empty", writeParquet(t, []one[int64]{{"a", 0}, {"", 0}, {"a", 0}}), runfile.Records{}, 2, "user_id", "it is empty"},
		{"nonexistent hour", writeParquet(t, []local{{"a", 0}, {"a", spring}, {"a", 0}}), berlin, 2, "pitc_timestamp", "2025-03-30T02:30:00 does not exist in this time zone"},
		{"hour that is two", writeParquet(t, []local{{"a", 0}, {"a", autumn}, {"a", 0}}), berlin, 2, "pitc_timestamp", "2025-10-26T02:30:00 occurs twice"},
		{"family", writeParquet(t, []listed{{"a", 0, nil}, {"a", 0, []string{"x"}}, {"a", 0, nil}}), runfile.Records{}, 2, "feature_families", `"x" is no family`},
		{"empty list", writeParquet(t, []holes{{"a", 0, []*string{&sms}}, {"a", 0, []*string{}}, {"a", 0, []*string{&sms}}}), runfile.Records{}, 2, "feature_families", "the list is empty"},
		{"null in the list", writeParquet(t, []holes{{"a", 0, []*string{&sms}}, {"a", 0, []*string{&sms, nil}}, {"a", 0, []*string{&sms}}}), runfile.Records{}, 2, "feature_families", "an item is null; name a family"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, wrong := read(t, tc.path, Options{Families: families, Columns: tc.columns})
			if len(rows) != 2 || len(wrong) != 1 {
				t.Fatalf("rows %+v, wrong %v", rows, wrong)
			}
			b, ok := errors.AsType[*BadRecord](wrong[0])
			if !ok || b.Line != tc.line || b.Field != tc.field || !strings.Contains(b.Reason, tc.reason) || !strings.Contains(b.Raw, "user_id") {
				t.Errorf("got %#v, want row %d, field %q, reason %q", wrong[0], tc.line, tc.field, tc.reason)
			}
			if prefix := fmt.Sprintf("%s: row %d: %s: ", tc.path, tc.line, tc.field); !strings.HasPrefix(b.Error(), prefix) {
				t.Errorf("%q does not begin with %q", b.Error(), prefix)
			}
		})
	}
}

func TestBadParquetFiles(t *testing.T) {
	whole := encode(t, []millis{{"a", 1}, {"b", 2}, {"c", 3}})
	for _, tc := range []struct {
		name, path string
		columns    runfile.Records
		want       string
	}{
		{"no rows", writeParquet(t, []millis{}), runfile.Records{}, "holds no records"},
		{"missing column", writeParquet(t, []millis{{"a", 1}}), runfile.Records{UserID: "uid"}, `has no column "uid"; it has "user_id", "pitc_timestamp": name the right one as records.user_id`},
		{"no zone", writeParquet(t, []local{{"a", 1}}), runfile.Records{}, `the times of column "pitc_timestamp" have no time zone; set records.timezone`},
		{"date", writeParquet(t, []date{{"a", 1}}), runfile.Records{}, `column "pitc_timestamp" is of type DATE; times are TIMESTAMP, strings, or int64`},
		{"double", writeParquet(t, []one[float64]{{"a", 1}}), runfile.Records{}, "is of type DOUBLE; times are TIMESTAMP"},
		{"user double", writeParquet(t, []one[float64]{{"a", 1}}), runfile.Records{UserID: "pitc_timestamp", PITCTimestamp: "user_id"}, "user ids are strings or integers"},
		{"user a list", writeParquet(t, []listed{{"a", 1, nil}}), runfile.Records{UserID: "feature_families", FeatureFamilies: "user_id"}, "is a list; user ids are strings or integers"},
		{"families integers", writeParquet(t, []wideRow{{}}), runfile.Records{FeatureFamilies: "noise"}, "families are a list of strings"},
		{"attribute a list", writeParquet(t, []wideRow{{}}), runfile.Records{Attributes: []string{"noise"}}, "is no single value; attributes are strings"},
		{"cut off", write(t, "r.parquet", string(whole[:len(whole)/2])), runfile.Records{}, "write it again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, wrong := read(t, tc.path, Options{Families: families, Columns: tc.columns})
			if len(rows) > 0 || len(wrong) != 1 || !strings.Contains(wrong[0].Error(), tc.want) {
				t.Errorf("rows %+v, wrong %v, want %q", rows, wrong, tc.want)
			}
		})
	}
}

func TestCheckParquet(t *testing.T) {
	s, u := structured{UserID: "a", Time: 1}, structured{UserID: "a", Time: 1}
	u.Attributes.Age = 1
	path := writeParquet(t, []structured{s, s, u})
	r, err := checkFile(t, path, Options{Families: families})
	data, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(data)); err == nil && r.Hash != want {
		t.Errorf("hash %s, want %s", r.Hash, want)
	}
	if err != nil || r.Records != 3 || r.Samples != 1 || r.Cells != 3 || r.BadTotal != 1 || !strings.Contains(r.Bad[0].Error(), "row 3: attributes: the sample was given before") {
		t.Errorf("got %+v, %v", r, err)
	}
}

// FuzzParquet changes bytes of a good file: errors, but no panic.
func FuzzParquet(f *testing.F) {
	ke := "KE"
	f.Add(encode(f, []wideRow{{[]int64{1}, 7, noon * 1000, []string{"sms"}, &ke, 5, 1.5, true, 1, 1}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		p, err := newParquet("r.parquet", bytes.NewReader(data), int64(len(data)), Options{Families: families})
		if err != nil {
			return
		}
		r := Reader{name: "r.parquet", rows: p}
		n := 0
		for range r.All() {
			if n++; n > 10_000 {
				break
			}
		}
		if err := r.Close(); err != nil {
			t.Log(err)
		}
	})
}

func BenchmarkParquet(b *testing.B) {
	ke := "KE"
	rows := make([]wideRow, 5000)
	for i := range rows {
		rows[i] = wideRow{nil, int64(i), noon*1000 + int64(i)*1000, []string{"sms", "geo"}, &ke, 5, 1.5, true, 1, 1}
	}
	var buf bytes.Buffer
	if err := parquet.Write(&buf, rows); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p, err := newParquet("r.parquet", bytes.NewReader(buf.Bytes()), int64(buf.Len()), Options{Families: families})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		r := Reader{rows: p}
		for _, err := range r.All() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(rows) {
			b.Fatal(n)
		}
	}
}
