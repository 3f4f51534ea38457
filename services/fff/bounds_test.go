package fff

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

func memoryOf[C interface{ MemoryBound() service.Memory }](t *testing.T) service.Memory {
	t.Helper()
	var c C
	if err := settings.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	return c.MemoryBound()
}

// TestDocumentsOfMemory keeps the table of the services' memory as the code has it, with
// the default settings and two processors.
func TestDocumentsOfMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var b strings.Builder
	b.WriteString("| service | room for | setting | default | at the most |\n|---|---|---|---|---|\n")
	for _, s := range []struct {
		name string
		m    service.Memory
	}{
		{"ingest", memoryOf[ingest.Config](t)},
		{"dynamo-fetcher", memoryOf[dynamofetcher.Config](t)},
		{"fs-fast", memoryOf[fsfast.Config](t)},
		{"fs-slow", memoryOf[fsslow.Config](t)},
		{"writer", memoryOf[writer.Config](t)},
		{"orchestrator", memoryOf[orchestrator.Config](t)},
	} {
		total := "**" + humanize.IBytes(uint64(s.m.Bytes)) + "**"
		if s.m.PerSample > 0 {
			total += fmt.Sprintf(" and %d bytes a sample", s.m.PerSample)
		}
		fmt.Fprintf(&b, "| %s | | | | %s |\n", s.name, total)
		for _, r := range s.m.Rooms {
			setting := ""
			if r.Setting != "" {
				setting = "`" + r.Setting + "`"
			}
			fmt.Fprintf(&b, "| | %s | %s | %s | |\n", r.For, setting, humanize.IBytes(uint64(r.Bytes)))
		}
	}
	const begin, end = "<!-- memory: written by `make docs` -->\n", "<!-- end -->"
	page := document(t, "docs/bounds.md")
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/bounds.md has lost the place of the table of memory")
	}
	generated(t, "docs/bounds.md", head+begin+b.String()+end+tail)
}
