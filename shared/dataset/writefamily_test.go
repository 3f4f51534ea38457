package dataset

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestWriteFamilySchemaGolden(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit", cell{"u1", 1000, []value{
		{"z_double", 1.5}, {"int", 1}, {"bool", true}, {"text", "x"}, {"list", jsonText(`[1]`)}, {"nothing", nil}, {"Source", 1}, {"INT", 2},
	}})
	features := []runfile.Feature{{Name: "declared", Type: runfile.Int64}}
	data, _ := write(t, features, nil, m)
	schema, _ := read(t, data)
	golden(t, "schema.txt", []byte(schema+"\n"))
}

// Rows of blocks with other columns and other kinds make one file.
func TestWriteFamilyOfMixedBlocks(t *testing.T) {
	a := message(t, packed.DynamoDB, "credit",
		cell{"u1", 1000, []value{{"b", 1}, {"a", 1.5}, {"nan", math.NaN()}, {"t", true}}},
		cell{"u2", -2001, []value{{"b", nil}, {"a", 5.0}, {"s", "x"}}},
	)
	b := message(t, packed.FeatureService, "credit",
		cell{"u3", 1001, []value{{"t", "hi"}, {"b", 1.5}, {"a", "y"}, {"j", jsonText(`[1, 2]`)}, {"z", nil}}},
		cell{"u3", 1002, nil},
	)
	data, cols := write(t, nil, nil, a, b)
	_, rows := read(t, data)
	want := []string{ // a b j nan s t z
		`"u1" 1000000 "dynamodb" "1.5" 1f - NaNf - "true" -`,
		`"u2" -2001000 "dynamodb" "5" - - - "x" - -`,
		`"u3" 1001000 "feature_service" "y" 1.5f "[1, 2]" - - "hi" -`,
		`"u3" 1002000 "feature_service" - - - - - - -`,
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	if want := colsOf("a string", "b double", "j string", "nan double", "s string", "t string", "z null"); !reflect.DeepEqual(cols, want) {
		t.Errorf("columns %v, want %v", cols, want)
	}
}

func TestWriteFamilyTakesOnlyTheRowsGiven(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit",
		cell{"u1", 1, []value{{"a", 1}}}, cell{"u2", 2, []value{{"a", 2}}}, cell{"u3", 3, []value{{"a", 3}}})
	rows := &FamilyRows{}
	rows.Add(m, &m.Blocks[0], []uint32{2, 0})
	rows.Add(m, &m.Blocks[0], []uint32{})
	if rows.Len() != 2 || rows.FromDynamoDB() != 2 {
		t.Fatalf("%d rows, %d from DynamoDB", rows.Len(), rows.FromDynamoDB())
	}
	var b bytes.Buffer
	_, stats, err := WriteFamily(&b, runfile.Family{ID: "credit"}, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []ColumnStats{{Kinds: 1 << packed.Int64, Varied: true}}; !slices.Equal(stats, want) {
		t.Errorf("statistics %+v, want %+v", stats, want)
	}
	_, got := read(t, b.Bytes())
	if want := []string{`"u3" 3000 "dynamodb" 3`, `"u1" 1000 "dynamodb" 1`}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	rows.Reset()
	if _, _, err := WriteFamily(&b, runfile.Family{ID: "credit"}, rows, nil); err == nil {
		t.Error("a file without rows was written")
	}
}

// Columns and types of the family's other files are taken over, so that nothing has to
// be rewritten at the end.
func TestWriteFamilyFollowsKnownColumns(t *testing.T) {
	first := message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1.5}, {"b", 1}, {"c", "x"}, {"e", 1 << 60}}})
	_, known := write(t, nil, nil, first)
	second := message(t, packed.DynamoDB, "credit", cell{"u2", 2, []value{{"d", true}, {"a", 7}, {"c", 8}, {"e", nil}}})
	data, cols := write(t, nil, known, second)
	_, rows := read(t, data)
	if want := []string{`"u2" 2000 "dynamodb" 7f - "8" true -`}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	want := colsOf("a double", "b int64", "c string", "d bool", "e int64!")
	if !reflect.DeepEqual(cols, want) {
		t.Errorf("columns %v, want %v", cols, want)
	}
	if final := Settle(nil, [][]Column{known, cols}); NeedsRewrite(cols, final) || !NeedsRewrite(known, final) {
		t.Errorf("final columns %v", final)
	}
}

