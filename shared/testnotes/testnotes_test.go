package testnotes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/testnotes"
)

// What a test says stays when its output is dropped.
func TestNotesAreAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	t.Setenv(testnotes.File, path)
	t.Setenv("FFF_TEST_SEED", "")
	var seed uint64
	t.Run("drawn", func(t *testing.T) { seed = testnotes.Seed(t) })
	t.Run("skipped", func(t *testing.T) {
		testnotes.Skip(t, "this is the test of skipping, and no engine is missing: %d", 1)
		t.Error("it goes on")
	})
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%[1]s/drawn: FFF_TEST_SEED=%[2]d\n*** SKIPPED %[1]s/skipped: this is the test of skipping, and no engine is missing: 1\n", t.Name(), seed)
	if string(got) != want {
		t.Errorf("the notes are\n%s\nwant\n%s", got, want)
	}
}

// A seed that is given is the one that is used.
func TestAGivenSeed(t *testing.T) {
	t.Setenv(testnotes.File, "")
	t.Setenv("FFF_TEST_SEED", "7")
	if seed := testnotes.Seed(t); seed != 7 {
		t.Errorf("seed %d", seed)
	}
}
