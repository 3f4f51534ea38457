package packed_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// driver makes random calls on a Builder and on the model.
type driver struct {
	*rand.Rand
	b      *packed.Builder
	blocks []*modelBlock
	shared map[string]int // index in blocks
	live   map[*modelBlock]*packed.Block
}

func newDriver(r *rand.Rand, b *packed.Builder) *driver {
	return &driver{Rand: r, b: b, shared: map[string]int{}, live: map[*modelBlock]*packed.Block{}}
}

// columnKinds lets most columns keep to one kind, some mix.
func (d *driver) kindFor(feature int) packed.Kind {
	kind := packed.Kind(1 + feature%5)
	switch {
	case feature >= 10 && d.IntN(4) == 0:
		kind = packed.Kind(1 + d.IntN(5))
	case feature >= 5 && feature < 10 && d.IntN(2) == 0:
		kind = []packed.Kind{packed.Double, packed.Int64}[d.IntN(2)]
	}
	if d.IntN(5) == 0 {
		return packed.Null
	}
	return kind
}

// fill gives the open row random values in random order, some of them twice.
func (d *driver) fill(k *packed.Block, features int) (map[string]value, []string) {
	values, order := map[string]value{}, []string(nil)
	for _, f := range d.Perm(features) {
		if d.IntN(4) == 0 {
			continue // left out
		}
		name := fmt.Sprintf("feature_%d", f)
		v := randomValue(d.Rand, d.kindFor(f))
		if d.IntN(30) == 0 {
			if earlier := randomValue(d.Rand, v.kind); exact(earlier) {
				earlier.put(k, name)
			}
		}
		v.put(k, name)
		values[name] = v
		order = append(order, name)
	}
	return values, order
}

// rows adds rows to a block, and begins some that it drops again.
func (d *driver) rows(m *modelBlock, n int) {
	k := d.live[m]
	for range n {
		k.Begin()
		values, order := d.fill(k, 16)
		if d.IntN(5) == 0 {
			k.Discard()
			continue
		}
		r := row{user: fmt.Sprintf("user-%d", d.IntN(20)), ms: d.Int64N(3) * 1000, values: values}
		k.End(d.b.Sample(r.user, r.ms))
		m.close(r, order)
		for d.IntN(5) == 0 {
			r.ms = d.Int64()
			r.values = maps.Clone(values)
			k.Repeat(d.b.Sample(r.user, r.ms))
			m.close(r, nil)
		}
	}
}

// drive makes a random number of blocks and rows.
func (d *driver) drive() {
	for range d.IntN(12) {
		family := fmt.Sprintf("family-%d", d.IntN(4))
		switch d.IntN(3) {
		case 0:
			m := d.open(family, d.b.NewBlock(family))
			d.rows(m, d.IntN(80))
		case 1:
			i, ok := d.shared[family]
			if !ok {
				i = len(d.blocks)
				d.shared[family] = i
				d.open(family, d.b.Block(family))
			}
			d.live[d.blocks[i]] = d.b.Block(family)
			d.rows(d.blocks[i], d.IntN(10))
		case 2: // a block that is dropped
			m := d.open(family, d.b.NewBlock(family))
			d.rows(m, d.IntN(10))
			d.live[m].Begin()
			d.fill(d.live[m], 30)
			d.b.DropLast()
			d.blocks = d.blocks[:len(d.blocks)-1]
		}
	}
}

func (d *driver) open(family string, k *packed.Block) *modelBlock {
	m := &modelBlock{family: family}
	d.blocks = append(d.blocks, m)
	d.live[m] = k
	return m
}

// TestRoundTrip drives one builder through many messages and reads each of them back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	var message packed.Message
	for seed := range uint64(400) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { roundTrip(t, seed, b, &message) })
	}
}

func roundTrip(t *testing.T, seed uint64, b *packed.Builder, message *packed.Message) {
	t.Helper()
	d := newDriver(rand.New(rand.NewPCG(seed, 0)), b)
	b.Reset()
	d.drive()
	rows := 0
	for _, m := range d.blocks {
		rows += len(m.rows)
	}
	data := b.Encode([]byte("before"), packed.DynamoDB)[len("before"):]
	if b.Rows() != rows || b.Size() < len(data) {
		t.Fatalf("%d rows, want %d; size %d of %d bytes", b.Rows(), rows, b.Size(), len(data))
	}
	if err := packed.Decode(data, message); err != nil {
		t.Fatal(err)
	}
	if message.Source != packed.DynamoDB {
		t.Fatalf("source %v", message.Source)
	}
	equal(t, message, d.blocks)

	// What a builder did before leaves no trace.
	fresh := newDriver(rand.New(rand.NewPCG(seed, 0)), packed.NewBuilder())
	fresh.drive()
	if again := fresh.b.Encode(nil, packed.DynamoDB); !bytes.Equal(again, data) || fresh.b.Size() != b.Size() {
		t.Fatalf("a new builder encodes %d bytes and estimates %d, a used one %d and %d",
			len(again), fresh.b.Size(), len(data), b.Size())
	}
}

