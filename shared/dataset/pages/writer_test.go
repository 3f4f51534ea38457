package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// testColumns are one of every type.
var testColumns = []Column{
	{Name: "id", Type: Text, Required: true},
	{Name: "at", Type: Timestamp, Required: true},
	{Name: "double", Type: Double},
	{Name: "int", Type: Int64},
	{Name: "bool", Type: Bool},
	{Name: "text", Type: Text, NoBounds: true},
}

// value is one of a column, nil for a null.
type value any

func randomValue(r *rand.Rand, c *Column, nulls int) value {
	if !c.Required && r.IntN(100) < nulls {
		return nil
	}
	switch c.Type {
	case Double:
		return []float64{r.NormFloat64(), math.Copysign(0, -1), 0, math.NaN(), math.Inf(1), math.Inf(-1), 1.5, float64(r.IntN(100)) / 100}[r.IntN(8)]
	case Int64, Timestamp:
		return []int64{r.Int64() - r.Int64(), 0, math.MinInt64, math.MaxInt64, int64(r.IntN(1000))}[r.IntN(5)]
	case Bool:
		return r.IntN(2) == 0
	default:
		return string(bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(40)))
	}
}

// put writes values in one of the ways that there are.
func put(r *rand.Rand, c *Chunk, values []value) {
	var numbers, flags []byte
	mask, null, trues := make([]uint64, (len(values)+63)/64), 0, bits{}
	for i, v := range values {
		if v == nil {
			null++
			continue
		}
		mask[i/64] |= 1 << (i % 64)
		switch v := v.(type) {
		case float64:
			numbers = binary.LittleEndian.AppendUint64(numbers, math.Float64bits(v))
		case int64:
			numbers = binary.LittleEndian.AppendUint64(numbers, uint64(v))
		case bool:
			trues.repeat(v, 1)
		case string:
			c.Text([]byte(v))
		}
	}
	switch flags = trues.appendTo(nil); {
	case len(numbers) > 0:
		c.Numbers(numbers)
	case len(flags) > 0 && r.IntN(2) == 0:
		c.Bits(flags, trues.n)
	default:
		for i := range trues.n {
			c.Bit(flags[i/8]>>(i%8)&1 != 0)
		}
	}
	switch {
	case null == 0 && r.IntN(2) == 0:
		c.Rows(len(values))
	case null == len(values) && r.IntN(2) == 0:
		c.Nulls(null)
	default:
		c.Mask(mask, len(values), null)
	}
}

// writeFile writes row groups of columns of values.
func writeFile(t testing.TB, r *rand.Rand, groups [][][]value) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, &Schema{Columns: testColumns, CreatedBy: "test version 1(build 2)", Meta: [][2]string{{"key", "value"}}})
	for _, group := range groups {
		for _, values := range group {
			c := w.Column()
			for len(values) > 0 {
				n := 1 + r.IntN(min(len(values), 300))
				put(r, c, values[:n])
				values = values[n:]
			}
			if err := w.EndColumn(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func randomGroups(r *rand.Rand) [][][]value {
	groups := make([][][]value, 1+r.IntN(3))
	for g := range groups {
		rows := []int{1, 2, 7, 64, 65, 500, 3000, 70_000}[r.IntN(8)]
		for i := range testColumns {
			nulls := []int{0, 0, 5, 50, 100}[r.IntN(5)]
			values := make([]value, rows)
			for row := range values {
				values[row] = randomValue(r, &testColumns[i], nulls)
			}
			groups[g] = append(groups[g], values)
		}
	}
	return groups
}

// What another reader finds in a file is what was put in, and the statistics are those of the
// values.
func TestWriter(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		groups := randomGroups(r)
		data := writeFile(t, r, groups)
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.RowGroups()) != len(groups) {
			t.Fatalf("%d row groups of %d", len(f.RowGroups()), len(groups))
		}
		for g, group := range f.RowGroups() {
			for i, chunk := range group.ColumnChunks() {
				name := fmt.Sprintf("seed %d, row group %d, column %s", seed, g, testColumns[i].Name)
				sameValues(t, name, readChunk(t, chunk), groups[g][i])
				meta := &f.Metadata().RowGroups[g].Columns[i].MetaData
				sameStatistics(t, name, meta.Statistics, &testColumns[i], groups[g][i])
				if meta.NumValues != int64(len(groups[g][i])) || meta.TotalUncompressedSize <= 0 {
					t.Errorf("%s: %+v", name, meta)
				}
			}
		}
	}
}

func readChunk(t *testing.T, chunk parquet.ColumnChunk) (values []value) {
	pages := chunk.Pages()
	defer pages.Close()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			t.Fatal(err)
		}
		read := make([]parquet.Value, page.NumValues())
		if n, err := page.Values().ReadValues(read); n != len(read) {
			t.Fatalf("%d values of %d: %v", n, len(read), err)
		}
		for _, v := range read {
			switch {
			case v.IsNull():
				values = append(values, nil)
			case v.Kind() == parquet.Double:
				values = append(values, v.Double())
			case v.Kind() == parquet.Int64:
				values = append(values, v.Int64())
			case v.Kind() == parquet.Boolean:
				values = append(values, v.Boolean())
			default:
				values = append(values, string(v.ByteArray()))
			}
		}
	}
}

