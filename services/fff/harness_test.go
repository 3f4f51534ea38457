package fff

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/fetch"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/streams"
)

// testBroker is a real broker with the system's streams.
type testBroker struct {
	url string
	nc  *nats.Conn
	js  jetstream.JetStream
}

func startBroker(t *testing.T) *testBroker {
	t.Helper()
	server, err := broker.Start(broker.EmbeddedOptions{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop the broker: %v", err)
		}
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := streams.Ensure(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	return &testBroker{url: server.URL(), nc: nc, js: js}
}

// stub stands in for the real one: it opens runs, counts their records, and
// ends them as status says.
type stub struct {
	t *testing.T
	b *testBroker

	mu       sync.Mutex
	status   control.Status
	requests []string // subjects, without the status requests
	bodies   map[string][]byte
	takeOver bool
	gone     bool // the test is over; requests that were still on their way get no answer

	// onStatus changes the status before it is given; called with the lock held.
	onStatus func(*control.Status)
	// refuse gives the error of a request; nil = none.
	refuse func(subject string) error
}

// startOrchestrator starts one whose runs complete as soon as they are sealed.
func startOrchestrator(t *testing.T, b *testBroker) *stub {
	o := &stub{t: t, b: b, bodies: map[string][]byte{}, refuse: func(string) error { return nil }}
	o.onStatus = func(s *control.Status) {
		if s.InputSealed && !s.Ended() {
			o.end(control.Completed)
		}
	}
	for subject, answer := range map[string]func(run string, m *nats.Msg) (any, error){
		control.SubjectOpen: o.open, control.SubjectClose: o.close,
		control.SubjectStatus:   func(string, *nats.Msg) (any, error) { o.onStatus(&o.status); return o.status, nil },
		control.SubjectList:     func(string, *nats.Msg) (any, error) { return []control.Status{o.status}, nil },
		control.SubjectCancel:   func(string, *nats.Msg) (any, error) { o.end(control.Cancelled); return struct{}{}, nil },
		control.SubjectTeardown: func(string, *nats.Msg) (any, error) { return struct{}{}, nil },
		control.SubjectReplay:   func(string, *nats.Msg) (any, error) { return control.Replayed{Replayed: 2, Epoch: 2}, nil },
		control.SubjectDrop:     func(string, *nats.Msg) (any, error) { return control.Dropped{Dropped: 3}, nil },
	} {
		pattern := subject + ".*"
		if subject == control.SubjectList {
			pattern = subject
		}
		_, err := b.nc.Subscribe(pattern, func(m *nats.Msg) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.gone {
				return
			}
			if subject != control.SubjectStatus {
				o.requests = append(o.requests, m.Subject)
			}
			o.bodies[subject] = m.Data
			err := o.refuse(subject)
			var reply any
			if err == nil {
				reply, err = answer(strings.TrimPrefix(m.Subject, subject+"."), m)
			}
			if err := m.Respond(control.EncodeReply(reply, err)); err != nil {
				t.Errorf("reply to %s: %v", m.Subject, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.gone = true
	})
	return o
}

func (o *stub) open(run string, m *nats.Msg) (any, error) {
	o.takeOver = m.Header.Get(control.HeaderTakeOver) == "true"
	if o.status.Run == "" {
		o.status = control.Status{Run: run, Epoch: 1, State: control.Running, StartedAt: time.Now()}
	}
	if o.status.Ended() { // what is published now comes to the same input, as with a run that was interrupted
		o.status.State, o.status.Teardown, o.status.InputSealed = control.Running, "", false
	}
	return control.Opened{Run: run, Epoch: o.status.Epoch}, nil
}

func (o *stub) close(_ string, m *nats.Msg) (any, error) {
	var r control.CloseRequest
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return nil, err
	}
	seen := int64(len(o.b.lines(o.t, o.status.Run)))
	if seen == r.Records {
		o.status.InputSealed, o.status.InputHash, o.status.RecordsSeen = true, r.InputHash, seen
	}
	return control.Closed{Sealed: seen == r.Records, RecordsSeen: seen}, nil
}

func (o *stub) end(state string) {
	o.status.State, o.status.Teardown, o.status.EndedAt = state, control.TeardownDone, time.Now()
}

// asked gives the requests so far but for those about the status.
func (o *stub) asked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.requests, " ")
}

// batches gives the distinct batches of a run.
func (b *testBroker) batches(t *testing.T, run string) []*jetstream.RawStreamMsg {
	t.Helper()
	stream, err := b.js.Stream(context.WithoutCancel(t.Context()), streams.Ingest)
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	seen := map[string]bool{}
	for seq := uint64(1); ; {
		m, err := stream.GetMsg(context.WithoutCancel(t.Context()), seq, jetstream.WithGetMsgSubject("fff.ingest."+run))
		if err != nil {
			return all
		}
		if id := m.Header.Get(jetstream.MsgIDHeader); !seen[id] {
			seen[id] = true
			all = append(all, m)
		}
		seq = m.Sequence + 1
	}
}

// lines gives the records of a run's distinct batches.
func (b *testBroker) lines(t *testing.T, run string) []string {
	t.Helper()
	var all []string
	for _, m := range b.batches(t, run) {
		all = append(all, strings.Split(strings.TrimSuffix(string(m.Data), "\n"), "\n")...)
	}
	return all
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// command is a run of the command line in a test.
type command struct {
	app     *app
	signals chan os.Signal
	out     bytes.Buffer
	err     safeBuffer
}

func newCommand(stdin string, start starter) *command {
	c := &command{signals: make(chan os.Signal, 2)}
	c.app = &app{
		stdin: strings.NewReader(stdin), stdout: &c.out, stderr: &switchWriter{w: &c.err}, getenv: os.LookupEnv, start: start, self: os.Executable,
		pace: fetch.Pace{Poll: 5 * time.Millisecond, Cancel: 20 * time.Second, Stop: 20 * time.Second, Silence: 20 * time.Second},
	}
	return c
}

func (c *command) run(t *testing.T, args ...string) result {
	t.Helper()
	code := c.app.main(t.Context(), args, c.signals)
	return result{code, c.out.String(), c.err.String()}
}

// run runs one command to its end.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return newCommand("", system.Start).run(t, args...)
}

// expect fails the test unless the command ended with the code and its output holds the
// texts.
func (r result) expect(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) {
		t.Fatalf("exit %d, want %d\n--- stdout (want %q)\n%s\n--- stderr (want %q)\n%s", r.code, code, stdout, r.stdout, stderr, r.stderr)
	}
}

// safeBuffer is a buffer that may be read while it is written to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// write makes a file in a directory of the test and gives its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// await waits for a condition that must come true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}

const runYAML = `run: demo
families:
  - {id: credit, cached: false}
  - {id: sms, cached: false}
feature_service: {url: "http://127.0.0.1:8090/features"}
`