// TestDropLeavesNoTrace compares a builder that dropped a block and a row with one that
// never had them.
func TestDropLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		build := func(drop bool) *packed.Builder {
			r, noise := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			d := newDriver(r, packed.NewBuilder())
			m := d.open("a", d.b.Block("a"))
			for range 5 {
				d.rows(m, 3)
				if !drop {
					continue
				}
				other := newDriver(noise, d.b)
				d.live[m].Begin()
				other.fill(d.live[m], 30)
				d.live[m].Discard()
				other.rows(other.open("a", d.b.NewBlock("a")), 5)
				d.b.DropLast()
				d.b.DropLast() // no second time
			}
			return d.b
		}
		clean, dropped := build(false), build(true)
		want, got := clean.Encode(nil, packed.DynamoDB), dropped.Encode(nil, packed.DynamoDB)
		if !bytes.Equal(got, want) || clean.Size() != dropped.Size() || clean.Rows() != dropped.Rows() {
			t.Fatalf("seed %d: %d bytes, size %d, %d rows; without drops %d, %d, %d", seed,
				len(got), dropped.Size(), dropped.Rows(), len(want), clean.Size(), clean.Rows())
		}
	}
}

func TestPromotion(t *testing.T) {
	t.Parallel()
	type vs []value
	num := func(v float64) value { return value{kind: packed.Double, num: v} }
	integer := func(v int64) value { return value{kind: packed.Int64, int: v} }
	boolean := value{kind: packed.Bool, bool: true}
	str := func(v string) value { return value{kind: packed.String, text: v} }
	array := value{kind: packed.JSON, text: "[1]"}
	null := value{}
	for _, c := range []struct {
		name   string
		values vs
		kind   packed.Kind
		texts  string
	}{
		{"nothing", vs{null, null}, packed.Null, "[ ]"},
		{"integers", vs{integer(1), null, integer(1 << 60)}, packed.Int64, "[1  1152921504606846976]"},
		{"integer, double", vs{integer(5), num(0.5)}, packed.Double, "[5 0.5]"},
		{"double, integer", vs{num(0.5), integer(5)}, packed.Double, "[0.5 5]"},
		{"large exact integer, double", vs{integer(1 << 53), num(1)}, packed.Double, "[9007199254740992 1]"},
		{"inexact integer, double", vs{integer(1<<53 + 1), num(0.5)}, packed.String, "[9007199254740993 0.5]"},
		{"a large double written out, double", vs{integer(999_990_000_000_000_000), num(0.5)}, packed.Double, "[999990000000000000 0.5]"},
		{"double, a large double written out", vs{num(0.5), integer(-999_990_000_000_000_000)}, packed.Double, "[0.5 -999990000000000000]"},
		{"the next integer, double", vs{integer(999_990_000_000_000_001), num(0.5)}, packed.String, "[999990000000000001 0.5]"},
		{"double, the digits of another double", vs{num(0.5), integer(90_071_992_547_409_930)}, packed.String, "[0.5 90071992547409930]"},
		{"double, power of two past 2^53", vs{num(0.5), integer(1 << 60)}, packed.String, "[0.5 1152921504606846976]"},
		{"integer, double, string", vs{integer(5), num(1e21), str("x")}, packed.String, "[5 1e+21 x]"},
		{"bool, integer", vs{boolean, integer(5)}, packed.String, "[true 5]"},
		{"integer, bool", vs{integer(5), boolean}, packed.String, "[5 true]"},
		{"bool, double", vs{boolean, num(5)}, packed.String, "[true 5]"},
		{"JSON", vs{array, array}, packed.JSON, "[[1] [1]]"},
		{"JSON, string", vs{array, str("x")}, packed.String, "[[1] x]"},
		{"string, JSON", vs{str("x"), null, array}, packed.String, "[x  [1]]"},
		{"JSON, double", vs{array, num(2)}, packed.String, "[[1] 2]"},
		{"bool, JSON", vs{boolean, null, array}, packed.String, "[true  [1]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := packed.NewBuilder()
			k := b.Block("f")
			for i, v := range c.values {
				k.Begin()
				v.put(k, "x")
				k.End(b.Sample("u", int64(i)))
			}
			var m packed.Message
			if err := packed.Decode(b.Encode(nil, packed.FeatureService), &m); err != nil {
				t.Fatal(err)
			}
			col := &m.Blocks[0].Columns[0]
			var texts []string
			for i := range c.values {
				texts = append(texts, string(col.Text(nil, i)))
			}
			if col.Kind != c.kind || fmt.Sprint(texts) != c.texts {
				t.Errorf("%v %v, want %v %s", col.Kind, texts, c.kind, c.texts)
			}
		})
	}
}

