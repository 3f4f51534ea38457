package fff

import (
	"encoding/json"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// columns names the columns of a table; those that hold numbers begin with ">".
type columns []string

// writeTable writes rows with aligned columns and no lines, which grep and awk like.
func writeTable(w io.Writer, names columns, rows [][]string) error {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "   "
	style.Format.Header = text.FormatUpper
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	var head table.Row
	var configs []table.ColumnConfig
	for i, name := range names {
		if name[0] == '>' {
			name = name[1:]
			configs = append(configs, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
		head = append(head, name)
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(head)
	for _, row := range rows {
		t.AppendRow(slices.Collect(anys(row)))
	}
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

func anys(row []string) func(func(any) bool) {
	return func(yield func(any) bool) {
		for _, s := range row {
			if !yield(s) {
				return
			}
		}
	}
}

// writeJSON writes a result for programs; a nil list is written as an empty one.
func writeJSON[T any](w io.Writer, list []T) error {
	if list == nil {
		list = []T{}
	}
	return writeIndented(w, list)
}

func writeIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
