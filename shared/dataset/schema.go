package dataset

import (
	"cmp"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
	"github.com/fastfeaturefetch/fff/shared/packed"
)

// Keys of a file's metadata.
const (
	metaRun     = "fff.run"
	metaFamily  = "fff.family"
	metaRenamed = "fff.renamed" // JSON object: column name → feature name, where they differ
)

// createdByUs begins what createdBy gives.
const createdByUs = "fff version "

// createdBy names the program in the form that readers look for.
func createdBy() string {
	v := Versions()
	return createdByUs + v["fff"] + "(build " + cmp.Or(v["revision"], "unknown") + ")"
}

// fileSchema gives the schema of a family's files.
func fileSchema(cols []FinalColumn, run, family string) *pages.Schema {
	s := &pages.Schema{CreatedBy: createdBy(), Meta: [][2]string{{metaFamily, family}, {metaRun, run}}}
	if r := renamed(cols); r != "" {
		s.Meta = append(s.Meta, [2]string{metaRenamed, r})
	}
	s.Columns = append(make([]pages.Column, 0, keyColumns+len(cols)),
		pages.Column{Name: ColumnUserID, Type: pages.Text, Required: true},
		pages.Column{Name: ColumnPITCTimestamp, Type: pages.Timestamp, Required: true},
		pages.Column{Name: ColumnSource, Type: pages.Text, Required: true})
	for _, c := range cols {
		t := pageType(c.Kind)
		// The least and the greatest text would stand in the footer, and a text may be half a
		// megabyte.
		s.Columns = append(s.Columns, pages.Column{Name: c.Name, Type: t, NoBounds: t == pages.Text})
	}
	return s
}

func pageType(k packed.Kind) pages.Type {
	switch physical(k) {
	case packed.Int64:
		return pages.Int64
	case packed.Bool:
		return pages.Bool
	case packed.String:
		return pages.Text
	default:
		return pages.Double
	}
}
