package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// Every job has so many families of so many features, as in the story of the README.
const (
	families = 50
	features = 60
)

// scenario is one row of the table.
type scenario struct {
	Name        string  `json:"name"`
	Hits        float64 `json:"hits"`     // share of the cells that DynamoDB has
	Slow        int     `json:"slow"`     // families that are asked for one by one
	FastMax     int     `json:"fast_max"` // families of a request of the fast lane
	Layout      string  `json:"layout"`
	Separate    bool    `json:"separate"`      // each service its own process, beside a nats-server
	OneAMessage bool    `json:"one_a_message"` // one request a message to the lanes, where there are 16 else
	Full        bool    `json:"-"`             // only with -full
	Profiled    bool    `json:"-"`             // by stage even without -full
	Floor       float64 `json:"floor_cpu_seconds,omitempty"`
	Bar         float64 `json:"bar_cpu_seconds,omitempty"`
	BarRate     float64 `json:"bar_families_per_second,omitempty"`

	inFlight string      // of the lanes as YAML; 64 each when ""
	delays   stub.Config // latencies and threads of the stub
}

// The floor is that of the physical limits: what the job's parts cost by themselves.
var scenarios = []scenario{
	{Name: "hits-100", Hits: 1, Layout: "attributes", Profiled: true, Floor: 8.8, Bar: 13, BarRate: 90_000},
	{Name: "hits-80", Hits: 0.8, Layout: "attributes", Bar: 15, BarRate: 80_000},
	{Name: "hits-50", Hits: 0.5, Layout: "attributes", Floor: 11},
	{Name: "hits-0", Layout: "attributes", Profiled: true, Floor: 13.2, Bar: 20},
	{Name: "hits-0-ten-slow", Layout: "attributes", Slow: 10, FastMax: 40, Bar: 26},
	{Name: "hits-100-separate", Hits: 1, Layout: "attributes", Separate: true, Floor: 8.8, Bar: 13},
	{Name: "hits-80-separate", Hits: 0.8, Layout: "attributes", Separate: true, Full: true, Bar: 15},
	{Name: "hits-50-separate", Hits: 0.5, Layout: "attributes", Separate: true, Full: true, Floor: 11},
	{Name: "hits-0-separate", Layout: "attributes", Separate: true, Full: true, Floor: 13.2, Bar: 20},
	{Name: "hits-0-ten-slow-separate", Layout: "attributes", Slow: 10, FastMax: 40, Separate: true, Full: true, Bar: 26},
	{Name: "hits-100-map", Hits: 1, Layout: "map", Full: true},
	{Name: "hits-100-json", Hits: 1, Layout: "json", Full: true},
	{Name: "hits-0-one-a-message", Layout: "attributes", OneAMessage: true, Full: true},
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
	inFlight := s.inFlight
	if inFlight == "" {
		inFlight = "fast: {max_families: %d, max_in_flight: 64}, slow: {max_in_flight: 64}"
	}
	return fmt.Sprintf(`run: bench
families:
%sdynamodb:
  table: features
  partition_key: {name: user_id, value: "{user_id}"}
  sort_key: {name: feature_key, value: "{family}#{pitc_timestamp}"}
  layout: %s
feature_service: {url: %q, %s}
output: {dir: %q}
`, strings.Join(list, ""), layout, featureService, fmt.Sprintf(inFlight, fastMax), out)
}

// writeRecords writes the records of a job, the same each time.
func writeRecords(dir string, samples int) (path string, err error) {
	path = filepath.Join(dir, fmt.Sprintf("records-%d.csv", samples))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	random, w := rand.New(rand.NewPCG(1, 2)), bufio.NewWriter(f)
	fmt.Fprintln(w, "user_id,pitc_timestamp")
	for n := range samples {
		fmt.Fprintf(w, "user-%07d,2025-%02d-%02dT%02d:%02d:%02dZ\n", n, 1+random.IntN(12), 1+random.IntN(28), random.IntN(24), random.IntN(60), random.IntN(60))
	}
	return path, w.Flush()
}
