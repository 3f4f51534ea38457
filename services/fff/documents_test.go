package fff

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/plan"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

var update = flag.Bool("update", false, "write the generated parts of the documents anew")

// document reads a file of the repository by its path from the root.
func document(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// generated compares a document with what the code says, or writes it.
func generated(t *testing.T, path, want string) {
	t.Helper()
	file := filepath.Join("../..", filepath.FromSlash(path))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not what the code says (%v); run `make docs`", path, err)
	}
}

const settingsIntro = `# Settings

Process settings come from the environment; what a run fetches and where to is in its run file. This page is written by ` + "`make docs`" + `; ` + "`fff config`" + ` prints the same with the values that are set. Sizes are written as 65536, 64KiB or 4GB, durations as 30s or 5m. AWS is configured by the SDK's own variables, such as AWS_REGION and AWS_ENDPOINT_URL_DYNAMODB.
`

func TestDocumentsOfSettings(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(settingsIntro)
	if err := settings.WriteMarkdown(&b, Settings()...); err != nil {
		t.Fatal(err)
	}
	generated(t, "docs/settings.md", b.String())
}

func TestDocumentsOfStreams(t *testing.T) {
	var b strings.Builder
	b.WriteString("| stream | subjects | retention | at most | what it is for |\n|---|---|---|---|---|\n")
	for _, s := range streams.Configs() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", s.Name, strings.Join(s.Subjects, "` `"),
			strings.ToLower(s.Retention.String()), humanize.IBytes(uint64(s.MaxBytes)), s.Description)
	}
	const begin, end = "<!-- streams: written by `make docs` -->\n", "<!-- end -->"
	readme := document(t, "README.md")
	head, rest, ok := strings.Cut(readme, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has lost the place of the table of streams")
	}
	generated(t, "README.md", head+begin+b.String()+end+tail)
}

func TestEveryFailureIsDocumented(t *testing.T) {
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(document(t, "docs/failures.md"), -1) {
		listed = append(listed, m[1])
	}
	var codes []string
	for _, c := range failure.Codes() {
		codes = append(codes, string(c))
	}
	if got, want := strings.Join(listed, " "), strings.Join(codes, " "); got != want {
		t.Errorf("docs/failures.md lists\n%s\nthe code has\n%s", got, want)
	}
}

func TestBoundsAreThoseOfTheCode(t *testing.T) {
	page := document(t, "docs/bounds.md")
	size := func(n int) string { return humanize.IBytes(uint64(n)) }
	for row, value := range map[string]string{
		"run file": size(runfile.MaxBytes) + ", " + humanize.Comma(runfile.MaxFamilies) + " families",
		"user id":  size(work.MaxUserIDBytes), "attributes of a record": size(work.MaxAttributesBytes),
		"batch that `fff` publishes":               fmt.Sprintf("%d records, %s", fetch.MaxBatchRecords, size(work.MaxPublishBytes)),
		"payload of any message":                   size(work.MaxPublishBytes),
		"largest message of the server":            size(broker.MaxPayload),
		"samples of a block to the dynamo-fetcher": fmt.Sprint(work.MaxSamplesPerBlock),
		"requests of a message to a lane":          fmt.Sprint(work.MaxRequestsPerLane),
		"message of requests":                      size(work.MaxMessageBytes),
		"message of packed cells":                  "closed at " + size(work.TargetPackedBytes),
		"cell":                                     size(work.MaxCellBytes),
		"keys of a BatchGetItem call":              fmt.Sprint(plan.MaxKeysPerCall),
		"answer of the feature service":            size(featureservice.MaxAnswerBytes),
		"attempts of a cell":                       fmt.Sprintf("`max_attempts`, %d", runfile.DefaultMaxAttempts),
	} {
		value = strings.ReplaceAll(value, ".0 ", " ") // 2.0 MiB
		if want := "| " + row + " | " + value + " |"; !strings.Contains(page, want) {
			t.Errorf("docs/bounds.md has no row %s", want)
		}
	}
}

func TestExamplesOfTheDocumentsWork(t *testing.T) {
	page := document(t, "docs/users.md")
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```(yaml|json)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	if len(blocks["yaml"]) != 3 || len(blocks["json"]) != 3 {
		t.Fatalf("docs/users.md has %d YAML and %d JSON examples", len(blocks["yaml"]), len(blocks["json"]))
	}
	file, err := runfile.Parse("docs/users.md", []byte(blocks["yaml"][0]))
	if err != nil {
		t.Fatal(err)
	}
	const smallest = "run: demo\nfamilies: [{id: a}]\nfeature_service: {url: 'http://127.0.0.1:8090/features'}\ndynamodb: {table: features, partition_key: {name: k, value: '{user_id}'}}\n"
	for _, part := range blocks["yaml"][1:] {
		if _, err := runfile.Parse("docs/users.md", []byte(smallest+part)); err != nil {
			t.Errorf("%v in\n%s", err, part)
		}
	}
	good, bad, _, err := record.ParseBatch([]byte(blocks["json"][0]), "", record.NewValidator(file.FamilyIDs()))
	if err != nil || len(bad) > 0 || len(good) != 1 {
		t.Errorf("the batch of docs/users.md: %d good, %v, %v", len(good), bad, err)
	}
}

func TestLinksOfTheDocumentsLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/users.md", "docs/operators.md", "docs/failures.md", "docs/bounds.md"} {
		for _, m := range link.FindAllStringSubmatch(document(t, page), -1) {
			target := filepath.Join("../..", filepath.Dir(page), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	// Paths named without a link, as in the table of ARCHITECTURE.md.
	for _, m := range regexp.MustCompile("`((?:services|shared|streams|tests)/[a-z0-9/-]*)`").FindAllStringSubmatch(document(t, "ARCHITECTURE.md"), -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which is not there", m[1])
		}
	}
}

// TestDocumentsOfTheServicesExample keeps the job of the compose file the same as that of
// the demo, but for where its feature service is.
func TestDocumentsOfTheServicesExample(t *testing.T) {
	const here, there = "http://127.0.0.1:8090/features", "http://sandbox:8090/features"
	demo := document(t, "examples/run.yaml")
	_, job, found := strings.Cut(demo, "\nrun: demo")
	if !found || strings.Count(job, here) != 1 {
		t.Fatalf("examples/run.yaml has no run demo, or not the feature service %s", here)
	}
	generated(t, "examples/services.yaml", "# The job of run.yaml for the services of docker-compose.yml, whose feature service is\n"+
		"# the sandbox's. This file is written by `make docs`; change run.yaml.\n\n"+
		"run: demo"+strings.Replace(job, here, there, 1))
}
