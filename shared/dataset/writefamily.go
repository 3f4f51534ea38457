package dataset

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/fastfeaturefetch/fff/shared/dataset/pages"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// WriteFamily writes the Parquet file of a family. Its columns are the declared
// features, those in rows, and those known, which are columns of other files of the
// family: what a row does not have is null, and kinds are widened to what is known, so
// that files of a family mostly agree. It returns the feature columns and what stands in
// them. Values that do not fit a declared type are an error; find them with DriftRows before.
func WriteFamily(w io.Writer, family runfile.Family, rows *FamilyRows, known []Column) (cols []Column, stats []ColumnStats, err error) {
	if rows.Len() == 0 {
		return nil, nil, fmt.Errorf("family %q: no rows to write", family.ID)
	}
	plan := planFile(family.Features, rows, known)
	fw := &fileWriter{
		plan:  plan,
		out:   pages.NewWriter(w, fileSchema(plan.cols, rows.Run, family.ID)),
		stats: make([]columnCounter, len(plan.cols)),
	}
	first := 0 // of the group's picks
	for _, group := range rows.groups(len(plan.cols)) {
		if err := fw.writeGroup(group, plan.of[first:]); err != nil {
			return nil, nil, fmt.Errorf("family %q: %w", family.ID, err)
		}
		first += len(group)
	}
	if err := fw.out.Close(); err != nil {
		return nil, nil, fmt.Errorf("family %q: %w", family.ID, err)
	}
	stats = make([]ColumnStats, len(fw.stats))
	for i := range stats {
		stats[i] = fw.stats[i].ColumnStats
	}
	return plan.cols, stats, nil
}

// renamed gives the file's metadata about columns that do not have their feature's
// name, or "".
func renamed(cols []Column) string {
	names := make(map[string]string)
	for _, c := range cols {
		if c.Name != c.Feature {
			names[c.Name] = c.Feature
		}
	}
	if len(names) == 0 {
		return ""
	}
	data, err := json.Marshal(names)
	if err != nil { // strings alone cannot fail
		panic(err)
	}
	return string(data)
}

// fileWriter writes row groups column by column.
type fileWriter struct {
	plan   *filePlan
	out    *pages.Writer
	stats  []columnCounter
	filler filler
	ahead  [prefetched]*packed.Column
	loaded int // of what is read ahead, so that it is read
}

// prefetched is how many blocks' columns are read ahead.
const prefetched = 32

// writeGroup writes a row group of picks, whose layouts are given.
func (f *fileWriter) writeGroup(group []pick, layouts []int32) error {
	for _, fill := range []func(*pages.Chunk, *pick) error{userIDs, f.filler.times, sources} {
		out := f.out.Column()
		for p := range group {
			if err := fill(out, &group[p]); err != nil {
				return err
			}
		}
		if err := f.out.EndColumn(); err != nil {
			return err
		}
	}
	for i := range f.plan.cols {
		if err := f.writeFeature(group, layouts, i); err != nil {
			return err
		}
	}
	return nil
}

// writeFeature writes one feature's column of a row group.
func (f *fileWriter) writeFeature(group []pick, layouts []int32, i int) error {
	col, stats, out := &f.plan.cols[i], &f.stats[i], f.out.Column()
	f.filler.to, f.filler.feature = physical(col.Kind), col.Feature
	for p := range group {
		if p%prefetched == 0 {
			f.prefetch(group[p:], layouts[p:], i)
		}
		pick, from := &group[p], f.ahead[p%prefetched]
		if from == nil {
			stats.absent(len(pick.rows))
			out.Nulls(len(pick.rows))
			continue
		}
		stats.add(from, pick)
		if err := f.filler.fill(out, from, pick); err != nil {
			return err
		}
	}
	return f.out.EndColumn()
}

// prefetch finds a column in the next blocks and loads it. The column of a small block is a line
// of memory that was not used for long; loaded together they are waited for once, not one
// after the other.
func (f *fileWriter) prefetch(group []pick, layouts []int32, i int) {
	for p := range group[:min(len(group), prefetched)] {
		at := f.plan.layouts[layouts[p]].at[i]
		if at < 0 {
			f.ahead[p] = nil
			continue
		}
		from := &group[p].block.Columns[at]
		f.ahead[p] = from
		f.loaded += from.Count()
		if values := from.Values(); len(values) > 0 {
			f.loaded += int(values[0])
		}
	}
}

func userIDs(out *pages.Chunk, p *pick) error {
	for _, row := range p.rows {
		out.Text(p.msg.Samples[p.block.SampleOf[row]].UserID)
	}
	out.Rows(len(p.rows))
	return nil
}

func sources(out *pages.Chunk, p *pick) error {
	out.Repeat([]byte(p.msg.Source.String()), len(p.rows))
	out.Rows(len(p.rows))
	return nil
}
