package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Running a complete job again asks for nothing and changes nothing that readers see.
func TestRunAgainAfterSuccess(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 60)
	b := harness.NewBackends(t, j)
	j.Start(t).Wait(t).Expect(t, 0)
	before, asked := features(t, j), requests(b)
	j.Start(t).Wait(t).Expect(t, 0)
	if after := features(t, j); !slices.Equal(before, after) {
		t.Errorf("the files were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if again := requests(b); again != asked {
		t.Errorf("the backends were asked: %+v before, %+v after", asked, again)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// A family that joins at the front of the list is all that is fetched.
func TestAFamilyJoinsAtTheFront(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 60)
	j.Families = []string{"{id: credit}", "{id: bureau, lane: slow}", "{id: session, cached: false}"}
	b := harness.NewBackends(t, j)
	j.Start(t).Wait(t).Expect(t, 0)
	before := requests(b)
	j.Families = slices.Insert(j.Families, 0, "{id: added}", "{id: computed, lane: slow, cached: false}")
	if err := b.AddRun(j.File(t)); err != nil {
		t.Fatal(err)
	}
	j.Start(t).Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
	after := requests(b)
	cells := int64(len(j.Records))
	if keys := after.keys - before.keys; keys != cells {
		t.Errorf("DynamoDB was asked for %d keys, want %d: those of the added family", keys, cells)
	}
	if families, want := after.families-before.families, cells+(after.missing-before.missing); families != want {
		t.Errorf("the feature service computed %d families, want %d: the computed one and what was missing of the added one", families, want)
	}
}

// What would mix values of two kinds in one dataset is refused.
func TestResumingWithAnotherMeaningIsRefused(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 20)
	j.Families = j.Families[:3]
	j.Start(t, "--sandbox").Wait(t).Expect(t, 0)
	before := features(t, j)
	for what, change := range map[string][2]string{
		"families[0].table":       {"{id: credit}", "{id: credit, table: other}"},
		"dynamodb.table":          {"table: features", "table: other"},
		"dynamodb.sort_key.value": {"{family}#{pitc_timestamp}", "{family}#{pitc_date}"},
		"dynamodb.layout":         {"layout: attributes", "layout: map:payload"},
	} {
		changed := filepath.Join(t.TempDir(), "changed.yaml")
		text := strings.Replace(j.YAML(), change[0], change[1], 1)
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r := harness.Run(t, j.Settings(), "run", "-f", changed, "--records", j.JSONL(t), "--sandbox", "--progress", "none")
		if r.Code != 2 || !strings.Contains(r.Stderr, what) {
			t.Errorf("%s: exit code %d, want 2 and a message that names it\n%s", what, r.Code, r)
		}
	}
	if after := features(t, j); !slices.Equal(before, after) {
		t.Errorf("a refused job has changed the dataset")
	}
	j.Verify(t, 0)
}

// Of two systems on one dataset the second is refused, unless it takes over.
func TestTwoSystemsOnOneDataset(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 60)
	b := harness.NewBackends(t, j)
	gate := harness.NewGate(b)
	first := j.Start(t, "--store", t.TempDir(), "--progress", "none")
	gate.AwaitOne(t)
	second := j.Start(t, "--store", t.TempDir(), "--progress", "none").Wait(t)
	if second.Code != 1 || !strings.Contains(second.Stderr, "--take-over") {
		t.Fatalf("the second system ends with %d, want 1 and a word of --take-over\n%s", second.Code, second)
	}
	before := ownerOf(t, j)
	third := j.Start(t, "--store", t.TempDir(), "--progress", "none", "--take-over")
	harness.Await(t, "the dataset has another owner", func() bool { return ownerOf(t, j) != before })
	gate.Open()
	third.Wait(t).Expect(t, 0)
	if r := first.Wait(t); r.Code != 1 || !strings.Contains(r.String(), "taken the dataset over") {
		t.Errorf("the first system ends with %d, want 1 and the reason\n%s", r.Code, r)
	}
	j.Verify(t, 0)
	j.Prove(t, nil)
	if _, err := os.Stat(filepath.Join(j.Dataset(), "_owner")); !os.IsNotExist(err) {
		t.Errorf("_owner is left: %v", err)
	}
}

// An interrupted job is torn down; what it has committed stays, and it goes on later.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 60)
	b := harness.NewBackends(t, j)
	gate := harness.NewGate(b)
	p := j.Start(t, "--progress", "none")
	gate.AwaitOne(t)
	p.Interrupt()
	p.Wait(t).Expect(t, 130)
	for _, name := range []string{"_owner", "_SUCCESS"} {
		if _, err := os.Stat(filepath.Join(j.Dataset(), name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	new(harness.Witness).Look(t, j)
	gate.Open()
	j.Start(t).Wait(t).Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
}

// ownerOf gives the broker of the system that a dataset belongs to.
func ownerOf(t *testing.T, j *harness.Job) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(j.Dataset(), dataset.OwnerName))
	if err != nil {
		t.Fatal(err)
	}
	o, err := dataset.DecodeOwner(data)
	if err != nil {
		t.Fatal(err)
	}
	return o.Broker
}

// features lists the files of a dataset with their sizes and times.
func features(t *testing.T, j *harness.Job) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(j.Dataset(), "features"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime().Format(time.RFC3339Nano)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// asked is what the backends were asked for so far.
type asked struct{ keys, missing, families int64 }

func requests(b *harness.Backends) asked {
	db, fs := b.DynamoDB.Stats(), b.FeatureService.Stats()
	return asked{keys: db.Keys, missing: db.Missing, families: fs.Families}
}
