package dataset

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

func examplePart() *Part {
	p := &Part{Run: "demo", Epoch: 3, Name: "w1-7"}
	for i := range 10 {
		p.Keys = append(p.Keys, sample.KeyOf(fmt.Sprintf("u%d", i), 1700000000000))
	}
	some, all := NewBitmap(10), NewBitmap(10)
	for i := range 10 {
		all.Add(i)
		if i%3 == 0 {
			some.Add(i)
		}
	}
	sum := strings.Repeat("0123456789abcdef", 2)
	p.Families = []FamilyPart{
		{Family: "credit", Rows: all, FromDynamoDB: 7, File: File{Name: PartFile(3, "w1-7"), Rows: 10, Bytes: 12345, Checksum: sum, UploadID: "upload/1~", Columns: []Column{
			{Feature: "USER_ID", Name: "USER_ID_feature", Kind: packed.String},
			{Feature: "n", Name: "n", Kind: packed.Int64, ExactAsDouble: true},
			{Feature: "never", Name: "never", Kind: packed.Null},
		}}, Stats: []ColumnStats{
			{Kinds: 1<<packed.String | 1<<packed.Bool, Varied: true, Null: 3},
			{Kinds: 1 << packed.Int64, Same: 0x0102030405060709},
			{Absent: 4, Null: 10},
		}},
		{Family: "sms/é", Rows: some, File: File{Name: PartFile(3, "w1-7"), Rows: 4, Bytes: 99, Checksum: sum, Columns: []Column{}}},
		{Family: "empty", Rows: NewBitmap(10), File: File{Name: PartFile(3, "w1-7"), Checksum: sum, Columns: []Column{}}},
	}
	return p
}

func TestPartGolden(t *testing.T) {
	golden(t, "part.hex", []byte(hex.Dump(EncodePart(examplePart()))))
}

func TestPartRoundTrip(t *testing.T) {
	many := &Part{Run: "demo", Epoch: math.MaxUint64, Name: "x", Keys: make([]sample.Key, 1000), Families: []FamilyPart{}}
	for i := range 200 {
		rows := NewBitmap(1000)
		for j := range 1000 {
			if rand.IntN(200) < i {
				rows.Add(j)
			}
		}
		many.Families = append(many.Families, FamilyPart{Family: fmt.Sprint("f", i), Rows: rows, File: File{Name: "part-1-x.parquet", Columns: []Column{}}})
	}
	for name, p := range map[string]*Part{
		"example": examplePart(),
		"many":    many,
		"empty":   {Keys: []sample.Key{}, Families: []FamilyPart{}},
	} {
		got, err := DecodePart(EncodePart(p))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, p) {
			t.Errorf("%s: got %+v, want %+v", name, got, p)
		}
	}
}

// An index takes 16 bytes a sample and one bit a cell, and a bit for each family is
// saved where it holds all samples.
func TestPartIsCompact(t *testing.T) {
	const samples, families = 10_000, 50
	p := &Part{Run: "demo", Epoch: 1, Name: "x", Keys: make([]sample.Key, samples)}
	half := NewBitmap(samples)
	for i := range samples / 2 {
		half.Add(2 * i)
	}
	for i := range families {
		p.Families = append(p.Families, FamilyPart{Family: fmt.Sprint("f", i), Rows: half, File: File{Name: "part-1-x.parquet"}})
	}
	if got, limit := len(EncodePart(p)), samples*16+families*(samples/8+100); got > limit {
		t.Errorf("half full: %d bytes, want at most %d", got, limit)
	}
	full := NewBitmap(samples)
	for i := range samples {
		full.Add(i)
	}
	for i := range p.Families {
		p.Families[i].Rows = full
	}
	if got, limit := len(EncodePart(p)), samples*16+families*100; got > limit {
		t.Errorf("full: %d bytes, want at most %d", got, limit)
	}
}

func TestDecodePartRefusesDamage(t *testing.T) {
	data := EncodePart(examplePart())
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x40
		if _, err := DecodePart(bad); err == nil {
			t.Errorf("byte %d altered: no error", i)
		}
		if _, err := DecodePart(data[:i]); err == nil {
			t.Errorf("cut to %d bytes: no error", i)
		}
	}
	if _, err := DecodePart(append(bytes.Clone(data), 0)); err == nil {
		t.Error("a byte too many: no error")
	}
	next := bytes.Clone(data)
	next[len(indexMagic)] = indexVersion + 1
	if _, err := DecodePart(next); err == nil || !strings.Contains(err.Error(), "versions 2 to 4") {
		t.Errorf("next version: %v", err)
	}
}

// sealed gives a body a right checksum, so that the fields behind it are reached.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(body), xxh3.Hash(body))
}

