package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// lists gives files to Merge, so many to a row group.
func lists(files [][]byte, each int) iter.Seq2[[]Source, error] {
	return func(yield func([]Source, error) bool) {
		for some := range slices.Chunk(files, each) {
			var sources []Source
			for _, f := range some {
				sources = append(sources, sourceOf(f))
			}
			if !yield(sources, nil) {
				return
			}
		}
	}
}

func merged(t testing.TB, files [][]byte, each int, want []FinalColumn) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Merge(t.Context(), lists(files, each), want, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// footer gives what a file says of its columns, row group by row group.
func footer(t testing.TB, file []byte) (columns []string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			m := c.MetaData
			columns = append(columns, fmt.Sprintf("%v: %d values, %d null, from %x to %x", m.PathInSchema, m.NumValues, m.Statistics.NullCount, m.Statistics.MinValue, m.Statistics.MaxValue))
		}
	}
	return columns
}

// Files of all kinds of values, some with columns that others do not have, are merged to what
// one file of all their rows would be, and its footer says the same.
func TestMerge(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pools := [][]any{
		{1, -7, 1 << 62, nil}, {0.5, -1e300, math.NaN(), math.Inf(1), math.Copysign(0, -1), nil}, {math.NaN()}, {nil},
		{true, false, nil}, {true}, {"", "text", strings.Repeat("long", 50), nil}, {jsonText(`{"a":1}`), nil}, {1, 0.5}, {3, "x"},
	}
	for round := range 20 {
		var all, rows []string
		var files [][]byte
		var columns [][]Column
		var messages []*packed.Message
		for range 1 + random.IntN(12) {
			var cells []cell
			for i := range 1 + random.IntN(200) {
				c := cell{user: fmt.Sprintf("u%03d", i), ms: int64(len(files))}
				for p, pool := range pools {
					if (len(files)+p)%7 != 0 {
						c.values = append(c.values, value{fmt.Sprint("f", p), pool[random.IntN(len(pool))]})
					}
				}
				cells = append(cells, c)
			}
			m := message(t, packed.DynamoDB, "credit", cells...)
			file, cols := write(t, nil, nil, m)
			files, columns, messages = append(files, file), append(columns, cols), append(messages, m)
		}
		final := Settle(nil, columns)
		for i := range files {
			_, rows = read(t, rewritten(t, files[i], final))
			all = append(all, rows...)
		}
		out := merged(t, files, len(files), final)
		if _, got := read(t, out); !slices.Equal(got, all) {
			t.Fatalf("round %d: the merged file has other rows", round)
		}
		var whole bytes.Buffer
		if _, _, err := WriteFamily(&whole, runfile.Family{ID: "credit"}, rowsOf(messages...), final); err != nil {
			t.Fatal(err)
		}
		if got, want := footer(t, out), footer(t, whole.Bytes()); !slices.Equal(got, want) {
			t.Fatalf("round %d: the merged file says of its columns\n%s\nwant\n%s", round, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// A file whose pages cannot be copied, because another program has written it with a
// dictionary and other compression, is read and written.
func TestMergeForeignPages(t *testing.T) {
	type row struct {
		User   string   `parquet:"user_id,dict,snappy"`
		At     int64    `parquet:"pitc_timestamp,timestamp(microsecond)"`
		Source string   `parquet:"source,dict"`
		N      *float64 `parquet:"n,dict"`
	}
	var foreign bytes.Buffer
	half := 0.5
	if err := parquet.Write(&foreign, []row{{"u1", 1000, "dynamodb", &half}, {"u2", 2000, "dynamodb", nil}}); err != nil {
		t.Fatal(err)
	}
	own, cols := write(t, nil, nil, message(t, packed.FeatureService, "credit", cell{"u3", 3, []value{{"n", 2.5}}}))
	for each, groups := range map[int]int{1: 3, 2: 2, 3: 1} {
		out := merged(t, [][]byte{own, foreign.Bytes(), own}, each, cols)
		f, err := parquet.OpenFile(bytes.NewReader(out), int64(len(out)))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(f.RowGroups()); n != groups {
			t.Errorf("%d files a row group: %d row groups, want %d", each, n, groups)
		}
		_, rows := read(t, out)
		want := []string{`"u3" 3000 "feature_service" 2.5f`, `"u1" 1000 "dynamodb" 0.5f`, `"u2" 2000 "dynamodb" -`, `"u3" 3000 "feature_service" 2.5f`}
		if !slices.Equal(rows, want) {
			t.Errorf("%d files a row group: rows\n%s", each, strings.Join(rows, "\n"))
		}
	}
}

// Row groups are gathered up to their bound: small ones of many files become one, and those
// of one file are no more gathered than those of several.
func TestMergedRowGroups(t *testing.T) {
	m := manyCells(t, 40_000)
	large, small := &FamilyRows{}, &FamilyRows{}
	for range 6 { // row groups of 80,000 rows
		large.Add(m, &m.Blocks[0], nil)
	}
	small.Add(m, &m.Blocks[0], nil)
	var files [][]byte
	var cols []Column
	for _, rows := range []*FamilyRows{small, large, small, small, small, small} {
		var file bytes.Buffer
		var err error
		if cols, _, err = WriteFamily(&file, runfile.Family{ID: "credit"}, rows, nil); err != nil {
			t.Fatal(err)
		}
		files = append(files, file.Bytes())
	}
	out := merged(t, files, len(files), cols)
	f, err := parquet.OpenFile(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, g := range f.RowGroups() {
		got = append(got, g.NumRows())
	}
	if want := []int64{120_000, 80_000, 120_000, 120_000}; !slices.Equal(got, want) {
		t.Errorf("row groups of %v rows, want %v", got, want)
	}
}

func TestMergeRefuses(t *testing.T) {
	file, cols := write(t, nil, nil, message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1}, {"s", "x"}}}))
	short := slices.Clone(file)
	footerAt := bytes.Index(short, []byte("fff.family"))
	for _, tc := range []struct {
		name  string
		files [][]byte
		want  []FinalColumn
		err   string
	}{
		{"no files", nil, cols, "there are no files"},
		{"a column that nobody wants", [][]byte{file}, colsOf("a int64"), `feature "s" of the file is not among the columns wanted`},
		{"cut short", [][]byte{file, short[:footerAt]}, cols, ""},
	} {
		err := Merge(t.Context(), lists(tc.files, 9), tc.want, &countWriter{})
		if err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
	}
	gone := errors.New("gone")
	failing := func(yield func([]Source, error) bool) { yield(nil, gone) }
	if err := Merge(t.Context(), failing, cols, &countWriter{}); !errors.Is(err, gone) {
		t.Errorf("a source that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Merge(ctx, lists([][]byte{file}, 1), cols, &countWriter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// FuzzMerge damages a file in a merge: that is an error, or a file that reads as it can, but
// never brings the program down.
func FuzzMerge(f *testing.F) {
	file, cols := write(f, nil, nil, message(f, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1.5}, {"s", "x"}, {"b", true}}}))
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		_ = Merge(t.Context(), lists([][]byte{file, data}, 2), cols, &b)
	})
}

// BenchmarkMerge merges 130 files of 950 rows of 60 doubles, one row group of the merged
// file; an operation is a value.
func BenchmarkMerge(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var files [][]byte
	var cols []Column
	const each, features, count = 950, 60, 130
	for range count {
		cells := make([]cell, each)
		for i := range cells {
			cells[i] = cell{user: fmt.Sprintf("user-%d", i), ms: 1}
			for f := range features {
				cells[i].values = append(cells[i].values, value{fmt.Sprintf("feature_%02d", f), math.Round(random.Float64()*1e6) / 1e6})
			}
		}
		file, of := write(b, nil, nil, message(b, packed.DynamoDB, "credit", cells...))
		files, cols = append(files, file), of
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Merge(b.Context(), lists(files, count), cols, &countWriter{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(each*features*count), "ns/value")
}
