package fff

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/streams"
)

func TestUsageErrorsSayWhatToDo(t *testing.T) {
	file := write(t, "run.yaml", runYAML)
	in := write(t, "records.jsonl", records(1))
	for _, c := range []struct {
		args string
		want string
	}{
		{"dance", "unexpected argument dance"},
		{"run", "missing flags: --file=FILE"},
		{"run -f " + file + " --speed 9", "unknown flag --speed"},
		{"run -f " + file + " --progress loud", "--progress must be one of"},
		{"run -f " + file + " --bad-records maybe", "--bad-records must be one of"},
		{"run -f " + file + " --nats nats://127.0.0.1:1 --sandbox", "leave out --nats"},
		{"run -f " + file + " --run Demo_1", "Demo_1"},
		{"run -f " + file + " --records /no/such.jsonl", "no such file"},
		{"run -f " + file + " --records " + file, "use .jsonl"},
		{"run -f " + file + " --records " + write(t, "empty.jsonl", ""), "is empty"},
		{"submit -f " + file, "missing flags: --records=FILE"},
		{"submit -f " + file + " --records " + in + " --nats localhost:4222", "write it as nats://host:4222"},
		{"up --port 70000", "give 0 to 65535"},
		{"runs", "expected one of"},
		{"runs show", `expected "<run>"`},
		{"runs list --output xml", "--output must be one of"},
		{"failed list", "give either the id of a run or --dir DIR"},
		{"failed list demo --dir out/demo", "give either the id of a run or --dir DIR"},
		{"failed list demo --limit=-1", "give 0 for all"},
		{"failed list demo --kind cells", "--kind must be one of"},
		{"failed list --dir " + t.TempDir(), "nothing failed"},
		{"failed show demo", "give the id of a run and the sequence"},
		{"failed show demo x", `"x" is no sequence`},
		{"failed show demo 0", `"0" is no sequence`},
		{"failed show 1 2 --dir out/demo", "the line of a failure alone"},
		{"failed replay demo", "nothing is selected"},
		{"failed replay demo 3 --all", "give either sequences or filters"},
		{"failed drop demo", "nothing is selected"},
		{"verify " + t.TempDir(), "missing flags: --records=FILE"},
		{"verify /no/such/dir --records " + in, "is no directory"},
		{"verify " + t.TempDir() + " --records -", "give a file"},
		{"streams apply --replicas 2", "must be one of"},
		{"streams export", `expected "<dir>"`},
		{"sandbox -f /no/such.yaml", "no such file"},
		{"config --output yaml", "--output must be one of"},
	} {
		t.Run(c.args, func(t *testing.T) {
			run(t, strings.Fields(c.args)...).expect(t, 2, "", c.want)
		})
	}
}

func TestWrongSettingsAreUsageErrors(t *testing.T) {
	t.Setenv("FFF_LOG_LEVEL", "loud")
	run(t, "runs", "list").expect(t, 2, "", "FFF_LOG_LEVEL")
	run(t, "config").expect(t, 2, "FFF_LOG_LEVEL", "use one of trace, debug")
}

func TestHelp(t *testing.T) {
	run(t).expect(t, 0, "failed replay", "")
	run(t, "--help").expect(t, 0, "Run a job from its records", "")
	run(t, "run", "--help").expect(t, 0, "--take-over", "")
}

func TestNobodyAnswers(t *testing.T) {
	b := startBroker(t)
	c := newCommand("", system.Start)
	go func() { c.signals <- os.Interrupt }()
	c.run(t, "runs", "list", "--nats", b.url).expect(t, 130, "", "interrupted")
}

func TestRunsListAndShow(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	o.onStatus = func(*control.Status) {}
	o.status = control.Status{
		Run: "demo", Epoch: 2, State: control.Failed, Teardown: control.TeardownPending, Reason: "the table is gone",
		RecordsSeen: 2000, Requested: 94_031, Committed: 90_000, Failed: 31, Dataset: "out/demo",
		StartedAt: time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC),
		Stages:    []control.StageStatus{{Name: "writer", CellsOut: 90_000, Instances: 1}},
	}
	r := run(t, "runs", "list", "--nats", b.url)
	r.expect(t, 0, "RUN    STATE", "")
	r.expect(t, 0, "demo   failed, teardown pending       2     2,000      94,031      90,000       31   2025-01-31 12:00:00Z   out/demo", "")
	run(t, "runs", "show", "demo", "--nats", b.url).expect(t, 0, "the table is gone", "")
	for _, args := range [][]string{{"runs", "list"}, {"runs", "show", "demo"}} {
		r := run(t, append(args, "--output", "json", "--nats", b.url)...)
		text := strings.Trim(strings.TrimSpace(r.stdout), "[]")
		var s control.Status
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.Committed != 90_000 {
			t.Errorf("%v gives %s (%v)", args, r.stdout, err)
		}
	}
	o.refuse = func(string) error { return control.Errorf(control.CodeUnknownRun, "there is no run nope") }
	run(t, "runs", "show", "nope", "--nats", b.url).expect(t, 2, "", "there is no run nope")
}

