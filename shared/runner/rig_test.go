package runner_test

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/broker/brokertest"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

const runFile = `run: demo
families:
  - {id: credit, cached: false}
feature_service: {url: "http://127.0.0.1:8090/features"}
`

// prefetch is how many messages of a run wait for a worker if nothing else is said.
const prefetch = 4

type verdicts = []stage.Verdict[string]

// fake is a stage whose units are the words of a message.
type fake struct {
	do     func(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts
	units  func(m *stage.Message) ([]string, error)         // nil = the words
	letter func(m *stage.Message, word string) stage.Letter // nil = the word, one cell
}

func (f *fake) Units(m *stage.Message) ([]string, error) {
	if f.units != nil {
		return f.units(m)
	}
	return strings.Fields(string(m.Data)), nil
}

func (f *fake) Do(ctx context.Context, m *stage.Message, word string, out stage.Outputs) verdicts {
	return f.do(ctx, m, word, out)
}

func (f *fake) Letter(m *stage.Message, word string) stage.Letter {
	if f.letter != nil {
		return f.letter(m, word)
	}
	return stage.Letter{Kind: stage.KindCell, Data: []byte(word), ContentType: "text/plain", Count: 1}
}

// failed is the verdict on a word.
func failed(word string, err error) verdicts { return verdicts{{Rest: word, Err: err}} }

// cell hands on a cell that carries the word as its user id.
func cell(ctx context.Context, word string, out stage.Outputs) error {
	return out.Cells(ctx, packed.FeatureService, func(b *packed.Builder) error {
		addCell(b, word, word)
		return nil
	})
}

func addCell(b *packed.Builder, user, value string) {
	sample := b.Sample(user, 1)
	k := b.Block("credit")
	k.Begin()
	k.String([]byte("value"), []byte(value))
	k.End(sample)
}

// handOn is a stage that makes a cell of each word.
func handOn(ctx context.Context, _ *stage.Message, word string, out stage.Outputs) verdicts {
	if err := cell(ctx, word, out); err != nil {
		return failed(word, err)
	}
	return nil
}

// rig is a broker with the run demo opened, for a runner of the dynamo stage.
type rig struct {
	*brokertest.Broker
	t   testing.TB
	log zerolog.Logger // of the runners
}

func newRig(t *testing.T) *rig {
	t.Parallel()
	return newRigOf(t)
}

// newRigOf is newRig for a benchmark, too.
func newRigOf(t testing.TB) *rig {
	r := &rig{Broker: brokertest.Start(t), t: t, log: zerolog.Nop()}
	r.OpenRun("demo", 1, runFile)
	return r
}

// running is a runner at work.
type running struct {
	*runner.Runner[string]
	Client *broker.Client
	t      testing.TB
	cancel context.CancelFunc
	ended  chan struct{}
}

// start starts a runner with a connection of its own; it is stopped when the test ends.
func (r *rig) start(cfg runner.Config, st *fake) *running {
	r.t.Helper()
	return r.startOn(r.Connect(), cfg, st)
}

func (r *rig) startOn(c *broker.Client, cfg runner.Config, st *fake) *running {
	cfg.Stage, cfg.Service, cfg.Instance = cmp.Or(cfg.Stage, stage.Dynamo), "test", "one"
	if cfg.Linger == 0 {
		cfg.Linger = 2 * time.Millisecond
	}
	if cfg.Workers == 0 {
		cfg.Workers = 8
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	run := &running{
		Runner: runner.New(cfg, st, c, runner.NewMetrics(prometheus.NewRegistry()), r.log),
		Client: c, t: r.t, cancel: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(run.ended)
		if err := run.Run(ctx); err != nil {
			r.t.Errorf("the runner ended with %v", err)
		}
	}()
	r.t.Cleanup(run.stop)
	return run
}

// stop asks the runner to stop and waits until it has.
func (r *running) stop() {
	r.cancel()
	<-r.ended
}

// waiting gives what the run demo waits for.
func (r *running) waiting() string { return r.Beat().Runs["demo"].Waiting }

// send puts a message of words on the queue of the run demo.
func (r *rig) send(words string) { r.Publish("fff.dynamo.demo", []byte(words)) }

// queued tells how many messages of the run are not acked.
func (r *rig) queued() int { return r.Count(streams.Dynamo, "fff.dynamo.demo") }

func (r *rig) awaitQueued(n int) {
	r.t.Helper()
	brokertest.Await(r.t, "the queue holds "+strconv.Itoa(n), func() bool { return r.queued() == n })
}

// consumer gives what the broker says of the run's consumer.
func (r *rig) consumer() *jetstream.ConsumerInfo {
	r.t.Helper()
	c, err := r.JS.Consumer(r.t.Context(), streams.Dynamo, "dynamo-demo")
	if err != nil {
		r.t.Fatal(err)
	}
	return c.CachedInfo()
}

// cells gives the user ids of the cells that reached the writer's queue, with how often.
func (r *rig) cells() map[string]int {
	r.t.Helper()
	all := map[string]int{}
	for _, m := range r.Stored(streams.Writer, "fff.writer.demo") {
		var p packed.Message
		if err := packed.Decode(m.Data, &p); err != nil {
			r.t.Fatal(err)
		}
		for i := range p.Blocks {
			for _, n := range p.Blocks[i].SampleOf {
				all[string(p.Samples[n].UserID)]++
			}
		}
	}
	return all
}

// letters gives the dead letters of the run.
func (r *rig) letters() []*jetstream.RawStreamMsg {
	return r.Stored(streams.Failed, "fff.failed.demo.dynamo")
}

// log remembers words in the order of their coming.
type log struct {
	mu    sync.Mutex
	words []string
}

func (l *log) add(word string) {
	l.mu.Lock()
	l.words = append(l.words, word)
	l.mu.Unlock()
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.words...)
}

func (l *log) count(word string) int {
	n := 0
	for _, w := range l.all() {
		if w == word {
			n++
		}
	}
	return n
}
