package dataset

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// chunkValues is how many values are handed to a column at a time: few enough to stay
// in the processor's first cache.
const chunkValues = 512

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
	meta := map[string]string{metaRun: rows.Run, metaFamily: family.ID}
	if r := renamed(plan.cols); r != "" {
		meta[metaRenamed] = r
	}
	fw := &fileWriter{
		plan:   plan,
		out:    newParquetWriter(w, plan.cols, meta),
		values: make([]parquet.Value, chunkValues),
		stats:  make([]columnCounter, len(plan.cols)),
	}
	fw.columns = fw.out.ColumnWriters()
	first := 0 // of the group's picks
	for _, group := range rows.groups(len(plan.cols)) {
		if err := fw.writeGroup(group, first); err != nil {
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

// filePlan says which columns a file has and where each block holds them.
type filePlan struct {
	cols []Column
	at   []int32 // pick p has column c as at[p*len(cols)+c] of its block, -1 = not
}

func planFile(declared []runfile.Feature, rows *FamilyRows, known []Column) *filePlan {
	table := declare(declared)
	for _, c := range known {
		feature(table, c.Feature).add(c.Kind, c.ExactAsDouble)
	}
	for i := range rows.picks {
		for j := range rows.picks[i].block.Columns {
			c := &rows.picks[i].block.Columns[j]
			k := feature(table, c.Name)
			k.add(c.Kind, k.declared || c.ExactAsDouble())
		}
	}
	p := &filePlan{cols: columnsOf(table)}
	place := make(map[string]int32, len(p.cols))
	for i, c := range p.cols {
		place[c.Feature] = int32(i)
	}
	p.locate(rows.picks, place)
	return p
}

// locate fills at. Blocks of a family mostly have the same features in the same order,
// so the place in the block before is tried first.
func (p *filePlan) locate(picks []pick, place map[string]int32) {
	p.at = make([]int32, len(picks)*len(p.cols))
	for i := range p.at {
		p.at[i] = -1
	}
	var guess []int32
	for i := range picks {
		at := p.at[i*len(p.cols) : (i+1)*len(p.cols)]
		for j := range picks[i].block.Columns {
			name := picks[i].block.Columns[j].Name
			if j == len(guess) {
				guess = append(guess, place[name])
			} else if p.cols[guess[j]].Feature != name {
				guess[j] = place[name]
			}
			at[guess[j]] = int32(j)
		}
	}
}

// fileWriter writes row groups column by column.
type fileWriter struct {
	plan    *filePlan
	out     *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	stats   []columnCounter
	values  []parquet.Value // of one chunk
	text    []byte          // of values that are converted to text
}

func (f *fileWriter) writeGroup(group []pick, first int) error {
	for i, fill := range []func(*pick, []parquet.Value, []uint32) error{userIDs, times, sources} {
		for p := range group {
			pick := &group[p]
			err := f.writeChunks(f.columns[i], pick.rows, func(dst []parquet.Value, rows []uint32) error {
				return fill(pick, dst, rows)
			})
			if err != nil {
				return err
			}
		}
	}
	for i := range f.plan.cols {
		if err := f.writeFeature(group, first, i); err != nil {
			return err
		}
	}
	return f.out.Flush()
}

// writeFeature writes one feature's column of a row group.
func (f *fileWriter) writeFeature(group []pick, first, i int) error {
	col := &f.plan.cols[i]
	filler := filler{to: physical(col.Kind), feature: col.Feature}
	fill := func(dst []parquet.Value, rows []uint32) (err error) {
		f.text, err = filler.fill(dst, f.text[:0], rows)
		return err
	}
	for p := range group {
		filler.from = nil
		if at := f.plan.at[(first+p)*len(f.plan.cols)+i]; at >= 0 {
			filler.from = &group[p].block.Columns[at]
		}
		f.stats[i].add(filler.from, group[p].rows, group[p].block.Rows())
		if err := f.writeChunks(f.columns[keyColumns+i], group[p].rows, fill); err != nil {
			return err
		}
	}
	return nil
}

// writeChunks writes the values that fill makes of rows, some rows at a time.
func (f *fileWriter) writeChunks(to *parquet.ColumnWriter, rows []uint32, fill func([]parquet.Value, []uint32) error) error {
	for chunk := range slices.Chunk(rows, chunkValues) {
		values := f.values[:len(chunk)]
		if err := fill(values, chunk); err != nil {
			return err
		}
		if _, err := to.WriteRowValues(values); err != nil {
			return err
		}
	}
	return nil
}

func userIDs(p *pick, dst []parquet.Value, rows []uint32) error {
	for i, row := range rows {
		dst[i] = parquet.ByteArrayValue(p.msg.Samples[p.block.SampleOf[row]].UserID)
	}
	return nil
}

func times(p *pick, dst []parquet.Value, rows []uint32) error {
	for i, row := range rows {
		ms := p.msg.Samples[p.block.SampleOf[row]].EpochMS
		if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
			return fmt.Errorf("pitc_timestamp of %d ms is out of the range of microseconds", ms)
		}
		dst[i] = parquet.Int64Value(ms * 1000)
	}
	return nil
}

func sources(p *pick, dst []parquet.Value, rows []uint32) error {
	name := parquet.ByteArrayValue([]byte(p.msg.Source.String()))
	for i := range rows {
		dst[i] = name
	}
	return nil
}