func TestRunsAreSteered(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	o.status = control.Status{Run: "demo", State: control.Running, InputSealed: true}
	run(t, "runs", "wait", "demo", "--nats", b.url).expect(t, 0, "is complete", "")
	run(t, "runs", "cancel", "demo", "--nats", b.url).expect(t, 0, "", "run demo is cancelled")
	run(t, "runs", "wait", "demo", "-q", "--nats", b.url).expect(t, 1, "", "")
	run(t, "runs", "teardown", "demo", "--nats", b.url).expect(t, 0, "", "run demo is torn down")
	if got := o.asked(); got != "fff.cancel.demo fff.teardown.demo" {
		t.Errorf("asked %s", got)
	}
}

// deadLetters publishes three dead letters of a run and one of another.
func deadLetters(t *testing.T, b *testBroker) {
	t.Helper()
	for _, l := range []struct{ run, stage, code, kind, data string }{
		{"demo", "fs-fast", "timeout", "cell", `{"requests":[{"user_id":"u1"}]}`},
		{"other", "fs-fast", "timeout", "cell", `{}`},
		{"demo", "ingest", "bad_record", "record", "no json"},
		{"demo", "writer", "bad_message", "batch", "\x00\x01\xff"},
	} {
		m := nats.NewMsg(streams.FailedSubject(l.run, l.stage))
		m.Data = []byte(l.data)
		for k, v := range map[string]string{
			streams.HeaderStage: l.stage, streams.HeaderCode: l.code, streams.HeaderKind: l.kind,
			streams.HeaderReason: "it did\nnot work", streams.HeaderCount: "7", streams.HeaderAttempts: "5",
			streams.HeaderEpoch: "2", streams.HeaderAt: "2025-01-31T12:00:00Z", streams.HeaderSubject: "fff.fs-fast.demo",
		} {
			m.Header.Set(k, v)
		}
		if _, err := b.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	b := startBroker(t)
	deadLetters(t, b)
	r := run(t, "failed", "list", "demo", "--nats", b.url)
	r.expect(t, 0, "  1   cell     fs-fast   timeout           7          5   2025-01-31 12:00:00Z   it did not work", "")
	if n := strings.Count(r.stdout, "\n"); n != 4 {
		t.Errorf("%d lines for three letters", n)
	}
	for filter, want := range map[string]uint64{"--code timeout": 1, "--stage writer": 4, "--kind record": 3} {
		r := run(t, append([]string{"failed", "list", "demo", "--output", "json", "--nats", b.url}, strings.Fields(filter)...)...)
		var letters []control.Letter
		if err := json.Unmarshal([]byte(r.stdout), &letters); err != nil || len(letters) != 1 || letters[0].Count != 7 || letters[0].Epoch != 2 {
			t.Errorf("%s gives %s (%v)", filter, r.stdout, err)
		} else if letters[0].Sequence != want {
			t.Errorf("%s gives letter %d, want %d", filter, letters[0].Sequence, want)
		}
	}
	run(t, "failed", "list", "demo", "--limit", "2", "--nats", b.url).expect(t, 0, "bad_record", "there are more; give --limit 0")
	run(t, "failed", "list", "none", "--output", "json", "--nats", b.url).expect(t, 0, "[]", "")
	run(t, "failed", "show", "demo", "1", "--nats", b.url).expect(t, 0, `"user_id": "u1"`, "")
	run(t, "failed", "show", "demo", "3", "--nats", b.url).expect(t, 0, "\nno json\n", "")
	run(t, "failed", "show", "demo", "4", "--nats", b.url).expect(t, 0, "(3 B that are no text)", "")
	run(t, "failed", "show", "demo", "2", "--nats", b.url).expect(t, 2, "", "run demo has no dead letter 2")
}

func TestDeadLettersAreReplayedAndDropped(t *testing.T) {
	b := startBroker(t)
	o := startOrchestrator(t, b)
	run(t, "failed", "replay", "demo", "3", "5", "--nats", b.url).expect(t, 0, "2 replayed in epoch 2", "runs wait demo")
	if got := string(o.bodies[control.SubjectReplay]); got != `{"sequences":[3,5]}` {
		t.Errorf("the body was %s", got)
	}
	run(t, "failed", "drop", "demo", "--code", "timeout", "--nats", b.url).expect(t, 0, "3 dropped", "")
	if got := string(o.bodies[control.SubjectDrop]); got != `{"code":"timeout"}` {
		t.Errorf("the body was %s", got)
	}
}

func TestFailuresOfADataset(t *testing.T) {
	dir := t.TempDir()
	text := `{"kind":"cell","user_id":"u1","pitc_timestamp":"2025-01-31T12:00:00Z","family":"credit","stage":"fs-fast","code":"timeout","reason":"no answer","attempts":5,"at":"2025-02-01T00:00:00Z"}
{"kind":"record","user_id":"u2","pitc_timestamp":"yesterday","family":"","stage":"ingest","code":"bad_record","reason":"no time","attempts":1,"at":"2025-02-01T00:00:00Z"}
`
	if err := os.WriteFile(filepath.Join(dir, "_failures.jsonl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "failed", "list", "--dir", dir).expect(t, 0, "1   cell     u1        2025-01-31T12:00:00Z   credit   fs-fast   timeout", "")
	run(t, "failed", "list", "--dir", dir, "--code", "bad_record", "--output", "json").expect(t, 0, `"line": 2`, "")
	run(t, "failed", "list", "--dir", dir, "--limit", "1").expect(t, 0, "timeout", "there are more")
	run(t, "failed", "show", "--dir", dir, "2").expect(t, 0, `"pitc_timestamp": "yesterday"`, "")
	run(t, "failed", "show", "--dir", dir, "3").expect(t, 2, "", "has no line 3")
}

func TestStreams(t *testing.T) {
	b := startBroker(t)
	if err := b.js.DeleteStream(t.Context(), streams.Failed); err != nil {
		t.Fatal(err)
	}
	run(t, "failed", "list", "demo", "--nats", b.url).expect(t, 2, "", "fff streams apply")
	run(t, "streams", "apply", "--nats", b.url).expect(t, 0, "", "streams are in place")
	run(t, "failed", "list", "demo", "--nats", b.url).expect(t, 0, "SEQ", "")
	run(t, "streams", "show").expect(t, 0, "FFF_WRITER", "")
	run(t, "streams", "show", "--output", "json").expect(t, 0, `"fff.writer.*"`, "")
	dir := t.TempDir()
	run(t, "streams", "export", dir).expect(t, 0, filepath.Join(dir, "streams", "FFF_WRITER.json"), "")
	if data, err := os.ReadFile(filepath.Join(dir, "consumers", "writer.json")); err != nil || !json.Valid(data) {
		t.Errorf("the exported consumer is %s (%v)", data, err)
	}
}

func TestConfig(t *testing.T) {
	t.Setenv("FFF_NATS_URL", "nats://there:4222")
	t.Setenv("FFF_NATS_URI", "nats://there:4222")
	run(t, "config").expect(t, 0, "nats://there:4222   environment", "FFF_NATS_URI is set, but no setting has that name")
	run(t, "config", "--output", "json").expect(t, 0, `"variable": "FFF_NATS_URL"`, "")
	run(t, "version").expect(t, 0, "fff ", "")
}

func TestSandbox(t *testing.T) {
	t.Setenv("FFF_SANDBOX_DYNAMODB_ADDR", "127.0.0.1:0")
	t.Setenv("FFF_SANDBOX_FEATURE_SERVICE_ADDR", "127.0.0.1:0")
	c := newCommand("", system.Start)
	done := make(chan result, 1)
	go func() { done <- c.run(t, "sandbox", "-f", write(t, "run.yaml", runYAML)) }()
	await(t, "the sandbox is up", func() bool { return strings.Contains(c.err.String(), "the sandbox is up") })
	c.signals <- os.Interrupt
	(<-done).expect(t, 0, "AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:", "")
}

func TestUp(t *testing.T) {
	b := startBroker(t)
	var failed chan error
	start := func(ctx context.Context, o allinone.Options) (*session, error) {
		c := newCommand("", system.Start)
		s, err := c.app.connect(ctx, b.url)
		if err == nil {
			s.Failed = failed
		}
		return s, err
	}
	for _, end := range []struct {
		do   func(*command)
		code int
		want string
	}{
		{func(c *command) { c.signals <- os.Interrupt }, 0, "stopping"},
		{func(*command) { failed <- control.Errorf(control.CodeInternal, "writer: the disk is full") }, 1, "the disk is full"},
	} {
		failed = make(chan error, 1)
		c := newCommand("", start)
		done := make(chan result, 1)
		go func() { done <- c.run(t, "up", "--port", "0") }()
		await(t, "the system is up", func() bool { return strings.Contains(c.err.String(), "the system is up") })
		end.do(c)
		(<-done).expect(t, end.code, b.url, end.want)
	}
}
