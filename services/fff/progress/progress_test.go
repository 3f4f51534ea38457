package progress

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it and run the test with -update\n--- got\n%s\n--- want\n%s", file, got, want)
	}
}

var start = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)

// running is a run in the middle of its work, n of 1,000,000 cells done.
func running(n int64) *control.Status {
	return &control.Status{
		Run: "demo", Epoch: 1, State: control.Running, RecordsSeen: 20_000, Records: 20_000, Samples: 19_990,
		InputSealed: true, Requested: 1_000_000, Committed: n - 12, Failed: 12, StartedAt: start,
		BySource:     map[string]int64{"dynamodb": n - 20_012, "feature_service": 20_000},
		FailedByCode: map[string]int64{"timeout": 12},
		Stages: []control.StageStatus{
			{Name: "ingest", CellsOut: 1_000_000, Instances: 1},
			{Name: "dynamo", Lag: 34, CellsIn: n, CellsOut: n + 40_000, Instances: 2, Waiting: "throttled by DynamoDB"},
			{Name: "fs-fast", Lag: 1_204, CellsOut: 15_000, CellsFailed: 12, Instances: 1},
			{Name: "fs-slow", CellsOut: 5_000},
			{Name: "writer", Lag: 2, CellsIn: n, CellsOut: n, Instances: 1},
		},
	}
}

func ended(state string) *control.Status {
	s := running(1_000_000)
	s.State, s.Stages, s.Teardown = state, nil, control.TeardownDone
	s.EndedAt = start.Add(83 * time.Second)
	s.Files, s.Bytes, s.Dataset = 52, 412_345_678, "out/demo"
	s.ReadUnits = map[string]float64{"features": 498_120.5}
	return s
}

func TestRatesAndWhatIsLeft(t *testing.T) {
	m := NewMeter(Expected{})
	f := m.Observe(running(100_000), start)
	if f.Rate != 0 || f.ETA >= 0 || f.Share() != 10 {
		t.Errorf("the first frame says rate %v, ETA %v, %d%%", f.Rate, f.ETA, f.Share())
	}
	for i := range 60 {
		f = m.Observe(running(100_000+int64(i+1)*1_000), start.Add(time.Duration(i+1)*time.Second))
	}
	if f.Rate != 1_000 || f.ETA != 840*time.Second || f.Share() != 16 {
		t.Errorf("rate %v, ETA %v, %d%%; want 1000, 14m, 16%%", f.Rate, f.ETA, f.Share())
	}
	if len(m.cells.points) > 32 {
		t.Errorf("%d points are kept of 61", len(m.cells.points))
	}
	again := running(50_000)
	if f = m.Observe(again, start.Add(61*time.Second)); f.Rate != 0 {
		t.Errorf("a count that began anew gives the rate %v", f.Rate)
	}
}

func TestNothingIsClaimedThatNobodyKnows(t *testing.T) {
	s := running(100_000)
	s.InputSealed = false
	m := NewMeter(Expected{})
	m.Observe(s, start)
	s.Committed += 50_000
	f := m.Observe(s, start.Add(10*time.Second))
	if f.Total != 0 || f.ETA >= 0 || f.Share() >= 0 {
		t.Errorf("an open input gives total %d, ETA %v, %d%%", f.Total, f.ETA, f.Share())
	}
	known := NewMeter(Expected{Cells: 2_000_000}).Observe(s, start)
	if known.Total != 2_000_000 {
		t.Errorf("a checked file gives total %d", known.Total)
	}
	s = running(999_999)
	if f := NewMeter(Expected{}).Observe(s, start); f.Share() != 99 {
		t.Errorf("one cell short is %d%%", f.Share())
	}
}

func frames() []*Frame {
	m := NewMeter(Expected{Records: 20_000, Cells: 1_000_000})
	early := running(0)
	early.State, early.InputSealed, early.Stages, early.Committed, early.Failed, early.RecordsSeen = control.WarmingUp, false, nil, 0, 0, 0
	out := []*Frame{m.Observe(early, start)}
	for i := range 5 {
		out = append(out, m.Observe(running(100_000+int64(i)*41_234*3), start.Add(time.Duration(1+i*3)*time.Second)))
	}
	repair := running(990_000)
	repair.Round, repair.State, repair.BadRecords = 1, control.Draining, 3
	return append(out, m.Observe(repair, start.Add(70*time.Second)), m.Observe(ended(control.CompletedWithFailures), start.Add(83*time.Second)))
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	v := NewView(Auto, nil, &b, nil)
	for _, f := range frames() {
		v.Show(f)
	}
	v.Note("publishing waits: the stream FFF_INGEST is full")
	v.Close()
	golden(t, "plain.txt", b.String())
}

