package main

import (
	"fmt"
	"slices"
	"strings"
)

// figures are what was measured of one try, by column.
type figures map[string]float64

// column is one figure of a table.
type column struct {
	Key, Title, Format string
}

// row is one way to do a job.
type row struct {
	Name    string    `json:"name"`
	Text    string    `json:"text"`
	Tries   []figures `json:"tries"`
	Figures figures   `json:"figures"` // medians of the tries, each by itself
}

// table compares ways to do a job with the first of them.
type table struct {
	Key     string   `json:"key"`
	Title   string   `json:"title"`
	Text    string   `json:"text"` // what is compared, with its latencies
	Columns []column `json:"-"`
	Ratio   string   `json:"ratio"` // the column that rows are compared by
	Rows    []row    `json:"rows"`

	curves []curve
}

// settle takes the medians of all rows.
func (t *table) settle() {
	for i := range t.Rows {
		t.Rows[i].Figures = medians(t.Rows[i].Tries)
	}
}

// medians gives the median of each figure, of those tries that have it.
func medians(tries []figures) figures {
	all := map[string][]float64{}
	for _, f := range tries {
		for k, v := range f {
			all[k] = append(all[k], v)
		}
	}
	m := figures{}
	for k, v := range all {
		m[k] = median(v)
	}
	return m
}

func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// ratio compares a row with the first.
func (t *table) ratio(r *row) (float64, bool) {
	first, ok := t.Rows[0].Figures[t.Ratio]
	mine, mineOK := r.Figures[t.Ratio]
	if !ok || !mineOK || first == 0 {
		return 0, false
	}
	return mine / first, true
}

// markdown gives the table, its text, and what its rows are.
func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n| |", t.Title, t.Text)
	for _, c := range t.Columns {
		b.WriteString(" " + c.Title + " |")
	}
	b.WriteString(" ratio | tries |\n|---|" + strings.Repeat("---|", len(t.Columns)+2) + "\n")
	for i := range t.Rows {
		r := &t.Rows[i]
		b.WriteString("| " + r.Name + " |")
		for _, c := range t.Columns {
			if v, ok := r.Figures[c.Key]; ok {
				fmt.Fprintf(&b, " "+c.Format+" |", v)
			} else {
				b.WriteString(" – |")
			}
		}
		if v, ok := t.ratio(r); ok {
			fmt.Fprintf(&b, " %.3g |", v)
		} else {
			b.WriteString(" – |")
		}
		fmt.Fprintf(&b, " %d |\n", len(r.Tries))
	}
	fmt.Fprintf(&b, "\nThe ratio is that of %q to the first row.\n\n", t.title(t.Ratio))
	for i := range t.Rows {
		fmt.Fprintf(&b, "- *%s*: %s\n", t.Rows[i].Name, t.Rows[i].Text)
	}
	return b.String()
}

func (t *table) title(key string) string {
	for _, c := range t.Columns {
		if c.Key == key {
			return c.Title
		}
	}
	return key
}
