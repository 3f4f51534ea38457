package runfile

import (
	"fmt"
	"strings"
	"unicode"
)

// MaxFamilies bounds the families of a run.
const MaxFamilies = 1000

// check looks at what only several settings together can get wrong. What waits for
// ${ENV} is left to Expand.
func (d *decoder) check(f *File) {
	d.checkFamilies(f)
	d.checkBackends(f)
	if f.DynamoDB != nil {
		d.checkKeys(f)
		d.checkAttributes(f.DynamoDB)
	}
	d.checkRecords(&f.Records)
}

func (d *decoder) checkFamilies(f *File) {
	switch {
	case len(f.Families) == 0:
		d.failAt("families", "the list is empty; a run needs a family at least: [{id: credit}]")
	case len(f.Families) > MaxFamilies:
		d.failAt("families", "%d families are more than the %d that a run may have; split it into several runs", len(f.Families), MaxFamilies)
	}
	seen := make(map[string]int, len(f.Families))
	for i, family := range f.Families {
		path := fmt.Sprintf("families[%d].id", i)
		if d.pending[path] {
			continue
		}
		folded := foldCase(family.ID)
		first, again := seen[folded]
		seen[folded] = i
		if !again {
			continue
		}
		if other := f.Families[first].ID; other != family.ID {
			d.failAt(path, "%q and %q (families[%d]) differ only in case, and some file systems cannot tell them apart; rename one", family.ID, other, first)
			return
		}
		d.failAt(path, "%q is listed twice, first as families[%d]; leave one out", family.ID, first)
		return
	}
}

// foldCase gives texts that are equal under Unicode case folding the same form.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			least = min(least, o)
		}
		return least
	}, s)
}

func (d *decoder) checkBackends(f *File) {
	for i := range f.Families {
		family, path := &f.Families[i], fmt.Sprintf("families[%d]", i)
		if !family.Cached || d.pending[path+".cached"] {
			continue
		}
		if f.DynamoDB == nil {
			d.failAt("dynamodb", "it is missing, and family %q is cached; add dynamodb, or set cached: false for the family", family.ID)
			return
		}
		if f.TableOf(family) == "" {
			d.failAt("dynamodb.table", "it is missing, and family %q names no table of its own; add one of the two", family.ID)
			return
		}
	}
	if f.FeatureService == nil {
		d.failAt("feature_service", "it is missing; add it with its url: what is not cached, or not found in DynamoDB, is asked for there")
	}
}

func (d *decoder) checkKeys(f *File) {
	db := f.DynamoDB
	keys := map[string]*KeyAttribute{"dynamodb.partition_key": &db.PartitionKey}
	if db.SortKey != nil {
		keys["dynamodb.sort_key"] = db.SortKey
		if db.SortKey.Name == db.PartitionKey.Name {
			d.failAt("dynamodb.sort_key.name", "%q is the partition key's name too; a table's two keys have different names", db.SortKey.Name)
		}
	}
	uses := map[string]bool{}
	for path, k := range keys {
		if d.pending[path+".value"] {
			return
		}
		for _, p := range placeholders {
			uses[p] = uses[p] || k.Value.Uses(p)
		}
	}
	for _, path := range []string{"dynamodb.partition_key", "dynamodb.sort_key"} {
		if k := keys[path]; k != nil && k.Type == "N" {
			d.checkNumberKey(path+".value", k.Value)
		}
	}
	where := "dynamodb.partition_key.value"
	if db.SortKey != nil {
		where = "dynamodb.sort_key.value"
	}
	if !uses[PlaceholderUserID] {
		d.failAt(where, "no key mentions {user_id}, so that all users would share one item; add {user_id} to a key's value")
		return
	}
	if uses[PlaceholderFamily] {
		return
	}
	first := map[string]string{}
	for i := range f.Families {
		family, path := &f.Families[i], fmt.Sprintf("families[%d]", i)
		if !family.Cached || d.pending[path+".cached"] || d.pending[path+".table"] || d.pending["dynamodb.table"] {
			continue
		}
		table := f.TableOf(family)
		if other, shared := first[table]; shared {
			d.failAt(where, "no key mentions {family}, so that families %q and %q of table %q would share one item; add {family} to a key's value, or give each family a table of its own",
				other, family.ID, table)
			return
		}
		first[table] = family.ID
	}
}

// checkNumberKey refuses what can never be a number.
func (d *decoder) checkNumberKey(path string, t *Template) {
	for _, p := range t.parts {
		switch p.placeholder {
		case PlaceholderPITCTimestamp, PlaceholderPITCDate:
			d.failAt(path, "{%s} is no number, and the key is of type N; use {%s}, or type S", p.placeholder, PlaceholderPITCTimestampMS)
		case "":
			if strings.Trim(p.literal, "0123456789") != "" {
				d.failAt(path, "%q is no part of a number, and the key is of type N; use digits and placeholders only, or type S", p.literal)
			}
		}
	}
}

// checkAttributes looks for attributes that would be two things at once.
func (d *decoder) checkAttributes(db *DynamoDB) {
	special := map[string]string{db.PartitionKey.Name: "the partition key"}
	if db.SortKey != nil {
		special[db.SortKey.Name] = "the sort key"
	}
	clash := func(path, name string) {
		if name == "" {
			return
		}
		if what, taken := special[name]; taken {
			d.failAt(path, "the attribute %q is %s already; name another one", name, what)
		}
	}
	clash("dynamodb.layout", db.LayoutAttribute)
	if db.LayoutAttribute != "" {
		special[db.LayoutAttribute] = "the one that holds the features"
	}
	clash("dynamodb.ttl", db.TTL)
	if db.LayoutAttribute == "" {
		return
	}
	for i, name := range db.Exclude {
		if name == db.LayoutAttribute {
			d.failAt(fmt.Sprintf("dynamodb.exclude[%d]", i), "the attribute %q holds the features; without it there are none: leave it out of exclude", name)
		}
	}
}

func (d *decoder) checkRecords(r *Records) {
	seen := map[string]string{}
	for _, c := range []struct{ field, name string }{
		{"user_id", r.UserID}, {"pitc_timestamp", r.PITCTimestamp}, {"feature_families", r.FeatureFamilies},
	} {
		if other, taken := seen[c.name]; taken {
			d.failAt("records."+c.field, "the column %q is records.%s already; name another one", c.name, other)
		}
		seen[c.name] = c.field
	}
	for i, name := range r.Attributes {
		if other, taken := seen[name]; taken {
			d.failAt(fmt.Sprintf("records.attributes[%d]", i), "the column %q is records.%s already; leave it out", name, other)
		}
	}
}