func TestLastValueOfARowWins(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	k := b.Block("f")
	for i := range 9 {
		k.Begin()
		k.Bool([]byte("b"), i%2 == 0)
		k.Int64([]byte("gone"), 1)
		k.Null([]byte("gone"))
		k.Bool([]byte("b"), i%2 != 0)
		k.End(b.Sample("u", int64(i)))
	}
	var m packed.Message
	if err := packed.Decode(b.Encode(nil, packed.DynamoDB), &m); err != nil {
		t.Fatal(err)
	}
	bools, gone := &m.Blocks[0].Columns[0], &m.Blocks[0].Columns[1]
	for i := range 9 {
		if bools.Bool(i) != (i%2 != 0) || !gone.IsNull(i) {
			t.Errorf("row %d: %v, null %v", i, bools.Bool(i), gone.IsNull(i))
		}
	}
	if gone.Kind != packed.Null {
		t.Errorf("a column without values is %v", gone.Kind)
	}
}

func TestRowBytes(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	size := func(k *packed.Block) int {
		k.Begin()
		k.Double([]byte("price"), 1)
		k.String([]byte("name"), make([]byte, 1000))
		open := k.RowBytes()
		k.End(b.Sample("u", 1))
		if k.RowBytes() != open {
			t.Errorf("%d bytes, %d when closed", open, k.RowBytes())
		}
		return open
	}
	first := size(b.Block("f"))
	if first < 1000+8+9 || first > 1100 {
		t.Errorf("a row of 1,017 bytes counts %d", first)
	}
	if again := size(b.Block("f")); again != first {
		t.Errorf("the same row counts %d, then %d", first, again)
	}
}

// TestSparse makes sure that a block of rows with nothing in common stays small.
func TestSparse(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	k := b.Block("f")
	const rows = 1000
	for i := range rows {
		k.Begin()
		k.Double(fmt.Appendf(nil, "only_%d", i), float64(i))
		k.End(b.Sample("u", int64(i)))
	}
	data := b.Encode(nil, packed.DynamoDB)
	if max := rows * (rows/8 + 50); len(data) > max || b.Size() < len(data) {
		t.Errorf("%d bytes, want at most %d; estimated %d", len(data), max, b.Size())
	}
	var m packed.Message
	if err := packed.Decode(data, &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Blocks[0].Columns {
		if c := &m.Blocks[0].Columns[i]; c.Count() != 1 || c.Double(i) != float64(i) {
			t.Fatalf("column %d holds %d values, %v", i, c.Count(), c.Double(i))
		}
	}
}

func TestSampleNumbers(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	for range 2 {
		for i := range 5000 {
			if n := b.Sample(fmt.Sprint("u", i%1000), int64(i/1000)); n != uint32(i) {
				t.Fatalf("sample %d has number %d", i, n)
			}
		}
		for i := range 5000 {
			if n := b.Sample(fmt.Sprint("u", i%1000), int64(i/1000)); n != uint32(i) {
				t.Fatalf("sample %d has number %d the second time", i, n)
			}
		}
		b.Reset()
	}
}

// TestGuess follows the order of the row before, over features that a row leaves out and
// orders that change.
func TestGuess(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	k := b.Block("f")
	for i, c := range []struct{ order, guesses string }{
		{"abcd", "...."}, // nothing is known
		{"abcd", "abcd"},
		{"acd", "abd"}, // b is left out and stepped over
		{"abcd", "abcd"},
		{"dcba", ""}, // what is guessed now does not matter
		{"dcba", "dcba"},
	} {
		k.Begin()
		guesses := ""
		for _, name := range []byte(c.order) {
			guess := k.Guess()
			if len(guess) == 0 {
				guess = []byte(".")
			}
			guesses += string(guess)
			k.Double([]byte{name}, 1)
		}
		k.End(b.Sample("u", int64(i)))
		if c.guesses != "" && guesses != c.guesses {
			t.Errorf("row %d of %s guessed %s, want %s", i, c.order, guesses, c.guesses)
		}
	}
	k.Begin()
	k.Double([]byte(`a"b`), 1)
	k.End(b.Sample("u", 0))
	k.Begin()
	if guess := k.Guess(); len(guess) != 0 {
		t.Errorf("guess %q does not stand in JSON as it is", guess)
	}
}

func TestRepeated(t *testing.T) {
	t.Parallel()
	b := packed.NewBuilder()
	k := b.Block("f")
	for i, c := range []struct {
		names string
		want  bool
	}{{"abc", false}, {"abc", false}, {"aba", true}, {"abc", false}, {"aa", true}, {"ba", false}} {
		for _, null := range []bool{false, true} {
			k.Begin()
			for _, name := range []byte(c.names) {
				if null {
					k.Null([]byte{name})
				} else {
					k.Int64([]byte{name}, 1)
				}
			}
			if k.Repeated() != c.want {
				t.Errorf("row %d, nulls %v: repeated is %v", i, null, k.Repeated())
			}
			k.End(b.Sample("u", int64(i)))
			if i%2 == 0 {
				k.Begin()
				k.Null([]byte("c"))
				k.Discard() // is no first time
			}
		}
	}
}
