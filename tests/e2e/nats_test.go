package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// system is `fff up` in a process of its own.
type system struct {
	t       *testing.T
	url     string
	process *harness.Process
}

// up starts a system with the settings of a job.
func up(t *testing.T, j *harness.Job, more ...string) *system {
	t.Helper()
	p := harness.Start(t, j.Settings(), append([]string{"up", "--port", "0", "--store", t.TempDir()}, more...)...)
	text := p.Stdout(t, "the system names its address", func(s string) bool { return strings.HasSuffix(s, "\n") })
	return &system{t: t, url: strings.TrimSpace(text), process: p}
}

var backendOf = regexp.MustCompile(`feature service is at (\S+)`)

// backend gives the URL of the sandbox's feature service, which the system tells.
func (s *system) backend() string {
	s.t.Helper()
	text := s.process.Stderr(s.t, "the system names the sandbox's feature service", backendOf.MatchString)
	return backendOf.FindStringSubmatch(text)[1]
}

// request sends a request with the nats command line, until somebody answers, and reads the
// reply.
func (s *system) request(subject, body string, reply any) {
	s.t.Helper()
	harness.Await(s.t, "somebody answers "+subject, func() bool {
		r := harness.RunNATS(s.t, s.url, body, "req", subject, "--raw", "--force-stdin", "--no-templates", "--timeout", "10s")
		if r.Code != 0 || strings.TrimSpace(r.Stdout) == "" {
			return false
		}
		if err := control.DecodeReply([]byte(r.Stdout), reply); err != nil {
			s.t.Fatalf("%s: %v", subject, err)
		}
		return true
	})
}

// publish publishes a batch as any client would, without waiting for an acknowledgement.
func (s *system) publish(run, body string, headers ...string) {
	s.t.Helper()
	args := []string{"pub", "fff.ingest." + run, "--force-stdin", "--no-templates"}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	harness.RunNATS(s.t, s.url, body, args...).Expect(s.t, 0)
}

// close closes a run again and again, until it has seen so many records.
func (s *system) close(run string, records int) {
	s.t.Helper()
	harness.Await(s.t, fmt.Sprintf("run %s has seen %d records", run, records), func() bool {
		var closed control.Closed
		s.request("fff.close."+run, fmt.Sprintf(`{"records":%d}`, records), &closed)
		if int(closed.RecordsSeen) > records {
			s.t.Fatalf("run %s has seen %d records, but only %d were published", run, closed.RecordsSeen, records)
		}
		return closed.Sealed
	})
}

// status asks how a run stands.
func (s *system) status(run string) control.Status {
	s.t.Helper()
	var st control.Status
	s.request("fff.status."+run, "", &st)
	return st
}

// fff runs a command of fff on the system.
func (s *system) fff(args ...string) harness.Result {
	s.t.Helper()
	return harness.Run(s.t, nil, append(args, "--nats", s.url)...)
}

// states gives the states of all runs and strays.
func (s *system) states() map[string]string {
	s.t.Helper()
	r := s.fff("runs", "list", "--output", "json").Expect(s.t, 0)
	var all []control.Status
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil {
		s.t.Fatalf("%v\n%s", err, r)
	}
	states := map[string]string{}
	for _, st := range all {
		states[st.Run] = st.State
	}
	return states
}

// codes counts the dead letters of a run by code.
func (s *system) codes(run string) map[string]int {
	s.t.Helper()
	r := s.fff("failed", "list", run, "--limit", "0", "--output", "json").Expect(s.t, 0)
	var letters []control.Letter
	if err := json.Unmarshal([]byte(r.Stdout), &letters); err != nil {
		s.t.Fatalf("%v\n%s", err, r)
	}
	codes := map[string]int{}
	for _, l := range letters {
		codes[l.Code]++
	}
	return codes
}

const ndjson = "Content-Type:application/x-ndjson"

