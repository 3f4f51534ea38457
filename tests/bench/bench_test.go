package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/tests/bench/calibrate"
	"github.com/fastfeaturefetch/fff/tests/bench/stages"
	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

func TestBound(t *testing.T) {
	for _, tt := range []struct {
		slow, fastMax int
		threadTime    time.Duration
		bound         float64
	}{
		{5, 45, 1020 * time.Millisecond, 200 / 1.02 * families},
		{0, 50, 20 * time.Millisecond, 200 / 0.02 * families},
		{10, 20, 2040 * time.Millisecond, 200 / 2.04 * families}, // 40 fast ones are two requests
	} {
		s := scenario{Slow: tt.slow, FastMax: tt.fastMax, delays: latencies}
		if got := s.threadTime(); got != tt.threadTime {
			t.Errorf("%d slow, %d a request: %v of a thread, want %v", tt.slow, tt.fastMax, got, tt.threadTime)
		}
		if got := s.bound(); math.Abs(got-tt.bound) > 1e-6 {
			t.Errorf("%d slow, %d a request: bound %v, want %v", tt.slow, tt.fastMax, got, tt.bound)
		}
	}
}

func TestSharesOfTheBound(t *testing.T) {
	x := latencyResult{
		result: result{
			scenario: scenario{delays: stub.Config{Threads: 10}}, Cells: 1000, PerSecond: 80,
			Stub: stub.Counted{FirstNS: 1, LastNS: 1 + int64(10*time.Second), BusyNS: int64(95 * time.Second)},
		},
		Bound: 100,
	}
	x.shares()
	if x.Whole != 0.8 || x.Service != 1 || x.Busy != 0.95 {
		t.Errorf("shares %v, %v, %v, want 0.8, 1, 0.95", x.Whole, x.Service, x.Busy)
	}
}

func TestMedian(t *testing.T) {
	r := median([]result{{CPUPerMillion: 9, Wall: 1}, {CPUPerMillion: 7, Wall: 2}, {CPUPerMillion: 8, Wall: 3}})
	if r.CPUPerMillion != 8 || r.Wall != 3 {
		t.Errorf("the median try is %+v", r)
	}
}

func TestEveryRunFileIsOne(t *testing.T) {
	for _, s := range slices.Concat(scenarios, latencyScenarios) {
		text := s.runFile("http://127.0.0.1:1/features", "out")
		file, err := runfile.Parse("run.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v\n%s", s.Name, err, text)
			continue
		}
		if len(file.Families) != families {
			t.Errorf("%s has %d families", s.Name, len(file.Families))
		}
	}
}

func TestTheVariantChangesOneNumber(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "work", "work.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(perLane.FindAll(text, -1)); n != 1 {
		t.Errorf("MaxRequestsPerLane is set in %d places, want 1", n)
	}
}

func TestStagesOfAFleetAreItsProcesses(t *testing.T) {
	r := result{Cells: 2_000_000, Processes: map[string]usage{"fff-writer": {CPU: 4}, "nats-server": {CPU: 2}, submits: {CPU: 1}}}
	got := r.byProcess()
	if got["fff-writer"] != 2 || got[stages.Broker] != 1 || got[stages.Other] != 0.5 {
		t.Errorf("by stage %v", got)
	}
}

func TestTrafficOfAnEmbeddedBrokerIsInTheLog(t *testing.T) {
	log := `{"level":"info","message":"leading"}
some words
{"level":"debug","traffic":{"in_msgs":50,"in_bytes":500,"stored":{"FFF_INGEST":4,"FFF_WRITER":6}},"message":"the embedded broker stops"}
`
	told, err := embeddedTraffic([]byte(log))
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cells: 2_000_000}
	r.came(told)
	if r.Messages != 25 || r.MessageBytes != 250 || r.storedMessages() != 5 {
		t.Errorf("per million: %d messages of %d bytes, %d stored", r.Messages, r.MessageBytes, r.storedMessages())
	}
	if _, err := embeddedTraffic([]byte("some words\n")); err == nil {
		t.Error("a log without it is taken for one that tells")
	}
}

