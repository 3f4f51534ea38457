package main

import (
	"strings"
	"testing"
)

func TestMediansTakeEachFigureByItself(t *testing.T) {
	m := medians([]figures{{"a": 3, "b": 1}, {"a": 1, "b": 2}, {"a": 2}})
	if m["a"] != 2 || m["b"] != 1.5 {
		t.Errorf("medians %v", m)
	}
}

func TestTableComparesWithItsFirstRow(t *testing.T) {
	one := table{
		Title: "Ways", Text: "Two of them.", Ratio: "speed",
		Columns: []column{{"speed", "rows/s", "%.0f"}, {"memory", "MiB", "%.1f"}},
		Rows: []row{
			{Name: "old", Text: "slow", Tries: []figures{{"speed": 4}, {"speed": 2}, {"speed": 3}}},
			{Name: "new", Text: "fast", Tries: []figures{{"speed": 30, "memory": 7.25}}},
		},
	}
	one.settle()
	text := one.markdown()
	for _, want := range []string{
		"| | rows/s | MiB | ratio | tries |\n|---|---|---|---|---|\n",
		"| old | 3 | – | 1 | 3 |\n", "| new | 30 | 7.2 | 10 | 1 |\n", `that of "rows/s"`, "- *new*: fast\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
