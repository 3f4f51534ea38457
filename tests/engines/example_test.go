package engines

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// fewRecords are those of the example's records that are used unless FFF_EXAMPLE is all.
const fewRecords = 150

// The example gives the same dataset, cell by cell, whoever holds its items and however they
// are laid out. Every value of the one with the sandbox is recomputed besides.
func TestTheExampleIsTheSameOnEveryEngine(t *testing.T) {
	for _, layout := range []string{"attributes", "map:payload", "json:document"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			x := newExample(t, layout)
			want := x.run(t, x.backends.At.DynamoDB)
			for _, e := range others {
				t.Run(e.name, func(t *testing.T) {
					url := e.start(t)
					items, err := Copy(t.Context(), Client(x.backends.At.DynamoDB), Client(url), x.file, Records(x.file, x.records))
					if err != nil {
						t.Fatal(err)
					}
					if asked := x.hits(want); items != asked {
						t.Fatalf("%d items were copied, the run reads %d", items, asked)
					}
					before := x.backends.DynamoDB.Stats()
					x.same(t, want, x.run(t, url))
					if after := x.backends.DynamoDB.Stats(); after.BatchGets != before.BatchGets {
						t.Fatalf("the run on %s has asked the sandbox for items", e.name)
					}
				})
			}
		})
	}
}

// example is the job of the example with a layout of its own and as many records as wanted.
type example struct {
	source, records string // paths
	file            *runfile.File
	requested       map[harness.Cell]bool
	cfg             sandbox.Config
	backends        *harness.Backends
}

func newExample(t *testing.T, layout string) *example {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	x, dir := &example{}, t.TempDir()
	if err := settings.Defaults(&x.cfg); err != nil {
		t.Fatal(err)
	}
	x.cfg.SlowMin, x.cfg.SlowMax = 0, 0
	source := read(t, root, "run.yaml")
	source = replace(t, source, "layout: attributes", "layout: "+layout)
	x.backends = harness.StartBackends(t, x.cfg, parse(t, source))
	source = replace(t, source, "http://127.0.0.1:8090/features", x.backends.At.FeatureService)
	x.file = parse(t, source)
	x.source = write(t, dir, "run.yaml", source)
	lines := bytes.SplitAfter(read(t, root, "records.jsonl"), []byte("\n"))
	if os.Getenv("FFF_EXAMPLE") != "all" {
		lines = lines[:fewRecords]
	}
	x.records = write(t, dir, "records.jsonl", bytes.Join(lines, nil))
	x.requested = map[harness.Cell]bool{}
	for r, err := range Records(x.file, x.records) {
		if err != nil {
			t.Fatal(err)
		}
		one := harness.Record{UserID: r.UserID, EpochMS: r.EpochMS, Families: r.Families}
		for c := range harness.Cells([]harness.Record{one}, x.file.FamilyIDs()) {
			x.requested[c] = true
		}
	}
	return x
}

// run runs the example on an engine, proves its dataset and gives its rows.
func (x *example) run(t *testing.T, dynamoDB string) map[harness.Cell]string {
	t.Helper()
	out := t.TempDir()
	env := harness.Env{"AWS_ENDPOINT_URL_DYNAMODB": dynamoDB}
	harness.Run(t, env, "run", "-f", x.source, "--records", x.records, "--out", out).Expect(t, 0)
	dir := filepath.Join(out, x.file.Run)
	harness.Run(t, nil, "verify", dir, "--records", x.records).Expect(t, 0)
	harness.ProveDataset(t, dir, x.file, x.cfg, x.requested)
	cells, err := harness.Rows(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// hits counts the rows that came out of DynamoDB.
func (x *example) hits(rows map[harness.Cell]string) (n int) {
	for _, text := range rows {
		if strings.HasPrefix(text, "dynamodb ") {
			n++
		}
	}
	return n
}

// same compares two datasets.
func (x *example) same(t *testing.T, want, got map[harness.Cell]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d cells, want %d", len(got), len(want))
	}
	shown := 0
	for c, text := range want {
		if got[c] == text {
			continue
		}
		t.Errorf("%+v\nis   %s\nwant %s", c, got[c], text)
		if shown++; shown == 3 {
			return
		}
	}
}

func read(t *testing.T, root, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replace replaces what must be there once.
func replace(t *testing.T, data []byte, old, with string) []byte {
	t.Helper()
	if bytes.Count(data, []byte(old)) != 1 {
		t.Fatalf("the example does not have %q once", old)
	}
	return bytes.Replace(data, []byte(old), []byte(with), 1)
}

func parse(t *testing.T, source []byte) *runfile.File {
	t.Helper()
	f, err := runfile.Parse("run.yaml", source)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