func TestReport(t *testing.T) {
	reference := make(calibrate.Figures, len(calibrate.References))
	for i, r := range calibrate.References {
		reference[i] = 2 * r.On
	}
	x := result{scenario: scenarios[0], Samples: 100, Cells: 5000, Wall: 0.125, CPU: 0.0625 * float64(runtime.NumCPU()), PerSecond: 40_000, CPUPerMillion: 25, Factor: 2, Stages: map[string]float64{"fff-writer": 25},
		Messages: 5000, MessageBytes: 480 << 20, Stored: map[string]int64{"FFF_INGEST": 40, "FFF_WRITER": 1006, "FFF_FAILED": 0}}
	rep := report{Machine: "a machine", Repeat: 1, Speed: []calibrate.Figures{reference}, Results: []result{x}}
	text := rep.markdown()
	for _, want := range []string{
		"| hits-100 | 100 | 40000 | 53333 | 90000 | 25.0 | 2.00 | 12.5 | 13 | 8.8 |",
		"| stored messages | FFF_INGEST | FFF_WRITER |\n",
		"| hits-100 | 5000 | 480 | 1046 | 40 | 1006 |",
		"| strconv.ParseFloat, six decimals | ns/value | 31 | 62 | 62 | 62 | 2.00 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	dir := filepath.Join(t.TempDir(), "made")
	if err := rep.write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results.md", "results.json", "stages.svg", "throughput.svg"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(data) == 0 {
			t.Errorf("%s has %d bytes: %v", name, len(data), err)
		}
	}
}

// Only jobs before and after which the machine was at full speed count.
func TestOnlyUnhinderedJobsCount(t *testing.T) {
	slow, waited, ran := []bool{true, false, true, false, false, false}, 0, 0 // a measurement each
	u := unhindered{
		speed: func() (calibrate.Figures, error) {
			factor := 1.0
			if slow[0] {
				factor = 2
			}
			slow = slow[1:]
			var f calibrate.Figures
			for _, r := range calibrate.References {
				f = append(f, factor*r.On)
			}
			return f, nil
		},
		job:   func() (*result, error) { ran++; return &result{CPUPerMillion: float64(10 * ran)}, nil },
		wait:  func() error { waited++; return nil },
		until: time.Now().Add(time.Hour),
	}
	if err := u.run(2); err != nil {
		t.Fatal(err)
	}
	if ran != 3 || waited != 2 || len(u.speeds) != 4 {
		t.Errorf("%d jobs, waited %d times, %d speeds", ran, waited, len(u.speeds))
	}
	rep := barsReport{Machine: "a machine", Within: fullSpeed, Speed: u.speeds, Results: []barsResult{u.result(scenarios[0], 2), u.result(scenarios[1], 3)}}
	for _, want := range []string{"| 30.0 |  | 2 | 1: 10.0 to 10.0 |", "| hits-80 | | not measured | 80000 | not measured | 15 | 2 |"} {
		if text := rep.markdown(); !strings.Contains(text, want) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	u.until = time.Now()
	slow = []bool{false}
	if err := u.run(100); err != nil || ran != 3 {
		t.Errorf("it goes on when its time is over: %d jobs, %v", ran, err)
	}
}

func TestScaleReport(t *testing.T) {
	figures := make(calibrate.Figures, len(calibrate.References))
	rep := scaleReport{Machine: "a machine", Speed: []calibrate.Figures{figures}, Small: []float64{1, 1.5, 4}}
	for i, n := range []int{10_000, 100_000} {
		rep.Sizes = append(rep.Sizes, sizeResult{
			result:     result{Samples: n, CPUPerMillion: 20 + 4*float64(i), Factor: 1, Processes: map[string]usage{"fff": {Peak: 1 << 30}}},
			IndexBytes: int64(80 * n), Memory: []int64{1 << 29, 1 << 30},
		})
	}
	text := rep.markdown()
	for _, want := range []string{"1.50 s, the median of 3", "costs 20 % more", "80.0 MB", "| 1024 MiB |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	dir := t.TempDir()
	if err := rep.write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scale.md", "scale.json", "scale.svg", "memory.svg"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(data) == 0 {
			t.Errorf("%s has %d bytes: %v", name, len(data), err)
		}
	}
	if _, err := parseSizes("1000,many"); err == nil || !strings.Contains(err.Error(), "many") {
		t.Errorf("a size that is none: %v", err)
	}
}
