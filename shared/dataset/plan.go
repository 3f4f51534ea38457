package dataset

import (
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// filePlan says which columns a file has and where each block holds them.
type filePlan struct {
	cols    []Column
	layouts []layout
	of      []int32 // the layout of each pick's block
}

// layout is the features of a block in their order. Blocks of a family mostly have the same.
type layout struct {
	names []string
	kinds []*kinds
	at    []int32 // where the block has each column of the file, -1 = nowhere
}

func planFile(declared []runfile.Feature, rows *FamilyRows, known []Column) *filePlan {
	table := declare(declared)
	for _, c := range known {
		feature(table, c.Feature).add(c.Kind, c.ExactAsDouble)
	}
	p := &filePlan{of: make([]int32, len(rows.picks))}
	var last *layout
	for i := range rows.picks {
		columns := rows.picks[i].block.Columns
		if last == nil || !last.fits(columns) {
			p.layouts = append(p.layouts, newLayout(table, columns))
			last = &p.layouts[len(p.layouts)-1]
		}
		p.of[i] = int32(len(p.layouts) - 1)
		for j, k := range last.kinds {
			if !k.declared {
				k.add(columns[j].Kind, k.exact && columns[j].ExactAsDouble())
			}
		}
	}
	p.cols = columnsOf(table)
	p.locate()
	return p
}

func newLayout(table map[string]*kinds, columns []packed.Column) layout {
	l := layout{names: make([]string, len(columns)), kinds: make([]*kinds, len(columns))}
	for i := range columns {
		l.names[i], l.kinds[i] = columns[i].Name, feature(table, columns[i].Name)
	}
	return l
}

// fits tells whether a block has the layout.
func (l *layout) fits(columns []packed.Column) bool {
	if len(columns) != len(l.names) {
		return false
	}
	for i := range columns {
		if columns[i].Name != l.names[i] {
			return false
		}
	}
	return true
}

// locate finds the file's columns in each layout.
func (p *filePlan) locate() {
	place := make(map[string]int32, len(p.cols))
	for i := range p.cols {
		place[p.cols[i].Feature] = int32(i)
	}
	for i := range p.layouts {
		l := &p.layouts[i]
		l.at = make([]int32, len(p.cols))
		for c := range l.at {
			l.at[c] = -1
		}
		for j, name := range l.names {
			l.at[place[name]] = int32(j)
		}
	}
}
