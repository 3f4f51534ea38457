package dataset

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// cell is a row of a test block: a sample and its values by feature. Values are nil,
// int, float64, bool, string or jsonText.
type cell struct {
	user   string
	ms     int64
	values []value
}

type value struct {
	name string
	v    any
}

type jsonText string

// message packs cells of one family, all in one block, and decodes them.
func message(t testing.TB, src packed.Source, family string, cells ...cell) *packed.Message {
	t.Helper()
	b := packed.NewBuilder()
	block := b.NewBlock(family)
	for _, c := range cells {
		block.Begin()
		for _, v := range c.values {
			name := []byte(v.name)
			switch x := v.v.(type) {
			case nil:
				block.Null(name)
			case int:
				block.Int64(name, int64(x))
			case float64:
				block.Double(name, x)
			case bool:
				block.Bool(name, x)
			case string:
				block.String(name, []byte(x))
			case jsonText:
				block.JSON(name, []byte(x))
			default:
				t.Fatalf("no value: %T", x)
			}
		}
		block.End(b.Sample(c.user, c.ms))
	}
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, src), &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// rowsOf gathers all blocks of messages.
func rowsOf(messages ...*packed.Message) *FamilyRows {
	rows := &FamilyRows{Run: "demo"}
	for _, m := range messages {
		for i := range m.Blocks {
			rows.Add(m, &m.Blocks[i], nil)
		}
	}
	return rows
}

// write writes a family's file in memory.
func write(t testing.TB, features []runfile.Feature, known []Column, messages ...*packed.Message) ([]byte, []Column) {
	t.Helper()
	var b bytes.Buffer
	rows := rowsOf(messages...)
	cols, stats, err := WriteFamily(&b, runfile.Family{ID: "credit", Features: features}, rows, known)
	if err != nil {
		t.Fatal(err)
	}
	if len(stats) != len(cols) {
		t.Fatalf("statistics of %d columns, want %d", len(stats), len(cols))
	}
	return b.Bytes(), cols
}

// read gives a file's rows as text, one string a row: values between spaces, in order of
// the columns.
func read(t testing.TB, file []byte) (schema string, rows []string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.RowGroups() {
		r := group.Rows()
		buf := make([]parquet.Row, 7)
		for {
			n, err := r.ReadRows(buf)
			for _, row := range buf[:n] {
				rows = append(rows, rowText(row))
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return f.Schema().String(), rows
}

func rowText(row parquet.Row) string {
	var b bytes.Buffer
	for i, v := range row {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case v.IsNull():
			b.WriteString("-")
		case v.Kind() == parquet.ByteArray:
			fmt.Fprintf(&b, "%q", v.ByteArray())
		case v.Kind() == parquet.Double:
			fmt.Fprintf(&b, "%gf", v.Double())
		default:
			fmt.Fprint(&b, v)
		}
	}
	return b.String()
}
