package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// columns follows what stands in the features of each family, part after part. The rules
// about the data look at it.
type columns struct {
	window   time.Duration
	families map[string]*family
}

// family is what is known of a family. Its schema is what it declares, and what came with
// its first MinCells rows.
type family struct {
	rows     int64
	features map[string]*feature
	changed  bool // since it was judged last
}

// feature is what is known of a feature.
type feature struct {
	name     string
	declared bool
	known    bool    // it is in the schema
	added    bool    // it came when the schema was complete
	kinds    classes // in the schema
	drifted  classes // that came when the schema was complete
	same     uint64  // hash of the value that all rows of the last part had, 0 = they differed
	recent   window[values]
	told     map[*dataRule]bool
}

// values counts what stood in a feature.
type values struct{ rows, null, absent, notFinite, changes int64 }

func (v values) plus(o values) values {
	return values{v.rows + o.rows, v.null + o.null, v.absent + o.absent, v.notFinite + o.notFinite, v.changes + o.changes}
}

func (v values) weight() int64 { return v.rows }

// classes is a set of kinds of values between which nothing passes unnoticed. A whole number
// among fractions is no drift, a text among numbers is one.
type classes uint8

const (
	numbers classes = 1 << iota
	switches
	texts
)

func classesOf(s dataset.KindSet) (c classes) {
	if s.Has(packed.Double) || s.Has(packed.Int64) {
		c |= numbers
	}
	if s.Has(packed.Bool) {
		c |= switches
	}
	if s.Has(packed.String) || s.Has(packed.JSON) {
		c |= texts
	}
	return c
}

func (c classes) String() string {
	var all []string
	for i, name := range []string{"numbers", "true and false", "texts"} {
		if c>>i&1 != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, " and ")
}

func newColumns(declared []runfile.Family, window time.Duration) *columns {
	c := &columns{window: window, families: map[string]*family{}}
	for i := range declared {
		f := c.family(declared[i].ID)
		for _, d := range declared[i].Features {
			one := c.feature(f, d.Name)
			one.declared, one.known = true, true
		}
	}
	return c
}

func (c *columns) family(id string) *family {
	f := c.families[id]
	if f == nil {
		f = &family{features: map[string]*feature{}}
		c.families[id] = f
	}
	return f
}

func (c *columns) feature(of *family, name string) *feature {
	f := of.features[name]
	if f == nil {
		f = &feature{name: name, recent: window[values]{length: c.window, least: MinCells}, told: map[*dataRule]bool{}}
		of.features[name] = f
	}
	return f
}

// add takes in a family's columns of a part.
func (c *columns) add(now time.Time, p *dataset.FamilyPart) {
	if len(p.Stats) == 0 || p.File.Rows == 0 {
		return
	}
	of := c.family(p.Family)
	there := make(map[string]bool, len(p.Stats))
	for i := range p.Stats {
		name := p.File.Columns[i].Feature
		there[name] = true
		c.feature(of, name).add(now, p.File.Rows, &p.Stats[i], of.rows >= MinCells)
	}
	for name, f := range of.features {
		if !there[name] { // a column that its writer has never seen
			f.add(now, p.File.Rows, &dataset.ColumnStats{Absent: p.File.Rows, Null: p.File.Rows}, of.rows >= MinCells)
		}
	}
	of.rows += p.File.Rows
	of.changed = true
}

// add takes in a feature's column; complete says that the family's schema is.
func (f *feature) add(now time.Time, rows int64, s *dataset.ColumnStats, complete bool) {
	v := values{rows: rows, null: s.Null, absent: s.Absent, notFinite: s.NotFinite}
	if s.Varied || s.Same != 0 && f.same != 0 && s.Same != f.same {
		v.changes = 1
	}
	if s.Varied || s.Same != 0 {
		f.same = s.Same
	}
	f.recent.add(now, v)
	if s.Absent < rows && !f.known {
		f.known, f.added = true, complete
	}
	kinds := classesOf(s.Kinds)
	if complete && f.kinds != 0 && !f.declared { // the writer sees to declared types
		f.drifted |= kinds &^ f.kinds
		return
	}
	f.kinds |= kinds
}

// judged notes that every rule has seen what came.
func (c *columns) judged() {
	for _, of := range c.families {
		of.changed = false
	}
}

// dataRule is a rule about single features. Each feature is told of once, and those of a
// family together.
type dataRule struct {
	of    *columns
	about verdict
}

// verdict says whether a feature breaks a rule, and how to tell.
type verdict struct {
	broken func(*feature) bool
	detail func(*feature) string // said behind the feature's name; nil = nothing
	cause  string                // format of the family, and of the features
	cure   string
}

func (c *columns) rule(about verdict) *dataRule { return &dataRule{c, about} }

func (r *dataRule) judge(_ *Observation, report func(cause, cure string)) {
	for _, id := range slices.Sorted(maps.Keys(r.of.families)) {
		of := r.of.families[id]
		if !of.changed {
			continue
		}
		var names []string
		for _, name := range slices.Sorted(maps.Keys(of.features)) {
			f := of.features[name]
			if f.told[r] || !r.about.broken(f) {
				continue
			}
			f.told[r] = true
			if r.about.detail != nil {
				name += " (" + r.about.detail(f) + ")"
			}
			names = append(names, name)
		}
		if len(names) > 0 {
			report(fmt.Sprintf(r.about.cause, id, few(names)), r.about.cure)
		}
	}
}

// few writes the first of many names.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
