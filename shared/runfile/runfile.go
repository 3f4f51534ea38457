package runfile

import (
	"fmt"
	"slices"
	"strings"
)

// MaxBytes bounds a run file, so that it fits one message of the broker.
const MaxBytes = 512 << 10

// Error is what is wrong with a run file, where, and what to do about it.
type Error struct {
	File         string // name of the file as the caller gave it
	Line, Column int    // 1-based; 0 = the error has no place in the text
	Field        string // dotted path such as families[1].lane; "" = the file itself
	Msg          string // what is wrong and what to do
}

// Error gives file:line:column: field: message, without the parts that are not known.
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if s != "" {
		s += ": "
	}
	if e.Field != "" {
		s += e.Field + ": "
	}
	return s + e.Msg
}

// Parse reads and checks a run file: YAML, or JSON, which is YAML too. name is what
// errors call it. Text that holds ${ENV} stays as it is and is checked by Expand; a
// number, duration or switch that is given so has its default until then. Every error
// is an *Error, the first that was found.
func Parse(name string, data []byte) (*File, error) { return parse(name, data, nil) }

func parse(name string, data []byte, getenv func(string) (string, bool)) (*File, error) {
	root, err := readTree(name, data)
	if err != nil {
		return nil, err
	}
	d := newDecoder(name, getenv)
	f := d.file(root)
	if d.err == nil {
		d.check(f)
	}
	if d.err != nil {
		return nil, d.err
	}
	f.name, f.source, f.places = name, data, d.places
	f.hash = hashTree(root)
	return f, nil
}

// Source gives the file as it was given, ${ENV} unexpanded.
func (f *File) Source() []byte { return f.source }

// Hash gives 64 hexadecimal digits over what the file says, ${ENV} unexpanded. They
// stay the same when only comments, layout or the order of keys change.
func (f *File) Hash() string { return f.hash }

// Expand gives a copy whose ${ENV} and $$ are expanded and whose values are all
// checked. Its Source and Hash are those of the unexpanded file, and its errors quote
// the unexpanded text, so that no secret is told.
func (f *File) Expand(getenv func(string) (string, bool)) (*File, error) {
	return parse(f.name, f.source, getenv)
}

// Family finds a family by its id.
func (f *File) Family(id string) (*Family, bool) {
	for i := range f.Families {
		if f.Families[i].ID == id {
			return &f.Families[i], true
		}
	}
	return nil, false
}

// FamilyIDs gives the ids of all families in the file's order.
func (f *File) FamilyIDs() []string {
	ids := make([]string, len(f.Families))
	for i := range f.Families {
		ids[i] = f.Families[i].ID
	}
	return ids
}

// HasAuto tells whether the lane of a family is to be found.
func (f *File) HasAuto() bool {
	return slices.ContainsFunc(f.Families, func(family Family) bool { return family.Lane == LaneAuto })
}

// TableOf gives the DynamoDB table that holds a family; "" where the file names none.
func (f *File) TableOf(family *Family) string {
	if family.Table != "" || f.DynamoDB == nil {
		return family.Table
	}
	return f.DynamoDB.Table
}

// Overrides replaces settings of a run file, as flags of the command line do.
type Overrides struct {
	Run               string // "" = as in the file
	OutputDir         string // "" = as in the file
	FeatureServiceURL string // "" = as in the file
}

// Override gives the file with settings replaced, in its Source too: that is then
// JSON without the comments. Without any override the file comes back as it is. The
// result is unexpanded.
func (f *File) Override(o Overrides) (*File, error) {
	root, err := readTree(f.name, f.source)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, set := range []struct {
		value string
		path  []string
	}{
		{o.Run, []string{"run"}},
		{o.OutputDir, []string{"output", "dir"}},
		{o.FeatureServiceURL, []string{"feature_service", "url"}},
	} {
		if set.value != "" {
			root.set(set.path, strings.ReplaceAll(set.value, "$", "$$"))
			changed = true
		}
	}
	if !changed {
		return f, nil
	}
	return Parse(f.name, indentJSON(root.appendJSON(nil, false)))
}
