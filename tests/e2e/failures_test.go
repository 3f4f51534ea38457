package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// failures reads the failures of a dataset with fff.
func failures(t *testing.T, dir string) []dataset.Failure {
	t.Helper()
	r := harness.Run(t, nil, "failed", "list", "--dir", dir, "--limit", "0", "--output", "json").Expect(t, 0)
	var all []dataset.Failure
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return all
}

// failuresOf gives the codes of a dataset's failures, sorted.
func failuresOf(t *testing.T, dir string) []string {
	t.Helper()
	var codes []string
	for _, f := range failures(t, dir) {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	return codes
}