func TestWriteFamilyHoldsDeclaredTypes(t *testing.T) {
	features := []runfile.Feature{{Name: "lat", Type: runfile.Double}, {Name: "visits", Type: runfile.Int64}, {Name: "label", Type: runfile.String}, {Name: "ok", Type: runfile.Bool}}
	m := message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"label", 5.0}, {"visits", 3.0}, {"lat", 2}}})
	mixed := message(t, packed.DynamoDB, "credit",
		cell{"u2", 2, []value{{"lat", 0.25}, {"visits", 9}, {"ok", true}}},
		cell{"u3", 3, []value{{"lat", "bad"}, {"visits", "bad"}, {"ok", "bad"}}})
	rows := rowsOf(m)
	rows.Add(mixed, &mixed.Blocks[0], []uint32{0}) // its columns hold texts
	var b bytes.Buffer
	cols, _, err := WriteFamily(&b, runfile.Family{ID: "credit", Features: features}, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, got := read(t, b.Bytes())
	want := []string{`"u1" 1000 "dynamodb" "5" 2f - 3`, `"u2" 2000 "dynamodb" - 0.25f true 9`}
	if !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if final := Settle(features, [][]Column{cols}); NeedsRewrite(cols, final) {
		t.Errorf("columns %v are not final: %v", cols, final)
	}
	rows.Add(mixed, &mixed.Blocks[0], []uint32{1})
	if _, _, err := WriteFamily(&b, runfile.Family{ID: "credit", Features: features}, rows, nil); err == nil || !strings.Contains(err.Error(), `feature "lat": the value "bad"`) {
		t.Errorf("drift gives %v", err)
	}
}

func TestWriteFamilyMetadata(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1}, {"A", nil}}})
	data, _ := write(t, nil, nil, m)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{metaRun: "demo", metaFamily: "credit", metaRenamed: `{"a_feature":"a"}`} {
		if got, _ := f.Lookup(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if by := f.Metadata().CreatedBy; !strings.HasPrefix(by, "fff version ") {
		t.Errorf("created by %q", by)
	}
	for _, c := range f.Metadata().RowGroups[0].Columns {
		if got := c.MetaData.Codec.String(); got != "ZSTD" {
			t.Errorf("column %v is compressed with %s", c.MetaData.PathInSchema, got)
		}
	}
}

// Statistics let readers skip row groups, so they must be right: NaN is in no bound.
func TestWriteFamilyStatistics(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit",
		cell{"u1", 1, []value{{"a", math.NaN()}, {"b", nil}}}, cell{"u2", 2, []value{{"a", -1.0}, {"b", 7}}}, cell{"u3", 3, []value{{"a", 4.0}, {"b", nil}}})
	data, _ := write(t, nil, nil, m)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: "u1 u3 0", 1: "1000 3000 0", 3: "-1 4 0", 4: "7 7 2"} {
		chunk := f.RowGroups()[0].ColumnChunks()[i].(*parquet.FileColumnChunk)
		low, high, _ := chunk.Bounds()
		got := fmt.Sprint(low, high, f.Metadata().RowGroups[0].Columns[i].MetaData.Statistics.NullCount)
		if got != want {
			t.Errorf("column %d has the statistics %s, want %s", i, got, want)
		}
	}
}

// Large input becomes several row groups, bounded by rows and by bytes.
func TestRowGroups(t *testing.T) {
	text := strings.Repeat("x", 64<<10)
	large := message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"text", text}}}, cell{"u2", 1, []value{{"text", text}}})
	small := manyCells(t, 1000)
	for _, tc := range []struct {
		name string
		m    *packed.Message
		adds int
		want []int // picks of each group
	}{
		{"one pick", small, 1, []int{1}},
		{"just one group", small, 100, []int{100}},
		{"by rows", small, 250, []int{100, 100, 50}},
		{"by bytes", large, 200, []int{127, 73}}, // 128 KB each
	} {
		rows := &FamilyRows{}
		for range tc.adds {
			rows.Add(tc.m, &tc.m.Blocks[0], nil)
		}
		var got []int
		for _, g := range rows.groups(1) {
			got = append(got, len(g))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: groups of %v picks, want %v", tc.name, got, tc.want)
		}
	}
}

