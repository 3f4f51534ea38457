package dataset

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/packed"
)

// FamilySchema is the settled schema of one family.
type FamilySchema struct {
	Family  string
	Columns []FinalColumn
}

// SchemaYAML gives the content of _schema.yaml: the settled types, in a form that can
// be pasted into a run file's families. Names are the features' own, not those of
// renamed columns.
func SchemaYAML(run string, families []FamilySchema) []byte {
	var b bytes.Buffer
	b.WriteString("# Settled types of run " + run + ". Pasted into the families of a run file, they are declared types.\n")
	b.WriteString("families:")
	if len(families) == 0 {
		b.WriteString(" []")
	}
	b.WriteByte('\n')
	for _, f := range families {
		b.WriteString("  - id: " + yamlString(f.Family) + "\n    features:")
		if len(f.Columns) == 0 {
			b.WriteString(" {}")
		}
		b.WriteByte('\n')
		for _, c := range f.Columns {
			b.WriteString("      " + yamlString(c.Feature) + ": " + string(c.Type()))
			if c.Kind == packed.Null {
				b.WriteString(" # only nulls so far")
			}
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// yamlString writes a string so that YAML reads it as that string: plain words as they
// are, all else between double quotes, where YAML knows JSON's escapes.
func yamlString(s string) string {
	if isWord(s) {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string cannot fail
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// yamlKeywords are the words that YAML 1.1 or 1.2 does not read as strings.
var yamlKeywords = []string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

func isWord(s string) bool {
	if s == "" || slices.Contains(yamlKeywords, strings.ToLower(s)) {
		return false
	}
	for i := range len(s) {
		letter := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' || s[i] == '_'
		if !letter && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
