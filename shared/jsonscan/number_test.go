package jsonscan

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	integers := map[string]int64{
		"0": 0, "-0": 0, "7": 7, "-12": -12, "1234567890123456789": 1234567890123456789,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	}
	for lit, want := range integers {
		if n, ok := ParseNumber([]byte(lit)); !ok || !n.IsInt || n.Int != want {
			t.Errorf("ParseNumber(%q) = %+v, %v, want the integer %d", lit, n, ok, want)
		}
	}
	floats := []string{
		"0.0", "-0.0", "0e0", "-0e-5", "1.5", "1e22", "1e23", "1E+2", "9007199254740993.0",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999",
		"0.8437454341231234", "0.12345678901234567", "1234567.12345678901", "2.2250738585072014e-308",
		"5e-324", "1e-400", "1.7976931348623157e308", "0.000000000000000000012345678901234567",
		"123456789012345678901234567890.5", "1" + strings.Repeat("0", 300), "0." + strings.Repeat("0", 400) + "1",
		"9007199254740993e0", "9007199254740992.5", "9007199254740993.00000000000000000001",
	}
	for _, lit := range floats {
		want, _ := strconv.ParseFloat(lit, 64)
		n, ok := ParseNumber([]byte(lit))
		if !ok || n.IsInt || math.Float64bits(n.Float) != math.Float64bits(want) {
			t.Errorf("ParseNumber(%q) = %+v, %v, want the float %v", lit, n, ok, want)
		}
	}
	for _, lit := range []string{
		"", "-", "+1", ".5", "5.", "-.5", "01", "-01", "00", "1e", "1e+", "1.e5", "1.5.2", "1 ", " 1", "0x10",
		"1_000", "NaN", "Infinity", "-Infinity", "1e400", "-1e309", "1" + strings.Repeat("0", 309), "--1", "1-",
	} {
		if n, ok := ParseNumber([]byte(lit)); ok {
			t.Errorf("ParseNumber(%q) = %+v, want a refusal", lit, n)
		}
	}
}

// TestExactFloat tries each way of exactFloat near the places where rounding turns.
func TestExactFloat(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 500_000 {
		m := r.Uint64() >> r.IntN(64)
		switch r.IntN(3) {
		case 0: // near a tie of a product
			m = m&^0x7ff | 0x400 + uint64(r.IntN(3)) - 1
		case 1: // a quotient that may come out even
			m = m / 1e6 * 1e6
		}
		e := r.IntN(50) - 25
		got, ok := exactFloat(m, e, false)
		if !ok {
			continue
		}
		lit := fmt.Sprintf("%de%d", m, e)
		if want, _ := strconv.ParseFloat(lit, 64); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("exactFloat of %s = %v, want %v", lit, got, want)
		}
	}
}

// TestNumbersThatProgramsWrite reads back what usual formatters print.
func TestNumbersThatProgramsWrite(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	var lit []byte
	for range 200_000 {
		v := (r.Float64() - 0.5) * math.Pow(10, float64(r.IntN(40)-20))
		if r.IntN(4) == 0 {
			v = math.Float64frombits(r.Uint64())
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		lit = strconv.AppendFloat(lit[:0], v, "feg"[r.IntN(3)], []int{-1, -1, 25, 40}[r.IntN(4)], 64)
		n, ok := ParseNumber(lit)
		if n.IsInt {
			n.Float = float64(n.Int)
		}
		if want, _ := strconv.ParseFloat(string(lit), 64); !ok || n.Float != want {
			t.Fatalf("ParseNumber(%s) = %+v, %v, want %v", lit, n, ok, want)
		}
		checkWithin(t, string(lit))
	}
}

// checkWithin reads a number within a text, which gives more room to the ways that look at
// several digits at a time, and compares it with the number on its own. A text that is no number
// may begin with one.
func checkWithin(t *testing.T, lit string) {
	t.Helper()
	for _, behind := range []string{`"}`, `e`, `.`, "}\xff"} {
		text := []byte(lit + behind + strings.Repeat(" ", 30))
		got, end, ok := parseNumber(text, 0)
		if !ok {
			if _, good := ParseNumber([]byte(lit)); good && behind == `"}` {
				t.Fatalf("no number in %q", text)
			}
			continue
		}
		want, good := ParseNumber(text[:end])
		if !good || want.IsInt != got.IsInt || want.Int != got.Int || math.Float64bits(want.Float) != math.Float64bits(got.Float) ||
			numberForm(lit) && end != len(lit) {
			t.Fatalf("the first %d bytes of %q are %+v, on their own %+v, %v", end, text, got, want, good)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{
		"0", "-0", "1.5", "-12e-7", "12345678901234567890", "0.1234567890123456789", "9007199254740993",
		"1e400", "1.", "01", "-", "1e", "123456789.87654321e5", "4.9e-324", "0.0000001",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lit string) {
		checkWithin(t, lit)
		n, ok := ParseNumber([]byte(lit))
		if !numberForm(lit) {
			if ok {
				t.Fatalf("ParseNumber(%q) = %+v, though it is no JSON number", lit, n)
			}
			return
		}
		want, err := strconv.ParseFloat(lit, 64)
		if ok != (err == nil) {
			t.Fatalf("ParseNumber(%q) ok = %v, strconv says %v", lit, ok, err)
		}
		i, intErr := strconv.ParseInt(lit, 10, 64)
		switch {
		case n.IsInt != (intErr == nil):
			t.Fatalf("ParseNumber(%q) = %+v, ParseInt says %v", lit, n, intErr)
		case n.IsInt && n.Int != i:
			t.Fatalf("ParseNumber(%q) = %d, want %d", lit, n.Int, i)
		case ok && !n.IsInt && math.Float64bits(n.Float) != math.Float64bits(want):
			t.Fatalf("ParseNumber(%q) = %v, want %v", lit, n.Float, want)
		}
	})
}

func BenchmarkParseNumber(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		name   string
		format func() string
	}{
		{"int", func() string { return strconv.Itoa(r.IntN(100_000)) }},
		{"6 decimals", func() string { return strconv.FormatFloat(r.Float64()*1000, 'f', 6, 64) }},
		{"17 digits", func() string { return strconv.FormatFloat(r.Float64(), 'f', -1, 64) }},
		{"38 digits", func() string { return strconv.FormatFloat(r.Float64(), 'f', 38, 64) }},
	} {
		lits := make([][]byte, 1024)
		for i := range lits {
			lits[i] = []byte(c.format())
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok := ParseNumber(lits[i%len(lits)]); !ok {
					b.Fatal(ok)
				}
			}
		})
		b.Run(c.name+"/strconv", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := strconv.ParseFloat(string(lits[i%len(lits)]), 64); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// numberForm reports whether lit is a JSON number and nothing else.
func numberForm(lit string) bool {
	return lit != "" && (lit[0] == '-' || '0' <= lit[0] && lit[0] <= '9') && lit[len(lit)-1] > ' ' && json.Valid([]byte(lit))
}
