package fff

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/control"
)

func records(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"user_id":"u%d","pitc_timestamp":"2025-01-31T12:00:00Z"}`+"\n", i)
	}
	return b.String()
}

func TestRunSubmitsFollowsAndSums(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(1234))
	run(t, "run", "-f", file, "--records", in, "--nats", b.url).expect(t, 0, "is complete", "demo completed")
	if got := o.asked(); got != "fff.open.demo fff.close.demo" {
		t.Errorf("asked %s", got)
	}
	if n := len(b.batches(t, "demo")); n != 3 {
		t.Errorf("%d batches of 1,234 records, want 3", n)
	}
	if n := len(b.lines(t, "demo")); n != 1234 {
		t.Errorf("%d records arrived", n)
	}
	if string(o.bodies[control.SubjectOpen]) != runYAML {
		t.Errorf("the run file arrived as %s", o.bodies[control.SubjectOpen])
	}
}

func TestTheSameRecordsMakeTheSameBatches(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(1000))
	for range 2 {
		run(t, "run", "-f", file, "--records", in, "--nats", b.url).expect(t, 0, "", "")
	}
	if n := len(b.batches(t, "demo")); n != 2 {
		t.Errorf("%d batches after a repetition, want 2", n)
	}
	o.status = control.Status{}
	for range 2 {
		newCommand(records(600), system.Start).run(t, "run", "-f", file, "--run", "other", "--records", "-", "--nats", b.url).expect(t, 0, "", "")
	}
	if n := len(b.batches(t, "other")); n != 2 {
		t.Errorf("%d batches of stdin after a repetition, want 2", n)
	}
}

func TestARunThatHasItsRecordsIsFollowed(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	run(t, "submit", "-f", file, "--records", in, "--nats", b.url).expect(t, 0, "demo", "submitted")
	run(t, "run", "-f", file, "--records", in, "--nats", b.url).expect(t, 0, "is complete", "has its records already")
	if got := o.asked(); got != "fff.open.demo fff.close.demo fff.open.demo" {
		t.Errorf("asked %s", got)
	}
	o.status.State = control.Running
	o.onStatus = func(*control.Status) {}
	other := write(t, "records.jsonl", records(4))
	run(t, "run", "-f", file, "--records", other, "--nats", b.url).expect(t, 2, "", "sealed with other records")
}

func TestExitCodesOfARunsEnd(t *testing.T) {
	b := startBroker(t)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	o := startOrchestrator(t, b)
	for state, want := range map[string]int{
		control.Completed: 0, control.CompletedWithFailures: 3, control.Failed: 1, control.Cancelled: 1,
	} {
		o.status = control.Status{}
		o.onStatus = func(s *control.Status) {
			if s.InputSealed {
				o.end(state)
				s.Reason = "because"
			}
		}
		r := run(t, "run", "-f", file, "--records", in, "--nats", b.url, "--run", "end-"+fmt.Sprint(want)+strings.ReplaceAll(state, "_", "-"))
		r.expect(t, want, "(epoch 1)", "")
		if state == control.Failed {
			r.expect(t, 1, "failed: because", "")
		}
	}
}

func TestQuietSaysOnlyWhatIsWrong(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	if r := run(t, "run", "-q", "-f", file, "--records", in, "--nats", b.url); r != (result{}) {
		t.Errorf("got %+v", r)
	}
	o.onStatus = func(s *control.Status) { o.end(control.Failed); s.Reason = "the table is gone" }
	o.status = control.Status{}
	run(t, "run", "-q", "-f", file, "--run", "other", "--records", in, "--nats", b.url).expect(t, 1, "", "the table is gone")
}

func TestJSONProgressEndsWithASummary(t *testing.T) {
	b := startBroker(t)
	startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	r := run(t, "run", "--progress", "json", "-f", file, "--records", in, "--nats", b.url)
	r.expect(t, 0, "", "")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	var last progress.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Event != "summary" || last.Status.State != control.Completed {
		t.Errorf("the last line is %s (%v)", lines[len(lines)-1], err)
	}
}

func TestBadRecordsStopBeforeAnythingIsPublished(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	bad := strings.Repeat(`{"user_id":"u","pitc_timestamp":"yesterday"}`+"\n", 12) + records(3)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", bad)
	r := run(t, "run", "-f", file, "--records", in, "--nats", b.url)
	r.expect(t, 2, "", "records.jsonl: line 1: pitc_timestamp")
	r.expect(t, 2, "", "… and 2 more")
	r.expect(t, 2, "", "12 of 15 records are bad; nothing was published")
	if o.asked() != "" || len(b.batches(t, "demo")) > 0 {
		t.Error("something was opened or published all the same")
	}
	run(t, "run", "-f", file, "--records", in, "--nats", b.url, "--bad-records", "skip").expect(t, 0, "", "12 of 15 records are bad and will be listed")
	lines := b.lines(t, "demo")
	if len(lines) != 15 || !strings.Contains(lines[0], "line 1: pitc_timestamp") || !json.Valid([]byte(lines[0])) {
		t.Errorf("%d lines were published, the first is %s", len(lines), lines[0])
	}
}

func TestRunFileIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	in := write(t, "records.jsonl", records(1))
	for text, want := range map[string]string{
		"run: demo\n":                              "families",
		runYAML + "colour: red\n":                  "run.yaml:6:1",
		strings.Replace(runYAML, "demo", "D E", 1): "run",
		strings.Replace(runYAML, "cached: false", "table: my table", 1): "run.yaml:3:25: families[0].table",
	} {
		run(t, "run", "-f", write(t, "run.yaml", text), "--records", in, "--nats", b.url).expect(t, 2, "", want)
	}
	run(t, "run", "-f", "/no/such/run.yaml").expect(t, 2, "", "no such file")
	if o.asked() != "" {
		t.Errorf("asked %s", o.asked())
	}
}

func TestRefusalsOfTheOrchestrator(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(1))
	for code, want := range map[string]int{
		control.CodeResumeRefused: 2, control.CodeBadRunFile: 2, control.CodeOwned: 1, control.CodeInternal: 1,
	} {
		o.refuse = func(string) error { return &control.Error{Code: code, Field: "families[0]", Message: "it may not"} }
		run(t, "run", "-f", file, "--records", in, "--nats", b.url, "--take-over").expect(t, want, "", "families[0]: it may not")
	}
	o.refuse = func(string) error { return nil }
	run(t, "run", "-f", file, "--records", in, "--nats", b.url, "--take-over").expect(t, 0, "", "")
	if !o.takeOver {
		t.Error("--take-over did not arrive")
	}
}

func TestInterruptTearsDown(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	o.onStatus = func(*control.Status) {} // it would run for ever
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	c := newCommand("", system.Start)
	done := make(chan result, 1)
	go func() { done <- c.run(t, "run", "-f", file, "--records", in, "--nats", b.url) }()
	await(t, "the run is sealed", func() bool { return strings.Contains(o.asked(), "fff.close") })
	c.signals <- os.Interrupt
	r := <-done
	r.expect(t, 130, "was cancelled", "tearing down")
	if !strings.HasSuffix(o.asked(), "fff.cancel.demo") {
		t.Errorf("asked %s", o.asked())
	}
}

func TestSecondInterruptHastens(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	o.onStatus = func(s *control.Status) { s.Teardown = control.TeardownPending }
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	c := newCommand("", system.Start)
	done := make(chan result, 1)
	go func() { done <- c.run(t, "run", "-f", file, "--records", in, "--nats", b.url) }()
	await(t, "the run is sealed", func() bool { return strings.Contains(o.asked(), "fff.close") })
	c.signals <- os.Interrupt
	await(t, "the run is cancelled", func() bool { return strings.Contains(o.asked(), "fff.cancel") })
	c.signals <- os.Interrupt
	(<-done).expect(t, 130, "", "interrupted")
}

func TestAFailingRunEndsThePublishing(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	o.onStatus = func(s *control.Status) {
		o.end(control.Failed)
		s.Reason = "the input holds more than input.max_bytes"
	}
	r, w := io.Pipe()
	go func() {
		for { // a producer that never stops by itself
			if _, err := w.Write([]byte(records(500))); err != nil {
				return
			}
		}
	}()
	defer r.Close()
	c := newCommand("", system.Start)
	c.app.stdin = r
	c.run(t, "run", "-f", write(t, "run.yaml", runYAML), "--records", "-", "--nats", b.url).expect(t, 1, "input.max_bytes", "")
}

func TestASilentProducerDoesNotHoldTheEnd(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	r, w := io.Pipe()
	defer w.Close()
	c := newCommand("", system.Start)
	c.app.stdin = r
	done := make(chan result, 1)
	go func() {
		done <- c.run(t, "run", "-f", write(t, "run.yaml", runYAML), "--records", "-", "--nats", b.url)
	}()
	await(t, "the run is opened", func() bool { return o.asked() != "" })
	c.signals <- os.Interrupt
	(<-done).expect(t, 130, "was cancelled", "")
}

func TestSomebodyElsesRecordsAreNoticed(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	if _, err := b.js.Publish(t.Context(), "fff.ingest.demo", []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	file, in := write(t, "run.yaml", runYAML), write(t, "records.jsonl", records(3))
	run(t, "run", "-f", file, "--records", in, "--nats", b.url).expect(t, 1, "", "run demo has seen 4 records, but 3 were published")
	if !strings.HasSuffix(o.asked(), "fff.cancel.demo") {
		t.Errorf("the run was not torn down: %s", o.asked())
	}
}

// The program's own path is needed to guard what is scaled up, and for nothing else.
func TestARunThatScalesNothingNeedsNoGuard(t *testing.T) {
	b := startBroker(t)
	startOrchestrator(t, b)
	in := write(t, "records.jsonl", records(3))
	lost := func(args ...string) result {
		c := newCommand("", system.Start)
		c.app.self = func() (string, error) { return "", errors.New("the program was deleted") }
		return c.run(t, append([]string{"run", "--records", in, "--out", t.TempDir()}, args...)...)
	}
	lost("-f", write(t, "run.yaml", runYAML), "--nats", b.url).expect(t, 0, "", "")
	lost("-f", write(t, "run.yaml", runYAML), "--sandbox").expect(t, 0, "is complete", "")
	lost("-f", write(t, "run.yaml", runYAML+"warm_up: {max_hold: 1h}\n")).expect(t, 1, "", "the program was deleted")
}

// What submit reads without following the run ends with it all the same.
func TestASilentProducerDoesNotHoldSubmit(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	r, w := io.Pipe()
	defer w.Close()
	c := newCommand("", system.Start)
	c.app.stdin = r
	done := make(chan result, 1)
	go func() {
		done <- c.run(t, "submit", "-f", write(t, "run.yaml", runYAML), "--records", "-", "--nats", b.url)
	}()
	// When the last write is taken, the record is published and the rest of a line waited for.
	for _, text := range []string{records(1), "{", " "} {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	c.signals <- os.Interrupt
	select {
	case got := <-done:
		got.expect(t, 130, "", "interrupted")
	case <-time.After(time.Minute):
		t.Fatal("submit waits for its silent producer, though it was interrupted")
	}
	if got := o.asked(); got != "fff.open.demo" {
		t.Errorf("asked %s: what came so far is no whole input, and the run is not submit's to cancel", got)
	}
}
