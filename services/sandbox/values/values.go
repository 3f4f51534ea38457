// Package values is the formula behind the sandbox: every feature value follows from
// the user, the point in time, the family and the feature, so that every value of an
// output can be checked.
//
// The kind of a feature is fixed by its family and name. Most are doubles; some are
// int64 (a few of them beyond 2^53), bools and strings, a few are JSON arrays and
// objects, and a few are null now and then.
package values

import (
	"math"
	"strconv"

	"github.com/zeebo/xxh3"
)

// Kind is the kind of a value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Double
	Int64
	Bool
	String
	JSON // the text of an array or object, compact
)

// String names the kind.
func (k Kind) String() string {
	return [...]string{"null", "double", "int64", "bool", "string", "json"}[k]
}

// V is one value. The field that Kind names holds it; String and JSON are in Text.
type V struct {
	Kind   Kind
	Double float64
	Int64  int64
	Bool   bool
	Text   string
}

// String gives the value as text: doubles shortest, without an exponent where
// 1e-6 ≤ |v| < 1e21.
func (v V) String() string {
	switch v.Kind {
	case Double:
		if a := math.Abs(v.Double); a != 0 && (a < 1e-6 || a >= 1e21) {
			return strconv.FormatFloat(v.Double, 'e', -1, 64)
		}
		return strconv.FormatFloat(v.Double, 'f', -1, 64)
	case Int64:
		return strconv.FormatInt(v.Int64, 10)
	case Bool:
		return strconv.FormatBool(v.Bool)
	case String, JSON:
		return v.Text
	default:
		return "null"
	}
}

// Value gives the value of a feature for a user at a point in time (epoch
// milliseconds).
func Value(userID string, epochMS int64, family, feature string) V {
	f := newFeature(family, feature)
	return f.value(rowOf(xxh3.HashString(family), []byte(userID), epochMS))
}

// KindOf gives the kind of a feature whose type is not declared; nulls aside, all its
// values are of this kind.
func KindOf(family, feature string) Kind { return newFeature(family, feature).kind }

// Row is what all values of one user, point in time and family are made from.
type Row uint64

func rowOf(familyHash uint64, userID []byte, epochMS int64) Row {
	return Row(xxh3.HashSeed(userID, mix(familyHash^mix(uint64(epochMS)))))
}

// mix is the finaliser of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// feature is what the family and the name decide.
type feature struct {
	name     string
	kind     Kind
	seed     uint64
	style    uint8 // which of the kind's distributions
	nullable bool
	quoted   string // `"name":`
}

func newFeature(family, name string) feature {
	seed := xxh3.HashStringSeed(name, xxh3.HashString(family))
	f := feature{name: name, seed: seed, style: uint8(seed >> 24), nullable: seed>>40%12 == 0}
	f.quoted = string(append(AppendString(nil, name, true), ':'))
	switch p := seed % 100; {
	case p < 70:
		f.kind = Double
	case p < 82:
		f.kind = Int64
	case p < 89:
		f.kind = Bool
	case p < 97:
		f.kind = String
	default:
		f.kind = JSON
	}
	return f
}

// cell is a value before it is written: text is made only when it is asked for.
type cell struct {
	kind     Kind
	style    uint8
	decimals int8    // of int, for a Double that is int / 10^decimals; -1 = double
	integer  int64   // of Int64, Bool (0 or 1) and decimal Doubles
	double   float64 // of other Doubles
	hash     uint64  // of String and JSON
}

// fill makes c the feature's cell of a row.
func (f *feature) fill(c *cell, row Row) {
	h := mix(uint64(row) ^ f.seed)
	c.kind, c.style, c.hash = f.kind, f.style, h
	if f.nullable && mix(h)%10 == 0 {
		c.kind = Null
		return
	}
	switch f.kind {
	case Double:
		c.setDouble(h)
	case Int64:
		c.setInt64(h)
	case Bool:
		c.integer = int64(h & 1)
	}
}

// decimalStyles are the doubles that a rounding left: 10^-decimals × [low, low+span).
var decimalStyles = [...]struct {
	decimals  int8
	low, span int64
}{
	{4, -10_000_000, 20_000_000},   // -1000 … 1000
	{6, 0, 1_000_000},              // a ratio; 1e-6 is the smallest
	{2, 0, 1_000_000_000},          // money
	{5, -18_000_000, 36_000_000},   // a coordinate
	{1, 0, 40},                     // counts and halves: every tenth is integral
	{12, 1, 1_000_000},             // tiny
	{4, 0, 900_000_000_000_000},    // a running total
	{3, 1_000_000_000, 50_000_000}, // around a million
}

// setDouble draws one of ten distributions. A literal that is integral is below 2^53
// or has an exponent, so that readers who take it for an int64 lose nothing.
func (c *cell) setDouble(h uint64) {
	switch s := c.style % 10; s {
	case 8: // all 53 bits
		c.decimals, c.double = -1, float64(h>>11)/(1<<53)*1000
	case 9: // 1e-30 … 1e30
		m := float64(int64(h%199_999) - 99_999)
		c.decimals, c.double = -1, m*math.Pow10(int(h>>32%51)-25)
	default:
		d := decimalStyles[s]
		c.decimals, c.integer = d.decimals, d.low+int64(h%uint64(d.span))
	}
}

func (c *cell) setInt64(h uint64) {
	switch c.style % 5 {
	case 0: // an id: mostly beyond 2^53, which a double would round
		c.integer = int64(h >> 1)
	case 1: // a point in time
		c.integer = 1_600_000_000_000 + int64(h%150_000_000_000)
	case 2: // signed
		c.integer = int64(h%20_001) - 10_000
	default: // a count
		c.integer = int64(h % 1000)
	}
}

func (c *cell) float() float64 {
	if c.decimals < 0 {
		return c.double
	}
	// Both are exact, so the quotient is the double nearest to the decimal: the one
	// that its text parses to.
	return float64(c.integer) / math.Pow10(int(c.decimals))
}

func (f *feature) value(row Row) V {
	var c cell
	f.fill(&c, row)
	v := V{Kind: c.kind}
	switch c.kind {
	case Double:
		v.Double = c.float()
	case Int64:
		v.Int64 = c.integer
	case Bool:
		v.Bool = c.integer == 1
	case String:
		v.Text = c.text()
	case JSON:
		v.Text = string(c.appendDocument(nil, PlainJSON))
	}
	return v
}