func TestDecodePartRefusesNonsense(t *testing.T) {
	head := []byte(indexMagic + "\x03")
	named := slices.Concat(head, []byte("\x01r\x01\x01p")) // run, epoch, name
	for name, body := range map[string][]byte{
		"a string longer than the rest":  slices.Concat(head, []byte("\xc8\x01r")),
		"more keys than bytes":           slices.Concat(named, []byte("\xff\xff\xff\xff\x0f")),
		"a number without an end":        slices.Concat(named, []byte("\x80")),
		"more families than bytes":       slices.Concat(named, []byte("\x00\x64")),
		"a family without a file":        slices.Concat(named, []byte("\x00\x01\x01f\x00\x00\x00\x00\x00\x00\x00")),
		"a file name that leads outside": slices.Concat(named, []byte("\x00\x01\x01f\x0f../part-.parquet\x00\x00\x00\x00\x00\x00")),
	} {
		if p, err := DecodePart(sealed(body)); err == nil {
			t.Errorf("%s: no error but %+v", name, p)
		}
	}
}

func FuzzDecodePart(f *testing.F) {
	for _, p := range []*Part{examplePart(), {}} {
		data := EncodePart(p)
		f.Add(data[:len(data)-indexSumLen])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := DecodePart(sealed(body))
		if err != nil {
			return
		}
		again, err := DecodePart(EncodePart(p))
		if err != nil {
			t.Fatalf("decoded, but not after encoding: %v", err)
		}
		if !reflect.DeepEqual(p, again) {
			t.Errorf("got %+v, then %+v", p, again)
		}
	})
}

func TestBitmap(t *testing.T) {
	b := NewBitmap(130)
	for _, i := range []int{0, 63, 64, 129} {
		b.Add(i)
	}
	if b.Count() != 4 || !b.Has(129) || b.Has(128) || b.Has(1000) {
		t.Errorf("bitmap %x", b)
	}
	if b.within(129) || !b.within(130) || b.within(0) || !(Bitmap{0, 0}).within(0) {
		t.Error("within is wrong")
	}
}

// Indexes of the versions before lie in datasets; those of version 2 have no statistics.
func TestDecodePartReadsTheVersionsBefore(t *testing.T) {
	old := examplePart()
	for i := range old.Families {
		old.Families[i].Stats = nil
	}
	for file, want := range map[string]*Part{"part-v2.hex": old, "part-v3.hex": examplePart()} {
		dump, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		for line := range strings.Lines(string(dump)) {
			_, line, _ = strings.Cut(line, "  ")
			line, _, _ = strings.Cut(line, "|")
			bytes, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, bytes...)
		}
		if got, err := DecodePart(data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", file, got, err, want)
		}
	}
}

// TestPartOfManyFeaturesIsCompact: the features of a large part take little beside its keys.
func TestPartOfManyFeaturesIsCompact(t *testing.T) {
	p := widePart()
	got := len(EncodePart(p)) - 16*len(p.Keys)
	if limit := 25_000; got > limit {
		t.Errorf("beside the keys: %d bytes, want at most %d", got, limit)
	}
}

// widePart is as writers make them: 1,000 samples of 50 families of 60 features, of which some
// cells are elsewhere.
func widePart() *Part {
	const samples, families, features = 1_000, 50, 60
	p := &Part{Run: "demo", Epoch: 1, Name: "x"}
	for i := range samples {
		p.Keys = append(p.Keys, sample.KeyOf("user", int64(i)))
	}
	for i := range families {
		f := FamilyPart{Family: fmt.Sprint("family_", i), Rows: NewBitmap(samples), FromDynamoDB: samples, File: File{
			Name: "part-1-0123456789-17.parquet", Rows: samples, Bytes: 400_000 + int64(i), Checksum: fmt.Sprintf("%032x", p.Keys[i][:]),
		}}
		for n := range samples {
			if n%97 != i {
				f.Rows.Add(n)
			}
		}
		for j := range features {
			name := fmt.Sprintf("feature_%02d_of_%d", j, i)
			f.File.Columns = append(f.File.Columns, Column{Feature: name, Name: name, Kind: packed.Double})
			f.Stats = append(f.Stats, ColumnStats{Kinds: 1, Varied: true, Null: int64(j)})
		}
		p.Families = append(p.Families, f)
	}
	return p
}

// BenchmarkPart is an index as writers make them; bytes of it are its keys and the rest.
func BenchmarkPart(b *testing.B) {
	p := widePart()
	data := EncodePart(p)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			EncodePart(p)
		}
		b.ReportMetric(float64(len(data)), "bytes")
		b.ReportMetric(float64(len(data)-16*len(p.Keys)), "bytes-beside-keys")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodePart(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