func sameValues(t *testing.T, name string, got, want []value) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values of %d", name, len(got), len(want))
	}
	for i := range got {
		a, number := got[i].(float64)
		b, _ := want[i].(float64)
		if number && math.Float64bits(a) == math.Float64bits(b) {
			continue
		}
		if number || got[i] != want[i] {
			t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// sameStatistics compares statistics with those of a plain loop over the values.
func sameStatistics(t *testing.T, name string, got format.Statistics, c *Column, values []value) {
	t.Helper()
	var want format.Statistics
	var least, most value
	for _, v := range values {
		if v == nil {
			want.NullCount++
			continue
		}
		if d, ok := v.(float64); ok && math.IsNaN(d) {
			continue
		}
		if least == nil || less(v, least) {
			least = v
		}
		if most == nil || less(most, v) {
			most = v
		}
	}
	if least != nil && !c.NoBounds {
		want.MinValue, want.MaxValue = plain(least, true), plain(most, false)
	}
	if got.NullCount != want.NullCount || !bytes.Equal(got.MinValue, want.MinValue) || !bytes.Equal(got.MaxValue, want.MaxValue) {
		t.Errorf("%s: statistics %+v, want %+v", name, got, want)
	}
}

func less(a, b value) bool {
	switch a := a.(type) {
	case float64:
		return a < b.(float64)
	case int64:
		return a < b.(int64)
	case bool:
		return !a && b.(bool)
	default:
		return a.(string) < b.(string)
	}
}

// plain gives a bound's bytes. Of the two zeros -0 is the least, and +0 the greatest.
func plain(v value, least bool) []byte {
	switch v := v.(type) {
	case float64:
		if v == 0 && least {
			v = math.Copysign(0, -1)
		} else if v == 0 {
			v = 0
		}
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
	case int64:
		return binary.LittleEndian.AppendUint64(nil, uint64(v))
	case bool:
		if v {
			return []byte{1}
		}
		return []byte{0}
	default:
		return []byte(v.(string))
	}
}

func TestPageHeader(t *testing.T) {
	page := []byte("compressed")
	var got format.PageHeader
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), appendPageHeader(nil, 70_000, page, 9000), &got); err != nil {
		t.Fatal(err)
	}
	d := got.DataPageHeader.V
	if got.Type != format.DataPage || got.UncompressedPageSize != 70_000 || got.CompressedPageSize != 10 || got.CRC == 0 ||
		d.NumValues != 9000 || d.Encoding != format.Plain || d.DefinitionLevelEncoding != format.RLE || d.RepetitionLevelEncoding != format.RLE {
		t.Errorf("%+v", got)
	}
}

func TestWriterSaysWhatIsWrong(t *testing.T) {
	full := errors.New("full")
	w := NewWriter(failing{full}, &Schema{Columns: testColumns})
	c := w.Column()
	for i := range 1000 {
		c.Text([]byte(fmt.Sprintf("%032x", rand.New(rand.NewPCG(1, uint64(i))).Uint64())))
		c.Rows(1)
		c.flush()
	}
	if err := w.EndColumn(); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	w = NewWriter(io.Discard, &Schema{Columns: []Column{{Name: "a"}, {Name: "b"}}})
	w.Column().Nulls(2)
	if err := w.EndColumn(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("a row group without its last column was closed")
	}
	w.Column().Nulls(1)
	if err := w.EndColumn(); err == nil {
		t.Error("a column may be shorter than the first")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// FuzzWriter writes a column of numbers with nulls, in rows and pieces as the input says.
func FuzzWriter(f *testing.F) {
	f.Add(uint64(1), uint16(3), uint8(10))
	f.Add(uint64(2), uint16(40_000), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint16, nulls uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		group := make([][]value, len(testColumns))
		for i := range group {
			for range int(rows) + 1 {
				group[i] = append(group[i], randomValue(r, &testColumns[i], int(nulls)))
			}
		}
		data := writeFile(t, r, [][][]value{group})
		in, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for i, chunk := range in.RowGroups()[0].ColumnChunks() {
			sameValues(t, testColumns[i].Name, readChunk(t, chunk), group[i])
		}
	})
}
