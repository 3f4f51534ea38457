package runfile

import (
	"fmt"
	"slices"
	"strings"
)

// CheckResume says whether a run that was started with old may go on with new. New
// may add families and change operational settings: lanes, cached, limits, time-outs,
// where records come from, warm-up, policies, budget. It may not change what the
// values fetched so far depend on: keys, tables, templates, layouts and declared
// types, nor leave families out. Give two files that are both expanded or both not.
// The error is an *Error that names the field.
func CheckResume(old, new *File) error {
	if old.Run != new.Run {
		return new.refuse("run", old.Run, new.Run)
	}
	if err := checkResumeDynamoDB(old, new); err != nil {
		return err
	}
	for i := range old.Families {
		was := &old.Families[i]
		at := slices.IndexFunc(new.Families, func(f Family) bool { return f.ID == was.ID })
		if at < 0 {
			return new.errorAt("families", fmt.Sprintf("family %q was in run %q when it was started and is missing now; put it back, or use another run id",
				was.ID, old.Run))
		}
		is, path := &new.Families[at], fmt.Sprintf("families[%d]", at)
		if a, b := old.TableOf(was), new.TableOf(is); a != b && was.Cached {
			return new.refuse(path+".table", a, b)
		}
		if a, b := featureList(was.Features), featureList(is.Features); a != b {
			return new.refuse(path+".features", a, b)
		}
	}
	return nil
}

func checkResumeDynamoDB(old, new *File) error {
	if old.DynamoDB == nil {
		return nil // nothing was cached; the section is as new as the families that need it
	}
	if new.DynamoDB == nil {
		return new.errorAt("dynamodb", fmt.Sprintf("run %q was started with it and it is missing now; put it back (it does no harm where nothing is cached), or use another run id",
			old.Run))
	}
	a, b := resumeFields(old.DynamoDB), resumeFields(new.DynamoDB)
	for i := range a {
		if a[i].value != b[i].value {
			return new.refuse("dynamodb."+a[i].field, a[i].value, b[i].value)
		}
	}
	return nil
}

type resumeField struct{ field, value string }

// resumeFields lists what identifies items and says what is in them.
func resumeFields(db *DynamoDB) []resumeField {
	sort := KeyAttribute{Value: &Template{}}
	if db.SortKey != nil {
		sort = *db.SortKey
	}
	layout := string(db.Layout)
	if db.LayoutAttribute != "" {
		layout += ":" + db.LayoutAttribute
	}
	return []resumeField{
		{"table", db.Table},
		{"partition_key.name", db.PartitionKey.Name},
		{"partition_key.value", db.PartitionKey.Value.String()},
		{"partition_key.type", db.PartitionKey.Type},
		{"sort_key.name", sort.Name},
		{"sort_key.value", sort.Value.String()},
		{"sort_key.type", sort.Type},
		{"layout", layout},
		{"exclude", strings.Join(slices.Sorted(slices.Values(db.Exclude)), ", ")},
		{"ttl", db.TTL},
	}
}

func featureList(features []Feature) string {
	list := make([]string, len(features))
	for i, f := range features {
		list[i] = f.Name + ": " + string(f.Type)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (f *File) refuse(field, was, is string) error {
	return f.errorAt(field, fmt.Sprintf("it was %q when the run was started and is %q now; what was fetched already would not fit: put it back, or use another run id",
		was, is))
}

func (f *File) errorAt(field, msg string) error {
	at := place(f.places, field)
	return &Error{File: f.name, Line: at.line, Column: at.column, Field: field, Msg: msg}
}
