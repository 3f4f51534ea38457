// Package deploy checks what is in docker-compose.yml and below deploy/ against what the
// programs say of themselves, and NATS configurations on real servers.
package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/writer"
	shared "github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// service is what is known of a service without asking its deployment.
type service struct {
	name    string
	dataset bool // it reads and writes output.dir
	config  interface{ MemoryBound() shared.Memory }
}

var services = []service{
	{name: "orchestrator", dataset: true, config: &orchestrator.Config{}},
	{name: "ingest", config: &ingest.Config{}},
	{name: "dynamo-fetcher", config: &dynamofetcher.Config{}},
	{name: "fs-fast", config: &fsfast.Config{}},
	{name: "fs-slow", config: &fsslow.Config{}},
	{name: "writer", dataset: true, config: &writer.Config{}},
}

// TestServicesAreAllHere keeps the list above complete: a service is a folder with a
// program, and what is neither a stand-in nor the command line is to be deployed.
func TestServicesAreAllHere(t *testing.T) {
	programs, err := filepath.Glob(filepath.Join(root(t), "services", "*", "cmd", "*"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"fff", "fff-sandbox"}
	for _, s := range services {
		want = append(want, "fff-"+s.name)
	}
	var got []string
	for _, p := range programs {
		got = append(got, filepath.Base(p))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("programs %v, deployed are %v", got, want)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkEnvironment has fff judge the variables that a service is given.
func checkEnvironment(t *testing.T, s service, env map[string]string) {
	t.Helper()
	said := harness.Run(t, env, "config").Expect(t, 0)
	if said.Stderr != "" {
		t.Errorf("%s: %s", s.name, said.Stderr)
	}
	if _, set := env["FFF_NATS_URL"]; !set && s.config != nil {
		t.Errorf("%s is not told where the broker is", s.name)
	}
}

// checkGrace compares how long a service takes to stop with how long it is left.
func checkGrace(t *testing.T, grace, until string) {
	t.Helper()
	g, err := time.ParseDuration(grace)
	if err != nil {
		t.Fatalf("FFF_SHUTDOWN_GRACE: %v", err)
	}
	u, err := time.ParseDuration(until)
	if err != nil {
		t.Fatal(err)
	}
	if u < g+5*time.Second {
		t.Errorf("it is killed after %s, and has work to give back after %s", u, g)
	}
}

// samples is how many the memory of what grows with them is laid out for.
const samples = 2_000_000

// checkMemory compares a container's memory with what its service says that it takes.
func checkMemory(t *testing.T, s service, bytes int64, limit string) {
	t.Helper()
	if err := settings.Defaults(s.config); err != nil {
		t.Fatal(err)
	}
	m := s.config.MemoryBound()
	if need := m.Bytes + samples*m.PerSample; bytes < need+need/10 {
		t.Errorf("%s may have %s, and takes %s", s.name, humanize.IBytes(uint64(bytes)), humanize.IBytes(uint64(need)))
	}
	if m.PerSample == 0 {
		if limit != "" {
			t.Errorf("%s keeps to its own bound, which GOMEMLIMIT=%s switches off", s.name, limit)
		}
		return
	}
	checkLimit(t, s.name, bytes, limit)
}

// checkLimit expects a GOMEMLIMIT of nine tenths of the memory.
func checkLimit(t *testing.T, name string, bytes int64, limit string) {
	t.Helper()
	l, err := humanize.ParseBytes(limit)
	if err != nil {
		t.Errorf("%s: GOMEMLIMIT: %v", name, err)
		return
	}
	if share := float64(l) / float64(bytes); share < 0.85 || share > 0.95 {
		t.Errorf("%s: GOMEMLIMIT=%s is %.0f %% of %s", name, limit, 100*share, humanize.IBytes(uint64(bytes)))
	}
}
