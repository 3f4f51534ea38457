package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// The example is run as the README says, and every value of it is recomputed.
func TestTheExampleHoldsWhatItMust(t *testing.T) {
	t.Parallel()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, records := filepath.Join(root, "examples", "run.yaml"), filepath.Join(root, "examples", "records.jsonl")
	out := t.TempDir()
	harness.Run(t, nil, "run", "-f", file, "--records", records, "--sandbox", "--out", out).Expect(t, 0)
	dir := filepath.Join(out, "demo")
	harness.Run(t, nil, "verify", dir, "--records", records).Expect(t, 0)
	if _, err := os.Stat(filepath.Join(out, ".fff")); !os.IsNotExist(err) {
		t.Errorf("the broker's store is there after a success: %v", err)
	}

	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run, err := runfile.Parse(file, source)
	if err != nil {
		t.Fatal(err)
	}
	var cfg sandbox.Config
	if err := settings.Defaults(&cfg); err != nil {
		t.Fatal(err)
	}
	requested := harness.Cells(readJSONL(t, records), run.FamilyIDs())
	harness.ProveDataset(t, dir, run, cfg, requested)
	t.Run("DuckDB", func(t *testing.T) { duckReads(t, dir, requested) })
}

// Every layout of an item carries every kind of value.
func TestEveryLayoutHoldsWhatItMust(t *testing.T) {
	for _, layout := range []string{"attributes", "map:payload", "json:document"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			j := harness.NewJob(t, 150)
			j.Layout = layout
			j.Sandbox.FeaturesPerFamily = 30
			j.Start(t, "--sandbox").Wait(t).Expect(t, 0)
			j.Verify(t, 0)
			j.Prove(t, nil)
			t.Run("DuckDB", func(t *testing.T) { duckReads(t, j.Dataset(), harness.Cells(j.Records, j.File(t).FamilyIDs())) })
		})
	}
}

// What no number can say is a value all the same, and no null.
func TestNaNAndInfinitiesStayValues(t *testing.T) {
	t.Parallel()
	j := harness.NewJob(t, 10)
	j.Families = []string{"{id: odd, cached: false}"}
	b := harness.NewBackends(t, j)
	b.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		return featureservice.Fault{NaN: []string{"odd"}}
	}})
	j.Start(t).Wait(t).Expect(t, 0)
	rows := 0
	for f, err := range harness.ReadDataset(t.Context(), j.Dataset()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, batch := range f.Batches {
			rows += int(batch.NumRows())
			for name, is := range map[string]func(float64) bool{
				"not_a_number":      math.IsNaN,
				"infinite":          func(v float64) bool { return math.IsInf(v, 1) },
				"negative_infinite": func(v float64) bool { return math.IsInf(v, -1) },
			} {
				at := f.Schema.FieldIndices(name)
				if len(at) != 1 {
					t.Fatalf("columns %s: %v", name, at)
				}
				column, double := batch.Column(at[0]).(*array.Float64)
				if !double || column.NullN() > 0 || slices.ContainsFunc(column.Float64Values(), func(v float64) bool { return !is(v) }) {
					t.Errorf("%s is %s", name, batch.Column(at[0]))
				}
			}
		}
	}
	if rows != len(j.Records) {
		t.Errorf("%d rows, want %d", rows, len(j.Records))
	}
}

// readJSONL reads a records file by itself, not as the system does.
func readJSONL(t *testing.T, path string) []harness.Record {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []harness.Record
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		var r struct {
			UserID        json.RawMessage `json:"user_id"`
			PITCTimestamp json.RawMessage `json:"pitc_timestamp"`
			Families      []string        `json:"feature_families"`
		}
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		epochMS, err := epochMS(r.PITCTimestamp)
		if err != nil {
			t.Fatalf("%s: %v", s.Bytes(), err)
		}
		all = append(all, harness.Record{UserID: text(r.UserID), EpochMS: epochMS, Families: r.Families})
	}
	return all
}

// text gives a string as it is and a number as its digits.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

func epochMS(value json.RawMessage) (int64, error) {
	var ms int64
	if json.Unmarshal(value, &ms) == nil {
		return ms, nil
	}
	at, err := time.Parse(time.RFC3339, text(value))
	if err != nil {
		return 0, fmt.Errorf("pitc_timestamp: %w", err)
	}
	return at.UnixMilli(), nil
}
