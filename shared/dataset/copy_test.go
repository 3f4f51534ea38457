package dataset

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// finishedDisk makes a finished dataset of two files.
func finishedDisk(t *testing.T) *Disk {
	t.Helper()
	d := openTestDisk(t)
	ctx := t.Context()
	m := &Manifest{Run: "demo", State: "completed", Families: []ManifestFamily{{Family: "sms/é"}}}
	check(t, d.BeginEpoch(ctx, 1, "tok"))
	for _, name := range []string{"part-1-a.parquet", "part-1-b.parquet"} {
		staged, err := d.Stage(ctx, 1, "tok", "w", "sms/é", name, func(w io.Writer) error {
			_, err := io.WriteString(w, "content of "+name)
			return err
		})
		check(t, err)
		check(t, d.Reveal(ctx, 1, "tok", "w", "sms/é", name, staged))
		m.Files = append(m.Files, ManifestFile{Family: "sms/é", Name: name, Rows: 1, Bytes: staged.Bytes, Checksum: staged.Checksum})
	}
	data, err := EncodeManifest(m)
	check(t, err)
	check(t, d.Put(ctx, ManifestName, data))
	check(t, d.Put(ctx, SuccessName, []byte("1\n")))
	return d
}

func openTestDisk(t *testing.T) *Disk {
	t.Helper()
	d, err := OpenDisk(t.TempDir())
	check(t, err)
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal tells whether two datasets have the same visible files and the same success.
func equal(t *testing.T, a, b *Disk) {
	t.Helper()
	for _, pattern := range []string{"features/*/*", "_*.json", SuccessName} {
		want, err := filepath.Glob(filepath.Join(a.Dir(), pattern))
		check(t, err)
		got, err := filepath.Glob(filepath.Join(b.Dir(), pattern))
		check(t, err)
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", pattern, got, want)
		}
		for i := range want {
			x, err := os.ReadFile(want[i])
			check(t, err)
			y, err := os.ReadFile(got[i])
			check(t, err)
			if string(x) != string(y) {
				t.Errorf("%s differs from %s", got[i], want[i])
			}
		}
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	from, to := finishedDisk(t), openTestDisk(t)
	for range 2 { // it may be repeated
		check(t, Copy(t.Context(), from, to))
		equal(t, from, to)
	}
	// What is damaged or does not belong is put right, and what an interrupted copy has left.
	check(t, os.WriteFile(filepath.Join(to.Dir(), VisiblePath("sms/é", "part-1-a.parquet")), []byte("CONTENT of part-1-a.parquet"), 0o644))
	check(t, os.WriteFile(filepath.Join(to.Dir(), VisiblePath("sms/é", "part-1-old.parquet")), []byte("old"), 0o644))
	check(t, to.BeginEpoch(t.Context(), copyEpoch, "demo"))
	_, err := to.Stage(t.Context(), copyEpoch, "demo", "copy", "sms/é", "part-1-a.parquet", func(io.Writer) error { return nil })
	check(t, err)
	check(t, Copy(t.Context(), from, to))
	equal(t, from, to)
}

func TestCopyOfADamagedDataset(t *testing.T) {
	t.Parallel()
	from, to := finishedDisk(t), openTestDisk(t)
	check(t, os.WriteFile(filepath.Join(from.Dir(), VisiblePath("sms/é", "part-1-b.parquet")), []byte("CONTENT of part-1-b.parquet"), 0o644))
	if err := Copy(t.Context(), from, to); err == nil {
		t.Error("a file that is not as the manifest says was copied")
	}
	if _, err := to.StatVisible(t.Context(), "sms/é", "part-1-b.parquet"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged file is visible: %v", err)
	}
	if _, err := to.Get(t.Context(), SuccessName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("_SUCCESS is there: %v", err)
	}
	check(t, from.Remove(t.Context(), ManifestName))
	if err := Copy(t.Context(), from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dataset that is not finished: %v", err)
	}
}