// Whoever has a NATS client is a producer.
func TestPlainNATSClients(t *testing.T) {
	t.Parallel()
	harness.NATS(t)
	j := harness.NewJob(t, 90)
	j.Run = "plain"
	// The last record keeps the run busy, at the gate, until a batch has come too late.
	j.Families = append(j.Families, "{id: last, lane: slow, cached: false}")
	families := j.File(t).FamilyIDs()
	for i := range j.Records {
		j.Records[i].Families = families[:5]
	}
	last := harness.Record{UserID: "the-last", EpochMS: 1_700_000_000_000, Families: []string{"last"}}
	gate := harness.NewGate(harness.NewBackends(t, j))
	s := up(t, j)

	var opened control.Opened
	for range 2 { // the same file again changes nothing
		s.request("fff.open.plain", j.YAML(), &opened)
		if opened.Run != "plain" || opened.Epoch != 1 {
			t.Fatalf("opened %+v, want plain in epoch 1", opened)
		}
	}
	first, second := j.Records[:60], j.Records[50:]
	for range 3 { // counted once, by its id
		s.publish("plain", harness.Batch(first), "Nats-Msg-Id:first")
	}
	for range 2 { // counted each time, for want of an id; its cells are fetched once
		s.publish("plain", string(harness.Lines(second)), ndjson)
	}
	s.publish("plain", `{"records":[{"user_id":"u","pitc_timestamp":"yesterday"}]}`)
	s.publish("plain", "this is no batch")
	records := len(first) + 2*len(second) + 1 + 1

	harness.Await(t, "the run has seen the batches", func() bool {
		var closed control.Closed
		s.request("fff.close.plain", fmt.Sprintf(`{"records":%d}`, records+100), &closed)
		if closed.Sealed || int(closed.RecordsSeen) > records {
			t.Fatalf("closing with a wrong number gives %+v; %d records were published", closed, records)
		}
		return int(closed.RecordsSeen) == records
	})
	if st := s.status("plain"); st.InputSealed || st.State != control.Running {
		t.Fatalf("after a wrong number the run is %s, sealed %t", st.State, st.InputSealed)
	}
	s.publish("plain", harness.Batch([]harness.Record{last}))
	s.close("plain", records+1)
	s.publish("plain", harness.Batch(harness.Samples(3)), "Nats-Msg-Id:late")
	harness.Await(t, "the late batch is a dead letter", func() bool { return s.codes("plain")["after_seal"] == 1 })
	gate.Open()

	s.fff("runs", "wait", "plain").Expect(t, 3)
	j.Records = append(j.Records, last)
	j.Verify(t, 0)
	j.Prove(t, nil)
	codes := s.codes("plain")
	if codes["bad_record"] != 1 || codes["bad_batch"] != 1 || codes["after_seal"] != 1 || len(codes) != 3 {
		t.Errorf("dead letters by code: %v, want one bad_record, one bad_batch, one after_seal", codes)
	}
	if got := failuresOf(t, j.Dataset()); !slices.Equal(got, []string{"after_seal", "bad_batch", "bad_record"}) {
		t.Errorf("the dataset lists the failures %v", got)
	}
	if st := s.status("plain"); int(st.RecordsSeen) != records+1 || st.BadRecords != 2 || int(st.Samples) != len(j.Records) {
		t.Errorf("the run says %d records, %d bad, %d samples; want %d, 2, %d", st.RecordsSeen, st.BadRecords, st.Samples, records+1, len(j.Records))
	}
}

// A batch for a run that nobody has opened waits for it, and can be dropped.
func TestBatchesOfRunsThatAreNotOpen(t *testing.T) {
	t.Parallel()
	harness.NATS(t)
	j := harness.NewJob(t, 20)
	j.Run = "later"
	s := up(t, j, "--sandbox")
	j.Backend = s.backend()
	s.publish("later", harness.Batch(j.Records))
	s.publish("never", harness.Batch(j.Records))
	harness.Await(t, "both runs are listed as strays", func() bool {
		states := s.states()
		return states["later"] == control.Stray && states["never"] == control.Stray
	})
	s.fff("failed", "drop", "never", "--all").Expect(t, 0)
	if state, there := s.states()["never"]; there {
		t.Errorf("the dropped stray is listed as %s", state)
	}
	s.request("fff.open.later", j.YAML(), new(control.Opened))
	s.close("later", len(j.Records))
	s.fff("runs", "wait", "later").Expect(t, 0)
	j.Verify(t, 0)
	j.Prove(t, nil)
	if states := s.states(); states["later"] != control.Completed {
		t.Errorf("the run is %s at the end", states["later"])
	}
}
