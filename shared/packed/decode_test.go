package packed_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

var update = flag.Bool("update", false, "write golden files anew")

// small builds a message with all kinds, nulls, a late column and two blocks.
func small() *packed.Builder {
	b := packed.NewBuilder()
	k := b.NewBlock("credit")
	k.Begin()
	k.Double([]byte("score"), 0.5)
	k.Int64([]byte("loans"), -3)
	k.Bool([]byte("active"), true)
	k.String([]byte("band"), []byte("größer"))
	k.JSON([]byte("history"), []byte(`[1,2]`))
	k.Null([]byte("never"))
	k.End(b.Sample("user-1", 1738324800000))
	k.Begin()
	k.Double([]byte("score"), math.Inf(-1))
	k.Bool([]byte("active"), false)
	k.Int64([]byte("late"), 7)
	k.End(b.Sample("user-2", -1))
	k.Repeat(b.Sample("user-1", 0))
	b.Block("empty")
	k = b.Block("sms")
	k.Begin()
	k.End(b.Sample("user-2", -1))
	return b
}

// TestGolden guards the wire form: messages of an older version may still be queued.
func TestGolden(t *testing.T) {
	t.Parallel()
	const file = "testdata/small.golden"
	got := small().Encode(nil, packed.FeatureService)
	if *update {
		if err := os.WriteFile(file, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(got) != string(want) {
		t.Errorf("the wire form has changed; a change needs a new version. Got\n%swant\n%s", hex.Dump(got), want)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var m packed.Message
	if err := packed.Decode(small().Encode(nil, packed.FeatureService), &m); err != nil {
		t.Fatal(err)
	}
	if m.Source.String() != "feature_service" || len(m.Samples) != 3 || len(m.Blocks) != 2 || m.Blocks[1].Rows() != 1 {
		t.Fatalf("%v, %d samples, %d blocks", m.Source, len(m.Samples), len(m.Blocks))
	}
	var lines []string
	credit := &m.Blocks[0]
	for i := range credit.Columns {
		c := &credit.Columns[i]
		line := c.Name + " " + c.Kind.String()
		for row := range credit.Rows() {
			line += " " + string(c.Text(nil, row))
			if c.IsNull(row) {
				line += "-"
			}
		}
		lines = append(lines, line)
	}
	want := `score double 0.5 -Infinity -Infinity
loans int64 -3 - -
active bool true false false
band string größer - -
history json [1,2] - -
never null - - -
late int64 - 7 7`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestDamaged flips, cuts and adds: each change must be noticed, and without the
// checksum's help must at least not do harm.
func TestDamaged(t *testing.T) {
	t.Parallel()
	good := small().Encode(nil, packed.DynamoDB)
	var m packed.Message
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if packed.Decode(bad, &m) == nil {
				t.Errorf("bit %d of byte %d flipped, and nobody noticed", bit, i)
			}
			if len(m.Samples) != 0 || len(m.Blocks) != 0 {
				t.Fatal("a message that was refused is not empty")
			}
			readAll(t, seal(bad), &m)
		}
		if packed.Decode(good[:i], &m) == nil {
			t.Errorf("cut to %d bytes, and nobody noticed", i)
		}
		readAll(t, seal(bytes.Clone(good[:i])), &m)
	}
	if err := packed.Decode(append(bytes.Clone(good), 0), &m); err == nil {
		t.Error("one byte too many, and nobody noticed")
	}
	bad := seal(append(bytes.Clone(good[:len(good)-4]), 1, 0, 0, 0, 0))
	if err := packed.Decode(bad, &m); err == nil || !strings.Contains(err.Error(), "follows its last block") {
		t.Errorf("a sealed byte too many: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"empty", "", "does not begin"},
		{"other text", "{\"requests\":[]}", "does not begin"},
		{"newer version", "FPK\x02\x01\x00\x00", "version is 2"},
		{"source", "FPK\x01\x09\x00\x00", "unknown source 9"},
		{"samples beyond the end", "FPK\x01\x01\xff\xff\xff\xff\x0f", "malformed"},
		{"endless number", "FPK\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "malformed"},
		{"no rows", "FPK\x01\x01\x00\x01\x01f\x00\x00", "malformed"},
		{"row of no sample", "FPK\x01\x01\x00\x01\x01f\x01\x00\x00", "malformed"},
		{"rows beyond the end", "FPK\x01\x01\x01\x01u........\x01\x01f\x7f\x00\x00", "malformed"},
		{"unknown kind", "FPK\x01\x01\x01\x01u........\x01\x01f\x01\x00\x01\x01x\x09", "malformed"},
		{"null with a bitmap", "FPK\x01\x01\x01\x01u........\x01\x01f\x01\x00\x01\x01x\x80\x00", "malformed"},
		{"bitmap past its end", "FPK\x01\x01\x01\x01u........\x01\x01f\x01\x00\x01\x01x\x83\x02", "malformed"},
		{"ends that fall", "FPK\x01\x01\x01\x01u........\x01\x01f\x02\x00\x00\x01\x01x\x04\x02\x00\x00\x00\x01\x00\x00\x00ab", "malformed"},
		{"text beyond the end", "FPK\x01\x01\x01\x01u........\x01\x01f\x01\x00\x01\x01x\x04\xff\xff\xff\xff", "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var m packed.Message
			err := packed.Decode(seal(append([]byte(c.body), 0, 0, 0, 0)), &m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestDecodeAllocatesNothing makes sure that a Message is reused.
func TestDecodeAllocatesNothing(t *testing.T) {
	data := small().Encode(nil, packed.DynamoDB)
	var m packed.Message
	if n := testing.AllocsPerRun(100, func() {
		if err := packed.Decode(data, &m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestNullsAreBounded checks the padding: a message of many short null columns is read,
// and cannot make the reader reserve many times its size.
func TestNullsAreBounded(t *testing.T) {
	b := packed.NewBuilder()
	k := b.Block("f")
	k.Begin()
	for i := range 5000 {
		k.Null(fmt.Append(nil, i))
	}
	k.End(b.Sample("u", 1))
	data := b.Encode(nil, packed.DynamoDB)
	if b.Size() < len(data) {
		t.Errorf("%d bytes, estimated %d", len(data), b.Size())
	}
	var before, after runtime.MemStats
	var m packed.Message
	runtime.ReadMemStats(&before)
	if err := packed.Decode(data, &m); err != nil || len(m.Blocks[0].Columns) != 5000 {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32*uint64(len(data)) {
		t.Errorf("%d bytes made the reader reserve %d", len(data), grown)
	}
	crowded := []byte("FPK\x01\x01\x01\x01u........\x01\x01f\x01\x00\x04\x01a\x00\x01b\x00\x01c\x00\x01d\x00....")
	if err := packed.Decode(seal(crowded), &m); err == nil {
		t.Error("four columns in 40 bytes were read")
	}
}

// seal writes the right checksum over the last four bytes.
func seal(data []byte) []byte {
	if len(data) < 4 {
		return data
	}
	body := data[:len(data)-4]
	binary.LittleEndian.PutUint32(data[len(body):], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return data
}

// readAll reads all that a message holds, if it decodes, and builds it anew: the copy
// must read the same. A hostile message may repeat a feature in a block or use a number
// in a form that Encode does not; only the rest is compared then.
func readAll(t *testing.T, data []byte, m *packed.Message) {
	t.Helper()
	if packed.Decode(data, m) != nil {
		return
	}
	copied := packed.NewBuilder()
	repeats := false
	for i := range m.Blocks {
		names := map[string]bool{}
		for j := range m.Blocks[i].Columns {
			repeats = repeats || names[m.Blocks[i].Columns[j].Name]
			names[m.Blocks[i].Columns[j].Name] = true
		}
		copyBlock(copied, m, &m.Blocks[i])
	}
	var again packed.Message
	if err := packed.Decode(copied.Encode(nil, m.Source), &again); err != nil {
		t.Fatal(err)
	}
	if repeats {
		return
	}
	for i := range m.Blocks {
		sameBlock(t, &m.Blocks[i], &again.Blocks[i])
	}
}

func copyBlock(b *packed.Builder, m *packed.Message, from *packed.BlockView) {
	k := b.NewBlock(from.Family)
	for row, s := range from.SampleOf {
		k.Begin()
		for i := range from.Columns {
			c := &from.Columns[i]
			name := []byte(c.Name)
			switch {
			case c.IsNull(row):
				k.Null(name)
			case c.Kind == packed.Double:
				k.Double(name, c.Double(row))
			case c.Kind == packed.Int64:
				k.Int64(name, c.Int64(row))
			case c.Kind == packed.Bool:
				k.Bool(name, c.Bool(row))
			case c.Kind == packed.String:
				k.String(name, c.Bytes(row))
			default:
				k.JSON(name, c.Bytes(row))
			}
		}
		k.End(b.Sample(string(m.Samples[s].UserID), m.Samples[s].EpochMS))
	}
}

func sameBlock(t *testing.T, want, got *packed.BlockView) {
	t.Helper()
	if want.Family != got.Family || want.Rows() != got.Rows() || len(want.Columns) != len(got.Columns) {
		t.Fatalf("block %q with %d rows became %q with %d", want.Family, want.Rows(), got.Family, got.Rows())
	}
	for i := range want.Columns {
		w, g := &want.Columns[i], &got.Columns[i]
		if w.Name != g.Name || w.Count() != g.Count() || w.Count() > 0 && w.Kind != g.Kind {
			t.Fatalf("column %q %v became %q %v", w.Name, w.Kind, g.Name, g.Kind)
		}
		for row := range want.Rows() {
			if w.IsNull(row) != g.IsNull(row) || !bytes.Equal(w.Text(nil, row), g.Text(nil, row)) {
				t.Fatalf("column %q row %d: %q became %q", w.Name, row, w.Text(nil, row), g.Text(nil, row))
			}
		}
	}
}

// FuzzDecode gives Decode arbitrary bytes, also with their checksum made right.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(packed.NewBuilder().Encode(nil, packed.DynamoDB))
	f.Add(small().Encode(nil, packed.FeatureService))
	for seed := range uint64(5) {
		d := newDriver(rand.New(rand.NewPCG(seed, 9)), packed.NewBuilder())
		d.rows(d.open("f", d.b.NewBlock("f")), 3)
		f.Add(d.b.Encode(nil, packed.DynamoDB))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m packed.Message
		readAll(t, data, &m)
		readAll(t, seal(bytes.Clone(data)), &m)
	})
}

// FuzzRoundTrip lets the fuzzer choose the calls: its bytes are the random numbers.
func FuzzRoundTrip(f *testing.F) {
	for seed := range byte(5) {
		f.Add(bytes.Repeat([]byte{seed, 7, 100, 251}, 200))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		d := newDriver(rand.New(&byteSource{choices}), packed.NewBuilder())
		d.drive()
		data := d.b.Encode(nil, packed.DynamoDB)
		if d.b.Size() < len(data) {
			t.Fatalf("%d bytes, estimated %d", len(data), d.b.Size())
		}
		var m packed.Message
		if err := packed.Decode(data, &m); err != nil {
			t.Fatal(err)
		}
		equal(t, &m, d.blocks)
	})
}

// byteSource is a rand.Source that gives out bytes, and numbers that never repeat when
// they are used up, so that loops over it end.
type byteSource struct{ rest []byte }

func (s *byteSource) Uint64() uint64 {
	var word [8]byte
	n := copy(word[:], s.rest)
	s.rest = s.rest[n:]
	if n == 0 {
		return math.MaxUint64 / 2
	}
	return binary.LittleEndian.Uint64(word[:])
}
