package dataset

import (
	"math"
	"slices"
	"strconv"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// asDouble gives a value that is not null as a double, if that loses nothing. A text
// fits if it is the canonical text of a double: a block's column that holds numbers and
// texts holds them all as texts.
func asDouble(c *packed.Column, row int) (float64, bool) {
	switch c.Kind {
	case packed.Double:
		return c.Double(row), true
	case packed.Int64:
		i := c.Int64(row)
		return float64(i), exactAsDouble(i) || readsAsDouble(i)
	case packed.String:
		v, err := strconv.ParseFloat(string(c.Bytes(row)), 64)
		var stack [32]byte
		return v, err == nil && string(packed.AppendDouble(stack[:0], v)) == string(c.Bytes(row))
	default:
		return 0, false
	}
}

func asInt64(c *packed.Column, row int) (int64, bool) {
	switch c.Kind {
	case packed.Int64:
		return c.Int64(row), true
	case packed.Double:
		return integral(c.Double(row))
	case packed.String:
		v, err := strconv.ParseInt(string(c.Bytes(row)), 10, 64)
		var stack [32]byte
		return v, err == nil && string(packed.AppendInt64(stack[:0], v)) == string(c.Bytes(row))
	default:
		return 0, false
	}
}

func asBool(c *packed.Column, row int) (v, ok bool) {
	switch c.Kind {
	case packed.Bool:
		return c.Bool(row), true
	case packed.String:
		text := string(c.Bytes(row))
		return text == "true", text == "true" || text == "false"
	default:
		return false, false
	}
}

// integral gives a double as an int64, if it is one.
func integral(d float64) (int64, bool) {
	if d != math.Trunc(d) || d < math.MinInt64 || d >= math.MaxInt64 {
		return 0, false
	}
	return int64(d), true
}

// exactAsDouble tells whether an integer converts to a double and back.
func exactAsDouble(i int64) bool {
	back, ok := integral(float64(i))
	return ok && back == i
}

// readsAsDouble tells whether the text of the nearest double is the integer's: then it is
// that double, written out by a database. DynamoDB gives 1.2345678901234566e17 back as
// 123456789012345660.
func readsAsDouble(i int64) bool {
	var a, b [32]byte
	return string(packed.AppendDouble(a[:0], float64(i))) == string(packed.AppendInt64(b[:0], i))
}

// DriftRows finds the rows of a block that hold a value which does not fit the declared
// type of its feature, in order, and names one such feature. An integer fits double if
// it is exact or reads as one, a double fits int64 if it is integral and in range, everything fits
// string. A text fits what it is the canonical text of, because one text among numbers
// turns a block's column into texts; so it does not matter how rows were grouped.
func DriftRows(block *packed.BlockView, declared []runfile.Feature) (rows []int, feature string) {
	next := 0
	for i := range block.Columns {
		c := &block.Columns[i]
		at := findFeature(declared, c.Name, next)
		if at < 0 {
			continue
		}
		next = at + 1
		want := kindOf(declared[at].Type)
		if c.Kind == packed.Null || c.Kind == want || want == packed.String {
			continue
		}
		for row := range block.SampleOf {
			if !c.IsNull(row) && !fits(c, row, want) {
				rows = append(rows, row)
				feature = c.Name
			}
		}
	}
	slices.Sort(rows)
	return slices.Compact(rows), feature
}

// fits tells whether a value that is not null is one of the kind.
func fits(c *packed.Column, row int, kind packed.Kind) (ok bool) {
	switch kind {
	case packed.Double:
		_, ok = asDouble(c, row)
	case packed.Int64:
		_, ok = asInt64(c, row)
	case packed.Bool:
		_, ok = asBool(c, row)
	default:
		ok = true
	}
	return ok
}

// findFeature gives the place of a feature, -1 if it is not there; it looks at guess first.
func findFeature(features []runfile.Feature, name string, guess int) int {
	if guess < len(features) && features[guess].Name == name {
		return guess
	}
	for i := range features {
		if features[i].Name == name {
			return i
		}
	}
	return -1
}
