package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

const recordsPath, runPath = "../records.jsonl", "../run.yaml"

func TestRecordsAreUpToDate(t *testing.T) {
	want, err := records()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) > 500_000 {
		t.Errorf("%d bytes are too many for the repository", len(want))
	}
	got, err := os.ReadFile(recordsPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the generator writes; run go generate ./examples/generate", recordsPath)
	}
}

func TestExampleIsAGoodJob(t *testing.T) {
	source, err := os.ReadFile(runPath)
	if err != nil {
		t.Fatal(err)
	}
	f, err := runfile.Parse(runPath, source)
	if err != nil {
		t.Fatal(err)
	}
	slow, direct := 0, 0
	for _, family := range f.Families {
		if family.Lane == runfile.LaneSlow {
			slow++
		}
		if !family.Cached {
			direct++
		}
	}
	if len(f.Families) != 50 || slow < 3 || direct < 3 {
		t.Errorf("%d families, %d of them slow, %d not cached", len(f.Families), slow, direct)
	}
	records, err := recordsfile.OpenLocal(recordsPath)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	report, err := records.Check(recordsfile.Options{Columns: f.Records, Families: f.FamilyIDs()})
	if err != nil {
		t.Fatal(err)
	}
	if report.Samples != samples || report.Records != samples+samples/80 || report.BadTotal != 0 {
		t.Errorf("report %+v", report)
	}
	if report.Cells < 90_000 || report.Cells >= 100_000 {
		t.Errorf("%d cells", report.Cells)
	}
}
