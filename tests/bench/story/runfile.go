package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// What all jobs have in common.
const (
	families = 50
	features = 60 // of a family
	slow     = 10 // of the families: each fifth
)

var pitcTimestamp = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)

func userID(n int) string { return fmt.Sprintf("user-%07d", n) }

func familyID(n int) string { return fmt.Sprintf("family_%02d", n) }

func isSlow(n int) bool { return n%(families/slow) == 0 }

// runFile is what differs between the jobs.
type runFile struct {
	lane   func(family int) string // nil = all fast but the slow ones
	cached bool
	url    string // of the feature service; "" = none
	fast   string // limits
	slow   string
	s3     string // bucket; "" = to disk
}

func twoLanes(family int) string {
	if isSlow(family) {
		return "slow"
	}
	return "fast"
}

func allLanes(lane string) func(int) string { return func(int) string { return lane } }

// text gives the run file of a job with its output in dir.
func (r *runFile) text(dir string) string {
	lane := r.lane
	if lane == nil {
		lane = twoLanes
	}
	var b strings.Builder
	b.WriteString("run: story\nfamilies:\n")
	for n := range families {
		fmt.Fprintf(&b, "  - {id: %s, lane: %s, cached: %t}\n", familyID(n), lane(n), r.cached)
	}
	if r.cached {
		b.WriteString("dynamodb:\n  table: features\n  partition_key: {name: user_id, value: \"{user_id}\"}\n  sort_key: {name: feature_key, value: \"{family}#{pitc_timestamp}\"}\n  layout: attributes\n")
	}
	if r.url != "" {
		fmt.Fprintf(&b, "feature_service: {url: %q, fast: {%s}, slow: {%s}}\n", r.url, r.fast, r.slow)
	}
	if r.s3 != "" {
		fmt.Fprintf(&b, "output: {dir: %q, s3: {bucket: %s}}\n", dir, r.s3)
	} else {
		fmt.Fprintf(&b, "output: {dir: %q}\n", dir)
	}
	b.WriteString("failure_policy: {failed_ratio: {do: warn}, data: {type_drift: warn}}\n")
	return b.String()
}

// parsed gives the run file as services see it.
func (r *runFile) parsed() (*runfile.File, error) {
	f, err := runfile.Parse("run.yaml", []byte(r.text("out")))
	if err != nil {
		return nil, err
	}
	return f.Expand(func(string) (string, bool) { return "", false })
}
