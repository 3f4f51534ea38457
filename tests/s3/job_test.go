package s3

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// A dataset in S3 is the one that the same job leaves on disk: the same cells with the same
// values, and in the bucket what the manifest says and nothing else.
func TestDatasetEqualsTheLocalOne(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 300)
	j.Start(t, "--sandbox").Wait(t).Expect(t, 0)
	local, err := harness.Rows(t.Context(), j.Dataset())
	if err != nil {
		t.Fatal(err)
	}

	server := harness.StartS3(t)
	j.S3, j.Out = server, t.TempDir()
	j.Start(t, "--sandbox").Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
	remote, err := harness.Rows(t.Context(), j.Dataset())
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(local, remote) {
		t.Errorf("%d cells on disk and %d in S3, and they are not the same", len(local), len(remote))
	}
	holdsManifestOnly(t, j)
	if left, err := os.ReadDir(filepath.Join(j.Out, j.Run)); err == nil {
		t.Errorf("%d names in the output directory, though no local copy was asked for", len(left))
	}

	// Run again it has nothing to fetch, and is copied.
	j.Copied = true
	j.Start(t, "--sandbox").Wait(t).Expect(t, 0)
	j.S3 = nil
	j.Verify(t, 0)
	copied, err := harness.Rows(t.Context(), j.Dataset())
	if err != nil || !maps.Equal(local, copied) {
		t.Errorf("the local copy has %d cells (%v), and they are not those of the dataset", len(copied), err)
	}
}

// holdsManifestOnly checks that the bucket has the files of the manifest with their checksums,
// those beside it, and no upload, marker or record any more.
func holdsManifestOnly(t *testing.T, j *harness.Job) {
	t.Helper()
	m, err := dataset.ReadManifest(j.Dataset())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{dataset.ManifestName, dataset.FailuresName, dataset.SchemaName, dataset.SuccessName}
	for _, f := range m.Files {
		path := dataset.VisiblePath(f.Family, f.Name)
		want = append(want, path)
		data, err := os.Open(filepath.Join(j.Dataset(), filepath.FromSlash(path)))
		if err != nil {
			t.Error(err)
			continue
		}
		sum, bytes, err := dataset.Checksum(t.Context(), data)
		data.Close()
		if err != nil || sum != f.Checksum || bytes != f.Bytes {
			t.Errorf("%s has checksum %s and %d bytes (%v); the manifest says %s and %d", path, sum, bytes, err, f.Checksum, f.Bytes)
		}
	}
	keys, err := j.S3.Keys(t.Context(), j.S3.Prefix(j))
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(keys, func(key string, _ int64) bool { return strings.HasPrefix(key, dataset.CommitsDir+"/") })
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, want) {
		t.Errorf("the bucket has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	uploads, err := j.S3.Uploads(t.Context(), j.S3.Prefix(j))
	if err != nil || len(uploads) > 0 {
		t.Errorf("uploads that nobody has completed or aborted: %v, %v", uploads, err)
	}
}
