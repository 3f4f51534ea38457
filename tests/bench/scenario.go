package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Every job has so many families of so many features, as in the story of the README.
const (
	families = 50
	features = 60
)

// scenario is one row of the table.
type scenario struct {
	Name     string  `json:"name"`
	Hits     float64 `json:"hits"`     // share of the cells that DynamoDB has
	Slow     int     `json:"slow"`     // families that are asked for one by one
	FastMax  int     `json:"fast_max"` // families of a request of the fast lane
	Layout   string  `json:"layout"`
	Separate bool    `json:"separate"` // each service its own process, beside a nats-server
	Full     bool    `json:"-"`        // only with -full
}

var scenarios = []scenario{
	{Name: "hits-100", Hits: 1, Layout: "attributes"},
	{Name: "hits-80", Hits: 0.8, Layout: "attributes"},
	{Name: "hits-50", Hits: 0.5, Layout: "attributes"},
	{Name: "hits-0", Layout: "attributes"},
	{Name: "hits-0-ten-slow", Layout: "attributes", Slow: 10, FastMax: 40},
	{Name: "hits-100-separate", Hits: 1, Layout: "attributes", Separate: true},
	{Name: "hits-0-separate", Layout: "attributes", Separate: true, Full: true},
	{Name: "hits-100-map", Hits: 1, Layout: "map", Full: true},
	{Name: "hits-100-json", Hits: 1, Layout: "json", Full: true},
}

// runFile gives the run file of a scenario.
func (s *scenario) runFile(featureService, out string) string {
	var list []string
	for n := range families {
		lane := ""
		if n < s.Slow {
			lane = ", lane: slow"
		}
		list = append(list, fmt.Sprintf("  - {id: family_%02d%s}\n", n, lane))
	}
	layout := s.Layout
	if layout != "attributes" {
		layout += ":features"
	}
	fastMax := s.FastMax
	if fastMax == 0 {
		fastMax = 10 // as the floor is stated
	}
	return fmt.Sprintf(`run: bench
families:
%sdynamodb:
  table: features
  partition_key: {name: user_id, value: "{user_id}"}
  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}
  layout: %s
feature_service: {url: %q, fast: {max_families: %d, max_in_flight: 64}, slow: {max_in_flight: 64}}
output: {dir: %q}
`, strings.Join(list, ""), layout, featureService, fastMax, out)
}

// writeRecords writes the records of a job, the same each time.
func writeRecords(dir string, samples int) (string, error) {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("user_id,pitc_timestamp\n")
	for n := range samples {
		fmt.Fprintf(&b, "user-%07d,2025-%02d-%02dT%02d:%02d:%02dZ\n", n, 1+random.IntN(12), 1+random.IntN(28), random.IntN(24), random.IntN(60), random.IntN(60))
	}
	path := filepath.Join(dir, fmt.Sprintf("records-%d.csv", samples))
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}
