package e2e

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// duckDB is DuckDB's package for Node, whose registry package ships the engine itself.
const duckDB = "@duckdb/node-api@1.5.6-r.1"

//go:embed testdata/duckdb.mjs
var duckScript []byte

// duckReads has DuckDB read every file of a dataset and compares what it counts.
func duckReads(t *testing.T, dir string, requested map[harness.Cell]bool) {
	t.Helper()
	// A script finds its packages beside it.
	script := filepath.Join(harness.NPM(t, "NOTHING IS READ WITH DUCKDB", duckDB), "duckdb.mjs")
	if err := os.WriteFile(script, duckScript, 0o644); err != nil {
		t.Fatal(err)
	}
	out := harness.Node(t, script, dir).Expect(t, 0).Stdout
	var got struct {
		Families map[string]struct{ Rows, Keys string }
		Files    map[string]string
		All      struct{ Rows, Families, Keys string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	want := map[string]int{}
	for c := range requested {
		want[c.Family]++
	}
	for family, n := range want {
		if f := got.Families[family]; f.Rows != strconv.Itoa(n) || f.Keys != f.Rows {
			t.Errorf("DuckDB counts %s rows of %s with %s keys, want %d", f.Rows, family, f.Keys, n)
		}
	}
	if all := got.All; all.Families != strconv.Itoa(len(want)) || all.Rows != strconv.Itoa(len(requested)) || all.Keys != all.Rows {
		t.Errorf("DuckDB counts %s families, %s rows and %s keys in all files together, want %d and %d", all.Families, all.Rows, all.Keys, len(want), len(requested))
	}
	paths, err := harness.Visible(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != len(paths) {
		t.Errorf("DuckDB reads %d files of %d", len(got.Files), len(paths))
	}
	for path := range got.Files {
		if !strings.HasPrefix(path, dir) {
			t.Errorf("DuckDB reads %s", path)
		}
	}
}
