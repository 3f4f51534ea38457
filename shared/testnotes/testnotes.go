// Package testnotes says what nobody who runs the tests may miss: that a test was skipped,
// and which seed repeats what a test did. The output of a package that passes is dropped by
// `go test`, so `make test` names a file for the notes and shows it at the end.
package testnotes

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// File is the variable that names the file which notes are appended to; without it they go
// to stderr alone. Whatever reads it is not taken from Go's cache when the file is another
// one: a test that draws a seed runs each time.
const File = "FFF_TEST_NOTES"

// Skip skips a test.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	add(t, fmt.Sprintf("*** SKIPPED %s: %s", t.Name(), why))
	t.Skip(why)
}

// Seed gives the seed of a random test: FFF_TEST_SEED, or another each time.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FFF_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FFF_TEST_SEED: %v", err)
		}
	}
	add(t, fmt.Sprintf("%s: FFF_TEST_SEED=%d", t.Name(), seed))
	return seed
}

// add writes a line.
func add(t testing.TB, line string) {
	t.Helper()
	fmt.Fprintln(os.Stderr, line)
	path := os.Getenv(File)
	if path == "" {
		return
	}
	// Many test binaries append at a time; a line is one write.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Errorf("%s: %v", File, err)
	}
}
