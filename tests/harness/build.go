// Package harness starts the real programs on jobs of its own making, ends them in every
// way there is, and judges what they leave behind with a Parquet reader that is not theirs.
package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/testnotes"
)

// programs is where Main builds the programs, for the time of one test binary.
var programs string

// raced tells that the system's programs are built with the race detector.
var raced bool

// Main builds fff, runs the tests of a package and gives their exit code.
func Main(m *testing.M) int {
	code, err := main(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 1
	}
	return code
}

// MainWithRace is Main, and builds the system's programs with the race detector if the tests
// have it. They take some five times as much of a processor then.
func MainWithRace(m *testing.M) int {
	raced = raceEnabled
	return Main(m)
}

func main(m *testing.M) (code int, err error) {
	if programs, err = os.MkdirTemp("", "fff-tests-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	if err := build(raced, "./services/fff/cmd/fff"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build builds programs. It does so without the workspace, so that what is tested is what
// `go build` of the system's own module gives, whatever versions the tests need.
func build(raced bool, packages ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	args := []string{"build", "-o", programs + "/"}
	if raced {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, packages...)...)
	build.Dir, build.Env = root, append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return nil
}

// reportOfRace begins what the race detector writes to stderr.
const reportOfRace = "WARNING: DATA RACE"

// expectNoRace fails the test if a program has written that it has found a data race. The
// program itself goes on, and ends with exit code 66.
func expectNoRace(t testing.TB, program, text string) {
	t.Helper()
	if at := strings.Index(text, reportOfRace); at >= 0 {
		t.Errorf("%s has a data race:\n%s", program, text[at:min(len(text), at+8<<10)])
	}
}

// Build builds a program of the tests' own module and gives its path. dir is its package, as
// seen from the module.
func Build(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/fastfeaturefetch/fff/tests").Output()
	if err != nil {
		t.Fatalf("where the tests' module is: %v", err)
	}
	path := filepath.Join(programs, filepath.Base(dir))
	build := exec.Command("go", "build", "-o", path, dir)
	build.Dir = strings.TrimSpace(string(out))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	return path
}

// Scratch gives a directory that lasts as long as the test binary, for what several tests
// share.
func Scratch() string { return programs }

// Root gives the directory of the system's own module.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/fastfeaturefetch/fff").Output()
	if err != nil {
		return "", fmt.Errorf("where the system's module is: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// natsCLI is the module of the official command line of NATS, built at this version. It is
// no requirement of the tests' module, whose list it would make four times as long.
const natsCLI = "github.com/nats-io/natscli/nats@v0.5.1"

var buildNATS = sync.OnceValues(func() (string, error) {
	install := exec.Command("go", "install", natsCLI)
	install.Dir = programs
	install.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOBIN="+programs)
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	return filepath.Join(programs, "nats"), nil
})

// NATS gives the path of the official command line of NATS. Where it cannot be had the
// test is skipped.
func NATS(t testing.TB) string {
	t.Helper()
	path, err := buildNATS()
	if err != nil {
		Skip(t, "the nats command line cannot be built, so NO PLAIN NATS CLIENT IS TESTED: %v", err)
	}
	return path
}

// Skip skips a test and says so where nobody can miss it.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	testnotes.Skip(t, format, args...)
}

// Seed gives the seed of a random test and tells it, so that what it did can be done again
// with FFF_TEST_SEED.
func Seed(t testing.TB) uint64 {
	t.Helper()
	return testnotes.Seed(t)
}
