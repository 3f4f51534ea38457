package e2e

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// duckDB is DuckDB's package for Node, whose registry package ships the engine itself.
const duckDB = "@duckdb/node-api@1.5.6-r.1"

//go:embed testdata/duckdb.mjs
var duckScript []byte

// duckDir installs DuckDB for the time of the tests, once.
var duckDir = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(harness.Scratch(), "duckdb")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "duckdb.mjs"), duckScript, 0o644); err != nil {
		return "", err
	}
	install := exec.Command("npm", "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", duckDB)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	return dir, nil
})

// duckReads has DuckDB read every file of a dataset and compares what it counts.
func duckReads(t *testing.T, dir string, requested map[harness.Cell]bool) {
	t.Helper()
	at, err := duckDir()
	if err != nil {
		harness.Skip(t, "DuckDB cannot be had from npm on %s/%s, so NOTHING IS READ WITH IT: %v", runtime.GOOS, runtime.GOARCH, err)
	}
	out, err := exec.Command("node", filepath.Join(at, "duckdb.mjs"), dir).Output()
	if err != nil {
		stderr := ""
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("DuckDB: %v\n%s", err, stderr)
	}
	var got struct {
		Families map[string]struct{ Rows, Keys string }
		Files    map[string]string
		All      struct{ Rows, Families, Keys string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
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
