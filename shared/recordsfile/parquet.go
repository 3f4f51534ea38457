package recordsfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/record"
)

// parquetFile reads the columns that a record needs, and none of the others.
type parquetFile struct {
	name     string
	names    record.Names
	v        *record.Validator
	families familyList

	groups []parquet.RowGroup // still to be read
	left   int64              // rows of the present group
	row    int64

	user, time, list *cursor // list = families; nil = absent
	attributes       []*cursor
	ids              []string
	json             []byte
}

func newParquet(name string, file io.ReaderAt, size int64, o Options) (p *parquetFile, err error) {
	defer recovered(name, &err)
	names, err := o.names()
	if err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(file, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%s is no Parquet file that can be read (%w); write it again", name, err)
	}
	v := record.NewValidator(o.Families)
	p = &parquetFile{name: name, names: names, v: v, families: familyList{v: v}, groups: f.RowGroups()}
	return p, p.findColumns(f.Root())
}

// recovered turns a panic of the Parquet library, which corrupt files can cause, into
// an error.
func recovered(name string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s is a corrupt Parquet file (%v); write it again", name, r)
	}
}

func (p *parquetFile) findColumns(root *parquet.Column) error {
	var header []string
	var all []*parquet.Column
	for _, c := range root.Columns() {
		header, all = append(header, c.Name()), append(all, c)
		if c.Name() != "attributes" || c.Leaf() {
			continue
		}
		for _, inner := range c.Columns() { // a struct of attributes
			header, all = append(header, attributesPrefix+inner.Name()), append(all, inner)
		}
	}
	at, err := findColumns(p.name, header, p.names)
	if err != nil {
		return err
	}
	if p.user, err = p.cursor(all[at.userID], p.names.UserID, userColumn); err != nil {
		return err
	}
	if p.time, err = p.cursor(all[at.time], p.names.PITCTimestamp, timeColumn); err != nil {
		return err
	}
	if p.time.unzoned && p.names.Location == nil {
		return fmt.Errorf("%s: the times of column %q have no time zone; set records.timezone in the run file, or write them adjusted to UTC", p.name, p.names.PITCTimestamp)
	}
	if at.families >= 0 {
		if p.list, err = p.cursor(all[at.families], p.names.FeatureFamilies, listColumn); err != nil {
			return err
		}
	}
	for _, a := range at.attributes {
		c, err := p.cursor(all[a.column], header[a.column], attributeColumn)
		if err != nil {
			return err
		}
		c.key = a.key
		p.attributes = append(p.attributes, c)
	}
	return nil
}

func (p *parquetFile) cursor(column *parquet.Column, name string, use columnUse) (*cursor, error) {
	c, err := newCursor(column, use)
	if err != nil {
		return nil, fmt.Errorf("%s: column %q %w", p.name, name, err)
	}
	return c, nil
}

func (p *parquetFile) cursors() []*cursor {
	all := append([]*cursor{p.user, p.time}, p.attributes...)
	if p.list != nil {
		all = append(all, p.list)
	}
	return all
}

func (p *parquetFile) close() error {
	var err error
	for _, c := range p.cursors() {
		err = errors.Join(err, c.close())
	}
	return err
}

func (p *parquetFile) next() (row Row, err error) {
	defer recovered(p.name, &err)
	for p.left == 0 {
		if len(p.groups) == 0 {
			return Row{}, io.EOF
		}
		group := p.groups[0]
		p.groups, p.left = p.groups[1:], group.NumRows()
		for _, c := range p.cursors() {
			if err := c.open(group); err != nil {
				return Row{}, p.broken(err)
			}
		}
	}
	p.left--
	p.row++
	r, bad, err := p.record()
	if err != nil {
		return Row{}, p.broken(err)
	}
	if bad != nil {
		raw := fmt.Sprintf("{%q: %q, %q: %q}", p.names.UserID, p.user.shown(), p.names.PITCTimestamp, p.time.shown())
		return Row{}, badRecord(p.name, "row", p.row, []byte(raw), rename(bad, p.names))
	}
	return Row{Record: r, Line: p.row}, nil
}

func (p *parquetFile) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("a column ends before the file does")
	}
	return fmt.Errorf("%s: row %d: it cannot be read further: %w", p.name, p.row, err)
}

// record reads one row. bad is about this row alone; every cursor has moved on then
// too.
func (p *parquetFile) record() (r record.Record, bad, err error) {
	for _, c := range p.cursors() {
		if c.use == listColumn {
			continue
		}
		if err := c.advance(); err != nil {
			return r, nil, err
		}
	}
	var listErr error
	if p.list != nil {
		if r.Families, listErr, err = p.readFamilies(); err != nil {
			return r, nil, err
		}
	}
	if r.UserID, err = p.user.text(); err != nil {
		return r, &record.FieldError{Field: "user_id", Msg: err.Error()}, nil
	}
	if r.EpochMS, err = p.time.epochMS(p.names); err != nil {
		return r, &record.FieldError{Field: "pitc_timestamp", Msg: err.Error()}, nil
	}
	if len(p.attributes) > 0 {
		p.json = p.json[:0]
		for i, c := range p.attributes {
			p.json = append(append(p.json, "{,"[min(i, 1)]), c.key...)
			p.json = c.appendJSON(p.json)
		}
		p.json = append(p.json, '}')
		r.Attributes = []byte(string(p.json))
	}
	families := r.Families
	r.Families = nil // checked when they were read
	bad = p.v.Check(&r)
	r.Families = families
	if bad == nil {
		bad = listErr
	}
	return r, bad, nil
}

// readFamilies reads one row's list; nil = it is null, which stands for all.
func (p *parquetFile) readFamilies() (ids []string, bad, err error) {
	p.ids = p.ids[:0]
	null, hole, err := p.list.advanceList(func(text []byte) { p.ids = append(p.ids, string(text)) })
	switch {
	case err != nil || null:
		return nil, nil, err
	case hole:
		return nil, &record.FieldError{Field: "feature_families", Msg: "an item is null; name a family, or leave it out"}, nil
	case !p.list.repeated && len(p.ids) == 1:
		p.ids = append(p.ids[:0], strings.Split(p.ids[0], ";")...)
	}
	ids, bad = p.families.of(p.ids)
	return ids, bad, nil
}
