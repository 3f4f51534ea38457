package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func sourceOf(file []byte) Source { return Source{bytes.NewReader(file), int64(len(file))} }

// rewritten rewrites a file in memory.
func rewritten(t testing.TB, file []byte, want []FinalColumn) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Rewrite(t.Context(), sourceOf(file), want, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRewriteToFinalColumns(t *testing.T) {
	one, oneCols := write(t, nil, nil, message(t, packed.DynamoDB, "credit",
		cell{"u1", 1, []value{{"i", 1}, {"n", 1}, {"big", 1 << 60}, {"s", 2.5}, {"b", true}, {"x", nil}, {"a", "low"}}},
		cell{"u2", 2, []value{{"i", nil}, {"n", -3}, {"s", 1e21}}}))
	two, twoCols := write(t, nil, nil, message(t, packed.FeatureService, "credit",
		cell{"u3", 3, []value{{"n", 0.5}, {"big", 0.5}, {"s", "text"}, {"b", 1}, {"x", 9}, {"A", "high"}, {"new", false}}}))
	final := Settle(nil, [][]Column{oneCols, twoCols})
	first, second := rewritten(t, one, final), rewritten(t, two, final)

	schema1, rows1 := read(t, first)
	schema2, rows2 := read(t, second)
	if schema1 != schema2 {
		t.Errorf("schemas differ:\n%s\n%s", schema1, schema2)
	}
	// A a_feature b big i n new s x
	want := []string{
		`"u1" 1000 "dynamodb" - "low" "true" "1152921504606846976" 1 1f - "2.5" -`,
		`"u2" 2000 "dynamodb" - - - - - -3f - "1e+21" -`,
		`"u3" 3000 "feature_service" "high" - "1" "0.5" - 0.5f false "text" 9`,
	}
	if got := slices.Concat(rows1, rows2); !slices.Equal(got, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// A file that is rewritten once more, when another file came, still knows its features.
	final = Settle(nil, [][]Column{final, colsOf("AA bool", "i string")})
	_, rows := read(t, rewritten(t, first, final))
	if want := `"u1" 1000 "dynamodb" - - "low" "true" "1152921504606846976" "1" 1f - "2.5" -`; rows[0] != want {
		t.Errorf("row %s, want %s", rows[0], want)
	}
}

func TestRewriteKeepsMetadata(t *testing.T) {
	file, cols := write(t, nil, nil, message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"family", 1}}}))
	out := rewritten(t, file, cols)
	f, err := parquet.OpenFile(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{metaRun: "demo", metaFamily: "credit", metaRenamed: `{"family_feature":"family"}`} {
		if got, _ := f.Lookup(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// However cells are dealt out to blocks and files, the settled files hold the same.
func TestGroupingDoesNotShow(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	pool := []any{nil, 1, -5, 1 << 52, 1<<53 + 1, 0.5, 5.0, 1e-9, 1e25, math.Inf(-1), true, "5", "text", jsonText(`{"a":1}`)}
	for round := range 30 {
		var cells []cell
		for i := range 40 {
			c := cell{user: fmt.Sprintf("u%02d", i), ms: 1}
			for f := range 8 {
				if kind := pool[random.IntN(1+(round+f)%len(pool))]; kind != nil {
					c.values = append(c.values, value{fmt.Sprint("f", f), kind})
				}
			}
			cells = append(cells, c)
		}
		whole := settledRows(t, random, cells, 1, 1)
		apart := settledRows(t, random, cells, 1+random.IntN(5), 1+random.IntN(9))
		if !slices.Equal(whole, apart) {
			for i := range whole {
				if whole[i] != apart[i] {
					t.Fatalf("round %d: together\n%s\napart\n%s", round, whole[i], apart[i])
				}
			}
		}
	}
}

// settledRows writes cells to some files of some blocks each, settles them, and gives all
// rows.
func settledRows(t *testing.T, random *rand.Rand, cells []cell, files, blocks int) []string {
	var written [][]byte
	var columns [][]Column
	var known []Column
	for chunk := range slices.Chunk(cells, (len(cells)+files-1)/files) {
		var messages []*packed.Message
		for some := range slices.Chunk(chunk, (len(chunk)+blocks-1)/blocks) {
			messages = append(messages, message(t, packed.DynamoDB, "credit", some...))
		}
		file, cols := write(t, nil, known, messages...)
		written, columns = append(written, file), append(columns, cols)
		if random.IntN(2) == 0 {
			known = cols
		}
	}
	final := Settle(nil, columns)
	var rows []string
	for i := range written {
		if NeedsRewrite(columns[i], final) {
			written[i] = rewritten(t, written[i], final)
		}
		_, r := read(t, written[i])
		rows = append(rows, r...)
	}
	return rows
}

func TestRewriteManyRowGroups(t *testing.T) {
	const perMessage, messages = 1000, 101
	m := manyCells(t, perMessage)
	rows := &FamilyRows{}
	for range messages {
		rows.Add(m, &m.Blocks[0], nil)
	}
	var file bytes.Buffer
	cols, _, err := WriteFamily(&file, runfile.Family{ID: "credit"}, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := rewritten(t, file.Bytes(), Settle(nil, [][]Column{cols, colsOf("n double", "m bool")}))
	f, err := parquet.OpenFile(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.RowGroups()); n != 2 {
		t.Errorf("%d row groups, want 2", n)
	}
	_, got := read(t, out)
	if len(got) != perMessage*messages {
		t.Fatalf("%d rows, want %d", len(got), perMessage*messages)
	}
	for i, row := range got {
		n := i % perMessage
		if want := fmt.Sprintf(`"u" %d "dynamodb" - %gf`, n*1000, float64(n)); row != want {
			t.Fatalf("row %d is %s, want %s", i, row, want)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	file, cols := write(t, nil, nil, message(t, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1<<60 + 1}, {"s", "x"}}}))
	var foreign bytes.Buffer
	type row struct {
		User string `parquet:"user"`
	}
	if err := parquet.Write(&foreign, []row{{"u"}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		file []byte
		want []FinalColumn
		err  string
	}{
		{"an integer that would be lost", file, colsOf("a double", "s string"), `feature "a"`},
		{"text to a number", file, colsOf("a int64", "s double"), `feature "s"`},
		{"a column that nobody wants", file, colsOf("a int64"), `feature "s" of the file is not among the columns wanted`},
		{"another file", foreign.Bytes(), cols, "no file of a family"},
		{"no Parquet", []byte("hello, this is text"), cols, ""},
		{"nothing", nil, cols, ""},
		{"cut short", file[:len(file)-10], cols, ""},
	} {
		err := Rewrite(t.Context(), sourceOf(tc.file), tc.want, &countWriter{})
		if err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Rewrite(ctx, sourceOf(file), cols, &countWriter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// FuzzOpenParquet damages a file's footer: that is an error, or it reads as it can, but
// never brings the program down.
func FuzzOpenParquet(f *testing.F) {
	file, _ := write(f, nil, nil, message(f, packed.DynamoDB, "credit", cell{"u1", 1, []value{{"a", 1}, {"s", "x"}, {"b", true}}}))
	f.Add(file)
	f.Add(file[len(file)-200:])
	f.Add([]byte("PAR1\xff\xff\xff\x7fPAR1"))
	f.Add([]byte("PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := openParquet(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if _, err := featuresOf(in); err == nil && len(in.Schema().Fields()) < keyColumns {
			t.Error("a file without the key columns was opened")
		}
	})
}
