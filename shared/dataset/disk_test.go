package dataset_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/dataset/storetest"
)

func TestDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dataset.Store { return openDisk(t, t.TempDir()) })
}

func TestDiskInDirectoryWithOddName(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dataset.Store {
		return openDisk(t, filepath.Join(t.TempDir(), "a [b]*", "run"))
	})
}

func openDisk(t *testing.T, dir string) *dataset.Disk {
	t.Helper()
	d, err := dataset.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenDiskWhereAFileIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.OpenDisk(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}

// An end of an epoch that was interrupted is finished by the next one, and staging stays
// closed meanwhile.
func TestInterruptedEndOfEpoch(t *testing.T) {
	d := openDisk(t, t.TempDir())
	if err := d.BeginEpoch(t.Context(), 1, "tok"); err != nil {
		t.Fatal(err)
	}
	staging := filepath.Join(d.Dir(), "_staging")
	ended := filepath.Join(staging, ".ended-1-tok")
	if err := os.Rename(filepath.Join(staging, "1-tok"), ended); err != nil { // as EndEpoch begins
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ended, "rest"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	write := func(io.Writer) error { return nil }
	if _, err := d.Stage(t.Context(), 1, "tok", "p", "credit", "part-1-p.parquet", write); err == nil {
		t.Error("staged in an epoch that is ending")
	}
	if names, err := d.ListStaging(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("staging %v, %v; want none", names, err)
	}
	if err := d.BeginEpoch(t.Context(), 2, "tok"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(staging)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "2-tok" {
		t.Errorf("left in _staging: %v", entries)
	}
}

// Whatever lies under features/ is listed, so that the sweep sees it.
func TestListVisibleShowsStrangers(t *testing.T) {
	d := openDisk(t, t.TempDir())
	for _, path := range []string{
		"features/stray.parquet", "features/family=a/notes.txt", "features/family=%2f/part-1-p.parquet",
		"features/family=a%2Fb/part-1-p.parquet", "features/family=a/deep/part-1-p.parquet",
	} {
		full := filepath.Join(d.Dir(), filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := d.ListVisible(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]string{}
	for _, f := range files {
		families[f.Path] = f.Family
	}
	if len(files) != 5 || families["features/family=a%2Fb/part-1-p.parquet"] != "a/b" {
		t.Errorf("listed %v", families)
	}
	delete(families, "features/family=a%2Fb/part-1-p.parquet")
	for path, family := range families {
		if family != "" {
			t.Errorf("%s passes for a file of family %q", path, family)
		}
	}
}

// Files are written beside their place and renamed, so nothing half-written has their
// names, and nothing is left over.
func TestNothingIsLeftBeside(t *testing.T) {
	d := openDisk(t, t.TempDir())
	if err := d.Put(t.Context(), dataset.ManifestName, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), dataset.OwnerName, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), dataset.OwnerName, []byte("y")); err == nil {
		t.Fatal("created twice")
	}
	w, err := d.PutWriter(t.Context(), dataset.FailuresName)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(d.Dir(), func(path string, e fs.DirEntry, err error) error {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left over: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
