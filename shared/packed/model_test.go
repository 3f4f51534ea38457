package packed_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// The model is the plainest thing that behaves like a Builder. The tests drive both
// with the same calls, read the encoded message, and compare.

type value struct {
	kind packed.Kind
	num  float64
	int  int64
	bool bool
	text string
}

type row struct {
	user   string
	ms     int64
	values map[string]value // nulls included, with kind Null
}

type modelBlock struct {
	family string
	rows   []row
	names  []string // in the order of their first use in a closed row
}

func (m *modelBlock) close(r row, order []string) {
	for _, name := range order {
		known := false
		for _, n := range m.names {
			known = known || n == name
		}
		if !known {
			m.names = append(m.names, name)
		}
	}
	m.rows = append(m.rows, r)
}

// kindOf gives the kind that a column of these values must have.
func (m *modelBlock) kindOf(name string) packed.Kind {
	seen := map[packed.Kind]bool{}
	all := true
	for _, r := range m.rows {
		if v := r.values[name]; v.kind != packed.Null {
			seen[v.kind] = true
			all = all && exact(v)
		}
	}
	switch {
	case len(seen) == 0:
		return packed.Null
	case len(seen) == 2 && seen[packed.Double] && seen[packed.Int64] && all:
		return packed.Double
	case len(seen) > 1:
		return packed.String
	}
	for kind := range seen {
		return kind
	}
	panic("unreachable")
}

// exact reports whether a value is no integer that float64 may not hold, or show otherwise.
func exact(v value) bool {
	return v.kind != packed.Int64 || -1<<53 <= v.int && v.int <= 1<<53 || v.int == writtenOut
}

// writtenOut is a double beyond 2^53 whose text is its digits.
const writtenOut = 999_990_000_000_000_000

func (v value) canonical() string {
	switch v.kind {
	case packed.Int64:
		return strconv.FormatInt(v.int, 10)
	case packed.Bool:
		return strconv.FormatBool(v.bool)
	case packed.Double:
		return string(packed.AppendDouble(nil, v.num))
	}
	return v.text
}

// put gives a value to the open row of a block. Where the block guesses the name, half of the
// numbers go the shorter way first.
func (v value) put(k *packed.Block, name string) {
	guessed := name != "" && string(k.Guess()) == name
	switch n := []byte(name); v.kind {
	case packed.Null:
		k.Null(n)
	case packed.Double:
		if !guessed || math.Float64bits(v.num)&1 == 0 || !k.GuessedDouble(v.num) {
			k.Double(n, v.num)
		}
	case packed.Int64:
		if !guessed || v.int&1 == 0 || !k.GuessedInt64(v.int) {
			k.Int64(n, v.int)
		}
	case packed.Bool:
		k.Bool(n, v.bool)
	case packed.String:
		k.String(n, []byte(v.text))
	case packed.JSON:
		k.JSON(n, []byte(v.text))
	}
}

func randomValue(r *rand.Rand, kind packed.Kind) value {
	v := value{kind: kind}
	switch kind {
	case packed.Double:
		v.num = []float64{r.NormFloat64(), 5, -0.5, math.NaN(), math.Inf(1), math.Inf(-1), 1e21, 1e-7, math.Copysign(0, -1)}[r.IntN(9)]
	case packed.Int64:
		v.int = []int64{r.Int64N(1000), 1 << 53, -1 << 53, r.Int64N(100), writtenOut}[r.IntN(5)]
		if r.IntN(20) == 0 {
			v.int = []int64{1<<53 + 1, math.MaxInt64, math.MinInt64}[r.IntN(3)]
		}
	case packed.Bool:
		v.bool = r.IntN(2) == 0
	case packed.String:
		v.text = []string{"", "a", "true", "grüße", "a longer text that says little"}[r.IntN(5)]
	case packed.JSON:
		v.text = []string{"[]", `{"a":[1,2]}`, `["x"]`}[r.IntN(3)]
	}
	return v
}

// equal compares a decoded message with the model.
func equal(t *testing.T, m *packed.Message, blocks []*modelBlock) {
	t.Helper()
	var want []*modelBlock
	for _, b := range blocks {
		if len(b.rows) > 0 {
			want = append(want, b)
		}
	}
	if len(m.Blocks) != len(want) {
		t.Fatalf("%d blocks, want %d", len(m.Blocks), len(want))
	}
	for i, w := range want {
		equalBlock(t, m, &m.Blocks[i], w)
	}
}

func equalBlock(t *testing.T, m *packed.Message, got *packed.BlockView, want *modelBlock) {
	t.Helper()
	if got.Family != want.family || got.Rows() != len(want.rows) || len(got.Columns) != len(want.names) {
		t.Fatalf("block %q with %d rows, %d columns, want %q, %d, %d",
			got.Family, got.Rows(), len(got.Columns), want.family, len(want.rows), len(want.names))
	}
	for i, r := range want.rows {
		if s := m.Samples[got.SampleOf[i]]; string(s.UserID) != r.user || s.EpochMS != r.ms {
			t.Fatalf("row %d of %s is of %s at %d, want %s at %d", i, got.Family, s.UserID, s.EpochMS, r.user, r.ms)
		}
	}
	for j, name := range want.names {
		c := &got.Columns[j]
		if kind := want.kindOf(name); c.Name != name || c.Kind != kind {
			t.Fatalf("column %d of %s is %s %v, want %s %v", j, got.Family, c.Name, c.Kind, name, kind)
		}
		values, allExact := 0, c.Kind == packed.Int64
		for i, r := range want.rows {
			v := r.values[name]
			if v.kind != packed.Null {
				values++
			}
			allExact = allExact && exact(v)
			if err := sameValue(c, i, v); err != nil {
				t.Fatalf("%s row %d, column %s: %v", got.Family, i, name, err)
			}
		}
		if c.Count() != values || c.HasNulls() != (values < len(want.rows)) || c.ExactAsDouble() != allExact {
			t.Fatalf("%s column %s: count %d, nulls %v, exact %v; want %d of %d, %v",
				got.Family, name, c.Count(), c.HasNulls(), c.ExactAsDouble(), values, len(want.rows), allExact)
		}
	}
}

func sameValue(c *packed.Column, row int, want value) error {
	if c.IsNull(row) != (want.kind == packed.Null) {
		return fmt.Errorf("null is %v, want %v", c.IsNull(row), want)
	}
	if got := string(c.Text(nil, row)); got != want.canonical() {
		return fmt.Errorf("text %q, want %q", got, want.canonical())
	}
	same := true
	switch c.Kind {
	case packed.Double:
		if want.kind == packed.Int64 {
			want.num = float64(want.int)
		}
		same = math.Float64bits(c.Double(row)) == math.Float64bits(want.num)
	case packed.Int64:
		same = c.Int64(row) == want.int
	case packed.Bool:
		same = c.Bool(row) == want.bool
	case packed.String, packed.JSON:
		same = string(c.Bytes(row)) == want.canonical()
	}
	if !same {
		return fmt.Errorf("not %v", want)
	}
	return nil
}