// manyCells gives a message of rows that hold their number.
func manyCells(t *testing.T, n int) *packed.Message {
	t.Helper()
	cells := make([]cell, n)
	for i := range cells {
		cells[i] = cell{"u", int64(i), []value{{"n", i}}}
	}
	return message(t, packed.DynamoDB, "credit", cells...)
}

// Values of every kind survive chunks, pages and the columns that a block does not have.
func TestWriteFamilyManyRows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var messages []*packed.Message
	var want []string
	for range 40 {
		var cells []cell
		with := random.Perm(4)[:1+random.IntN(4)]
		for range 1 + random.IntN(900) {
			i := len(want) + 1
			c := cell{user: fmt.Sprint("u", i), ms: int64(i)}
			texts := [4]string{"-", "-", "-", "-"}
			for _, k := range with {
				if random.IntN(3) == 0 {
					continue
				}
				v := []any{i, float64(i) + 0.5, i%2 == 0, fmt.Sprint("text", i)}[k]
				texts[k] = []string{fmt.Sprint(i), fmt.Sprintf("%gf", float64(i)+0.5), fmt.Sprint(i%2 == 0), fmt.Sprintf("%q", fmt.Sprint("text", i))}[k]
				c.values = append(c.values, value{string("abcd"[k]), v})
			}
			cells = append(cells, c)
			want = append(want, fmt.Sprintf(`"u%d" %d000 "dynamodb" %s`, i, i, strings.Join(texts[:], " ")))
		}
		messages = append(messages, message(t, packed.DynamoDB, "credit", cells...))
	}
	data, _ := write(t, nil, nil, messages...)
	_, rows := read(t, data)
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i := range rows {
		if rows[i] != want[i] {
			t.Fatalf("row %d is %s, want %s", i, rows[i], want[i])
		}
	}
}

func TestWriteFamilyRefusesTimesOutOfRange(t *testing.T) {
	m := message(t, packed.DynamoDB, "credit", cell{"u1", math.MaxInt64 / 100, nil})
	_, _, err := WriteFamily(&countWriter{}, runfile.Family{ID: "credit"}, rowsOf(m), nil)
	if err == nil || !strings.Contains(err.Error(), "out of the range") {
		t.Errorf("error %v", err)
	}
}

type countWriter struct{ n int64 }

func (w *countWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

// BenchmarkWriteFamily writes 10,000 rows of 60 features: doubles of 8 random bits each, or
// fine and coarse fractions and counts by turns. Blocks of 100 rows are what hits become, those of
// one what is fetched one sample at a time.
func BenchmarkWriteFamily(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	bits8 := func(int) any { return 0.01 + float64(random.IntN(256)) }
	mixed := func(feature int) any {
		return []any{float64(random.IntN(1e6)) / 1e6, float64(random.IntN(1e4)) / 1e4, 10_000 + random.IntN(10_000)}[feature%3]
	}
	const n, features = 10_000, 60
	for _, bench := range []struct {
		name       string
		nulls, per int
		value      func(feature int) any
	}{{"nulls=0%", 0, 100, bits8}, {"nulls=10%", 10, 100, bits8}, {"mixed", 0, 100, mixed}, {"mixed,rows=4", 0, 4, mixed}, {"mixed,rows=1", 0, 1, mixed}} {
		b.Run(bench.name, func(b *testing.B) {
			rows := &FamilyRows{}
			for i := 0; i < n; i += bench.per {
				cells := make([]cell, bench.per)
				for j := range cells {
					cells[j] = cell{user: fmt.Sprintf("user-%07d", random.IntN(1e7)), ms: 1700000000000 + random.Int64N(1e10)}
					for k := range features {
						v := value{fmt.Sprintf("feature_%02d", k), bench.value(k)}
						if random.IntN(100) < bench.nulls {
							v.v = nil
						}
						cells[j].values = append(cells[j].values, v)
					}
				}
				m := message(b, packed.DynamoDB, "credit", cells...)
				rows.Add(m, &m.Blocks[0], nil)
			}
			w := &countWriter{}
			b.ReportAllocs()
			for b.Loop() {
				w.n = 0
				if _, _, err := WriteFamily(w, runfile.Family{ID: "credit"}, rows, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*features), "ns/value")
			b.ReportMetric(float64(w.n)/(n*features), "B/value")
		})
	}
}
