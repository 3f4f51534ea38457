package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// npmFolders are the folders of packages from npm, each made once for a test binary.
var npmFolders struct {
	sync.Mutex
	made map[string]func() (string, error)
}

// NPM installs packages from npm, for the time of the test binary, and gives the folder
// with their node_modules. Where they cannot be had the test is skipped; missing says what
// goes untested then.
func NPM(t testing.TB, missing string, packages ...string) string {
	t.Helper()
	key := strings.Join(packages, " ")
	npmFolders.Lock()
	if npmFolders.made == nil {
		npmFolders.made = map[string]func() (string, error){}
	}
	if npmFolders.made[key] == nil {
		name := fmt.Sprintf("npm-%d", len(npmFolders.made))
		npmFolders.made[key] = sync.OnceValues(func() (string, error) { return installNPM(name, packages) })
	}
	install := npmFolders.made[key]
	npmFolders.Unlock()
	dir, err := install()
	if err != nil {
		Skip(t, "%s: %s cannot be had from npm on %s/%s: %v", missing, key, runtime.GOOS, runtime.GOARCH, err)
	}
	return dir
}

// installNPM runs no scripts of the packages: what they ship is all that is needed.
func installNPM(name string, packages []string) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", err
	}
	dir := filepath.Join(Scratch(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	args := []string{"install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"}
	install := exec.Command("npm", append(args, packages...)...)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", install, err, out)
	}
	return dir, nil
}

// Node runs a script of Node.js to its end.
func Node(t testing.TB, script string, args ...string) Result {
	t.Helper()
	return start(t, "node", "", nil, append([]string{script}, args...)...).Wait(t)
}