func TestBars(t *testing.T) {
	var b strings.Builder
	for _, f := range frames() {
		b.WriteString(strings.Join(Rows(f), "\n") + "\n\n")
	}
	golden(t, "bars.txt", b.String())
}

func TestBarsOnATerminal(t *testing.T) {
	var b bytes.Buffer
	v := NewView(Auto, &b, nil, nil)
	for _, f := range frames() {
		v.Show(f)
	}
	v.Note("a note")
	v.Close()
	if !strings.Contains(b.String(), "a note") || !strings.Contains(b.String(), "100%") {
		t.Errorf("the terminal shows %q", b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	v := NewView(JSON, nil, nil, &b)
	all := frames()
	for _, f := range all {
		v.Show(f)
	}
	v.Note("a note")
	v.Close()
	if err := WriteJSONSummary(&b, all[len(all)-1]); err != nil {
		t.Fatal(err)
	}
	var events []string
	d := json.NewDecoder(&b)
	for d.More() {
		var e Event
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Event != "note" && e.Status == nil {
			t.Errorf("%s without a status", e.Event)
		}
		events = append(events, e.Event)
	}
	if got := strings.Join(events, " "); got != "progress progress progress progress progress progress progress progress note summary" {
		t.Errorf("got %s", got)
	}
}

func TestSummaries(t *testing.T) {
	complete := ended(control.Completed)
	complete.Committed, complete.Failed, complete.FailedByCode = 1_000_000, 0, nil
	complete.BySource = map[string]int64{"dynamodb": 800_000, "feature_service": 200_000}
	failed := ended(control.Failed)
	failed.Committed, failed.Reason = 0, "DynamoDB: table \"features\" does not exist; check dynamodb.table and AWS_REGION"
	partial := ended(control.CompletedWithFailures)
	partial.BadRecords = 3
	partial.Warnings = []string{"failure_policy.data.constant: features of family credit have one and the same value everywhere: x; look", "failure_policy.silent_instance: instance w1 of writer has said nothing for 31s; look"}
	partial.FailedByCode = map[string]int64{"timeout": 9, "server_error": 2, "bad_item": 1}
	s3 := ended(control.Completed)
	s3.Dataset = "s3://bucket/datasets/demo"
	for name, s := range map[string]*control.Status{
		"s3": s3, "complete": complete, "partial": partial, "failed": failed, "cancelled": ended(control.Cancelled),
	} {
		var b bytes.Buffer
		f := NewMeter(Expected{}).Observe(s, start)
		if err := WriteSummary(&b, f, "crédit/x"); err != nil {
			t.Fatal(err)
		}
		golden(t, "summary-"+name+".txt", b.String())
	}
	var b bytes.Buffer
	if err := WriteStatus(&b, running(412_340), start.Add(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", b.String())
}

func TestNumbersForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"0": rate(0.01), "3.2": rate(3.2), "412": rate(412), "8,130": rate(8_130), "41.2k": rate(41_234), "999.9k": rate(999_940), "1.00M": rate(999_960), "2.35M": rate(2_345_678),
		"850ms": span(850 * time.Millisecond), "12.3s": span(12_345 * time.Millisecond), "4m 05s": span(245 * time.Second), "3h 07m": span(187*time.Minute + 3*time.Second),
		"": eta(-1), "ETA 1s": eta(time.Millisecond), "ETA 59s": eta(59 * time.Second), "ETA 2m 03s": eta(123 * time.Second), "ETA > 99h": eta(1000 * time.Hour),
		"33.3%": share(1, 3),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a run that is complete has to say all the same stands in its summary.
func TestSummaryOfWhatIsLeftToDo(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	f := &Frame{Status: &control.Status{Run: "demo", Epoch: 1, State: control.Completed, Reason: "the copy is not whole; make room"}}
	if err := WriteSummary(&out, f, ""); err != nil || !strings.Contains(out.String(), "the copy is not whole; make room") {
		t.Errorf("%v, %q", err, out.String())
	}
}
