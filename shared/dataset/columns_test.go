package dataset

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

func TestColumnNames(t *testing.T) {
	for _, tc := range []struct{ features, want []string }{
		{[]string{"a", "b"}, []string{"a", "b"}},
		{[]string{"Source", "USER_ID", "family", "pitc_timestamp"}, []string{"Source_feature", "USER_ID_feature", "family_feature", "pitc_timestamp_feature"}},
		{[]string{"A", "a"}, []string{"A", "a_feature"}},
		{[]string{"Aa", "aA", "aa"}, []string{"Aa", "aA_feature", "aa_feature2"}},
		{[]string{"A", "a", "a_feature"}, []string{"A", "a_feature2", "a_feature"}}, // a name that can stay stays
		{[]string{"user_id", "user_id_feature"}, []string{"user_id_feature2", "user_id_feature"}},
		{[]string{""}, []string{"_feature"}},
		{[]string{"a.b", "a b", "É", "é", "\u65e5"}, []string{"a.b", "a b", "É", "é_feature", "\u65e5"}},
	} {
		if got := columnNames(tc.features); !slices.Equal(got, tc.want) {
			t.Errorf("%q get the names %q, want %q", tc.features, got, tc.want)
		}
	}
}

// col makes a column from "feature kind", "feature int64!" for one that is not exact as
// double.
func col(s string) Column {
	name, kind, _ := strings.Cut(s, " ")
	c := Column{Feature: name, Name: name}
	switch kind {
	case "double":
		c.Kind = packed.Double
	case "int64", "int64!":
		c.Kind, c.ExactAsDouble = packed.Int64, kind == "int64"
	case "bool":
		c.Kind = packed.Bool
	case "string":
		c.Kind = packed.String
	case "json":
		c.Kind = packed.JSON
	}
	return c
}

func colsOf(names ...string) []Column {
	var cols []Column
	for _, s := range names {
		cols = append(cols, col(s))
	}
	return cols
}

func TestSettle(t *testing.T) {
	for _, tc := range []struct {
		name     string
		declared []runfile.Feature
		files    [][]Column
		want     []Column
	}{
		{"nothing", nil, nil, nil},
		{"the same everywhere", nil, [][]Column{colsOf("a double", "b int64"), colsOf("a double", "b int64")}, colsOf("a double", "b int64")},
		{"missing in some, in order of names", nil, [][]Column{colsOf("c bool"), colsOf("a double"), colsOf("b string")}, colsOf("a double", "b string", "c bool")},
		{"integers and fractions", nil, [][]Column{colsOf("a int64"), colsOf("a double")}, colsOf("a double")},
		{"fractions and integers", nil, [][]Column{colsOf("a double"), colsOf("a int64")}, colsOf("a double")},
		{"large integers alone", nil, [][]Column{colsOf("a int64"), colsOf("a int64!")}, colsOf("a int64!")},
		{"large integers and fractions", nil, [][]Column{colsOf("a int64!"), colsOf("a int64"), colsOf("a double")}, colsOf("a string")},
		{"fractions, then large integers", nil, [][]Column{colsOf("a double"), colsOf("a int64"), colsOf("a int64!")}, colsOf("a string")},
		{"bool and integers", nil, [][]Column{colsOf("a bool"), colsOf("a int64")}, colsOf("a string")},
		{"text and numbers", nil, [][]Column{colsOf("a string"), colsOf("a double")}, colsOf("a string")},
		{"JSON", nil, [][]Column{colsOf("a json"), colsOf("a json")}, colsOf("a string")},
		{"nulls and something", nil, [][]Column{colsOf("a null"), colsOf("a int64"), colsOf("a null")}, colsOf("a int64")},
		{"nulls alone", nil, [][]Column{colsOf("a null")}, colsOf("a null")},
		{"declared types hold", []runfile.Feature{{Name: "a", Type: runfile.Int64}, {Name: "z", Type: runfile.Bool}},
			[][]Column{colsOf("a double", "b null")}, []Column{{Feature: "a", Name: "a", Kind: packed.Int64}, col("b null"), col("z bool")}},
		{"names that differ in case", nil, [][]Column{colsOf("b double"), colsOf("B int64")},
			[]Column{col("B int64"), {Feature: "b", Name: "b_feature", Kind: packed.Double}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 2 { // the order of the files does not matter
				got := Settle(tc.declared, tc.files)
				if len(got) != len(tc.want) || len(got) > 0 && !reflect.DeepEqual(got, tc.want) {
					t.Errorf("got %v, want %v", got, tc.want)
				}
				slices.Reverse(tc.files)
			}
		})
	}
}

func TestNeedsRewrite(t *testing.T) {
	renamed := Column{Feature: "a", Name: "a_feature", Kind: packed.Double}
	for _, tc := range []struct {
		name       string
		have, want []Column
		need       bool
	}{
		{"the same", colsOf("a double", "b string"), colsOf("a double", "b string"), false},
		{"JSON is stored as string", colsOf("a json"), colsOf("a string"), false},
		{"nulls are stored as double", colsOf("a null"), colsOf("a double"), false},
		{"exactness is no difference", colsOf("a int64"), colsOf("a int64!"), false},
		{"nulls elsewhere int64", colsOf("a null"), colsOf("a int64"), true},
		{"another type", colsOf("a int64"), colsOf("a double"), true},
		{"a column more", colsOf("a int64"), colsOf("a int64", "b bool"), true},
		{"another name", colsOf("a double"), []Column{renamed}, true},
		{"another order", colsOf("b double", "a double"), colsOf("a double", "b double"), true},
	} {
		if got := NeedsRewrite(tc.have, tc.want); got != tc.need {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.need)
		}
	}
}
