package recordsfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fastfeaturefetch/fff/shared/record"
)

// attributesPrefix marks CSV and Parquet columns that are attributes.
const attributesPrefix = "attributes."

// csv reads RFC 4180: a header, values in quotes where they hold commas, quotes or
// line breaks. It is our own because a row must be bounded and known as it was given.
type csv struct {
	name     string
	names    record.Names
	row      csvRow
	header   []string
	columns  columns
	families familyList
	v        *record.Validator
}

// columns says where the fields of a record are.
type columns struct {
	userID, time, families int // -1 = absent
	attributes             []attribute
}

type attribute struct {
	column int
	key    string // `"name":`
}

func newCSV(name string, from io.Reader, names record.Names, families []string) (*csv, error) {
	v := record.NewValidator(families)
	c := &csv{name: name, names: names, row: csvRow{lines: newLines(from)}, v: v, families: familyList{v: v}}
	err := c.row.read()
	if err == io.EOF {
		return nil, fmt.Errorf("%s is empty; the first line of a CSV file names its columns", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: line 1: the header cannot be read: %w", name, err)
	}
	for _, f := range c.row.fields {
		c.header = append(c.header, string(f))
	}
	c.columns, err = findColumns(name, c.header, names)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// findColumns finds the fields of a record among the columns of a file.
func findColumns(file string, header []string, names record.Names) (columns, error) {
	find := func(name string) (int, error) {
		i := slices.Index(header, name)
		if i >= 0 && slices.Contains(header[i+1:], name) {
			return i, fmt.Errorf("%s: two columns are called %q; rename one", file, name)
		}
		return i, nil
	}
	var c columns
	for _, f := range []struct {
		dst         *int
		name, field string
		required    bool
	}{
		{&c.userID, names.UserID, "user_id", true},
		{&c.time, names.PITCTimestamp, "pitc_timestamp", true},
		{&c.families, names.FeatureFamilies, "feature_families", names.FeatureFamilies != "feature_families"},
	} {
		at, err := find(f.name)
		if err != nil {
			return c, err
		}
		if at < 0 && f.required {
			return c, missingColumn(file, f.name, "records."+f.field, header)
		}
		*f.dst = at
	}
	seen := map[string]bool{}
	add := func(at int, name string) error {
		if seen[name] {
			return fmt.Errorf("%s: two columns give the attribute %q; rename one, or leave it out of records.attributes", file, name)
		}
		seen[name] = true
		c.attributes = append(c.attributes, attribute{at, string(record.AppendString(nil, name)) + ":"})
		return nil
	}
	for _, name := range names.Attributes {
		at, err := find(name)
		if err != nil {
			return c, err
		}
		if at < 0 {
			return c, missingColumn(file, name, "records.attributes", header)
		}
		if err := add(at, strings.TrimPrefix(name, attributesPrefix)); err != nil {
			return c, err
		}
	}
	for at, column := range header {
		name, ok := strings.CutPrefix(column, attributesPrefix)
		if !ok || name == "" || slices.Contains(names.Attributes, column) {
			continue
		}
		if err := add(at, name); err != nil {
			return c, err
		}
	}
	return c, nil
}

func missingColumn(file, name, setting string, header []string) error {
	hint := ""
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		hint = "; the columns must be separated by commas"
	}
	quoted := make([]string, 0, len(header))
	for _, column := range header[:min(len(header), 50)] {
		quoted = append(quoted, fmt.Sprintf("%q", column))
	}
	return fmt.Errorf("%s has no column %q; it has %s: name the right one as %s in the run file%s", file, name, strings.Join(quoted, ", "), setting, hint)
}

func (c *csv) close() error { return nil }

func (c *csv) next() (Row, error) {
	for {
		err := c.row.read()
		switch e := err.(type) {
		case nil:
		case *record.FieldError:
			return Row{}, c.bad(e)
		default:
			if err == io.EOF {
				return Row{}, io.EOF
			}
			return Row{}, readError(c.name, c.row.line, err)
		}
		if c.row.blank {
			continue
		}
		r, err := c.record(c.row.fields)
		if err != nil {
			return Row{}, c.bad(err)
		}
		return Row{Record: r, Line: c.row.line}, nil
	}
}

func (c *csv) bad(err error) error { return badRecord(c.name, "line", c.row.line, c.row.raw, err) }

func (c *csv) record(fields [][]byte) (record.Record, error) {
	if len(fields) != len(c.header) {
		return record.Record{}, &record.FieldError{Msg: fmt.Sprintf("the row has %d values and the header %d; give one for each column", len(fields), len(c.header))}
	}
	r := record.Record{UserID: string(fields[c.columns.userID])}
	var err error
	if r.EpochMS, err = textTime(fields[c.columns.time], c.names); err != nil {
		return r, &record.FieldError{Field: c.names.PITCTimestamp, Msg: err.Error()}
	}
	if n := len(c.columns.attributes); n > 0 {
		buf := make([]byte, 0, 32*n)
		for i, a := range c.columns.attributes {
			buf = append(append(buf, "{,"[min(i, 1)]), a.key...)
			buf = record.AppendString(buf, string(fields[a.column]))
		}
		r.Attributes = append(buf, '}')
	}
	if err := c.v.Check(&r); err != nil {
		return r, rename(err, c.names)
	}
	if at := c.columns.families; at >= 0 && len(fields[at]) > 0 {
		if r.Families, err = c.families.split(fields[at]); err != nil {
			return r, rename(err, c.names)
		}
	}
	return r, nil
}

// textTime reads a time that is text; plain integers are epoch milliseconds.
func textTime(text []byte, names record.Names) (int64, error) {
	if len(text) == 0 {
		return 0, fmt.Errorf("it is empty; give a time like 2025-01-31T12:00:00Z, or an integer of epoch milliseconds")
	}
	if digits := bytes.TrimPrefix(text, []byte("-")); len(bytes.Trim(digits, "0123456789")) == 0 && len(digits) > 0 {
		return record.ParseEpochMS(text)
	}
	return record.ParseTime(text, names.Location)
}

// rename gives an error the name that the file has for the field.
func rename(err error, names record.Names) error {
	f, ok := err.(*record.FieldError)
	if !ok {
		return err
	}
	switch f.Field {
	case "user_id":
		return &record.FieldError{Field: names.UserID, Msg: f.Msg}
	case "pitc_timestamp":
		return &record.FieldError{Field: names.PITCTimestamp, Msg: f.Msg}
	case "feature_families":
		return &record.FieldError{Field: names.FeatureFamilies, Msg: f.Msg}
	}
	return err
}

// familyList turns lists of families into slices, which equal lists in a row share.
type familyList struct {
	v    *record.Validator
	text string
	list []string
}

// split reads ids separated by semicolons.
func (f *familyList) split(text []byte) ([]string, error) {
	if f.list != nil && f.text == string(text) {
		return f.list, nil
	}
	return f.take(strings.Split(string(text), ";"), string(text))
}

// of shares the slice of a list that was the same in the row before.
func (f *familyList) of(ids []string) ([]string, error) {
	if f.list != nil && slices.Equal(f.list, ids) {
		return f.list, nil
	}
	return f.take(slices.Clone(ids), "")
}

func (f *familyList) take(ids []string, text string) ([]string, error) {
	if err := f.v.CheckFamilies(ids); err != nil {
		return nil, err
	}
	f.text, f.list = text, ids
	return ids, nil
}
