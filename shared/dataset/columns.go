package dataset

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// The key columns, which every file begins with.
const (
	ColumnUserID        = "user_id"
	ColumnPITCTimestamp = "pitc_timestamp" // TIMESTAMP, microseconds, UTC
	ColumnSource        = "source"         // "dynamodb" or "feature_service"

	keyColumns       = 3
	columnOfFamilies = "family" // readers take it from the path
)

// FinalColumn is a column that every file of a family of a finished run has.
type FinalColumn = Column

// Type gives the type of the column's values in the file, as _schema.yaml and
// declarations write it. A column that has only nulls is a double.
func (c Column) Type() runfile.Type {
	switch physical(c.Kind) {
	case packed.Int64:
		return runfile.Int64
	case packed.Bool:
		return runfile.Bool
	case packed.String:
		return runfile.String
	default:
		return runfile.Double
	}
}

// kindOf gives the kind of a declared type.
func kindOf(t runfile.Type) packed.Kind {
	switch t {
	case runfile.Int64:
		return packed.Int64
	case runfile.Bool:
		return packed.Bool
	case runfile.String:
		return packed.String
	default:
		return packed.Double
	}
}

// physical gives the kind in which a file stores a kind: nulls alone as Double, JSON as
// String.
func physical(k packed.Kind) packed.Kind {
	switch k {
	case packed.Null:
		return packed.Double
	case packed.JSON:
		return packed.String
	default:
		return k
	}
}

// kinds gathers what is known about one feature.
type kinds struct {
	kind     packed.Kind
	exact    bool // no Int64 value is lost as a double
	declared bool
}

// add takes in values of a kind; exact says, of Int64, whether they fit a double.
func (k *kinds) add(kind packed.Kind, exact bool) {
	if kind == packed.JSON {
		kind = packed.String
	}
	if k.declared || kind == packed.Null {
		return
	}
	exact = exact || kind != packed.Int64
	if k.kind == packed.Null {
		k.kind, k.exact = kind, exact
		return
	}
	k.exact = k.exact && exact
	if k.kind == kind {
		return
	}
	numbers := (k.kind == packed.Int64 || k.kind == packed.Double) && (kind == packed.Int64 || kind == packed.Double)
	if numbers && k.exact {
		k.kind = packed.Double
	} else {
		k.kind = packed.String
	}
}

// declare starts a feature table with the declared types, which always hold.
func declare(declared []runfile.Feature) map[string]*kinds {
	table := make(map[string]*kinds, max(64, len(declared)))
	for _, f := range declared {
		table[f.Name] = &kinds{kind: kindOf(f.Type), exact: true, declared: true}
	}
	return table
}

// feature gives the entry of a feature, and makes it if need be.
func feature(table map[string]*kinds, name string) *kinds {
	k := table[name]
	if k == nil {
		k = &kinds{exact: true}
		table[strings.Clone(name)] = k
	}
	return k
}

// Settle decides the final columns of a family from the columns of all its files: those
// that any file has, in order of the feature names, with one type each. Declared
// features are always there, with the declared type. Int64 beside Double becomes Double
// if no value is lost, String otherwise; other mixtures become String.
func Settle(declared []runfile.Feature, files [][]Column) []FinalColumn {
	table := declare(declared)
	for _, cols := range files {
		for _, c := range cols {
			feature(table, c.Feature).add(c.Kind, c.ExactAsDouble)
		}
	}
	return columnsOf(table)
}

// columnsOf gives the columns of a table of features, in order of the feature names.
func columnsOf(table map[string]*kinds) []Column {
	features := slices.Sorted(maps.Keys(table))
	names := columnNames(features)
	cols := make([]Column, len(features))
	for i, f := range features {
		k := table[f]
		cols[i] = Column{Feature: f, Name: names[i], Kind: k.kind}
		cols[i].ExactAsDouble = k.kind == packed.Int64 && k.exact && !k.declared
	}
	return cols
}

// NeedsRewrite tells whether a file with some columns has other columns, another order
// or other types than the final ones.
func NeedsRewrite(have []Column, want []FinalColumn) bool {
	return !slices.EqualFunc(have, want, func(h Column, w FinalColumn) bool {
		return h.Name == w.Name && h.Feature == w.Feature && physical(h.Kind) == physical(w.Kind)
	})
}

// columnNames gives the names in a file of features in order. A name stays as it is
// unless it equals, but for case, a key column, "family" or a feature before it; then it
// gets the first suffix of _feature, _feature2, … with which it is alone. An empty name
// gets one too, for not every reader takes it.
func columnNames(features []string) []string {
	taken := make(map[string]bool, len(features)+4)
	for _, s := range []string{ColumnUserID, ColumnPITCTimestamp, ColumnSource, columnOfFamilies, ""} {
		taken[foldKey(s)] = true
	}
	names := make([]string, len(features))
	var renamed []int
	for i, f := range features { // names that can stay are settled first, so that no suffix takes them
		names[i] = strings.ToValidUTF8(f, "\uFFFD")
		if key := foldKey(names[i]); taken[key] {
			renamed = append(renamed, i)
		} else {
			taken[key] = true
		}
	}
	for _, i := range renamed {
		base := names[i] + "_feature"
		name := base
		for n := 2; taken[foldKey(name)]; n++ {
			name = base + strconv.Itoa(n)
		}
		taken[foldKey(name)] = true
		names[i] = name
	}
	return names
}
