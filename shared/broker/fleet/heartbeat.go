package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/fastfeaturefetch/fff/shared/broker"
)

// Beat is what an instance says of itself every BeatInterval, on core NATS.
type Beat struct {
	Service  string              `json:"service"`
	Instance string              `json:"instance"`
	State    string              `json:"state"` // starting, ready, draining, stopped
	Version  string              `json:"version"`
	Runs     map[string]RunStats `json:"runs,omitempty"`
	Errors   int64               `json:"errors"` // failed attempts since it started

	Seen time.Time `json:"-"` // when the listener heard it
}

// RunStats counts what an instance did for a run since it started.
type RunStats struct {
	Epoch    uint64             `json:"epoch"`
	Messages int64              `json:"messages"` // settled
	In       int64              `json:"in"`       // cells asked for
	Out      int64              `json:"out"`      // cells handed on
	Failed   int64              `json:"failed"`   // cells dead-lettered
	Held     int64              `json:"held"`     // messages in hand
	Waiting  string             `json:"waiting,omitempty"`
	Units    map[string]float64 `json:"read_units,omitempty"` // by table

	Families map[string]FamilyStats  `json:"families,omitempty"`        // that cells were fetched for
	Attempts map[string]AttemptStats `json:"failed_attempts,omitempty"` // by failure code
}

// FamilyStats counts what became of a family's cells in a stage.
type FamilyStats struct {
	Fetched int64 `json:"fetched,omitempty"` // handed on to the writer
	Failed  int64 `json:"failed,omitempty"`  // dead-lettered

	// Only where a run leaves lanes to be found: how many answers of the feature service were
	// timed, and what the quicker ones took for each of their families.
	Timed int64         `json:"timed,omitempty"`
	Took  time.Duration `json:"took_ns,omitempty"`
}

// AttemptStats counts attempts that failed alike, those included that were made again.
type AttemptStats struct {
	Count int64  `json:"count"`
	Last  string `json:"last"` // reason of the last one, shortened
}

// BeatInterval is how often an instance says that it lives.
const BeatInterval = time.Second

const (
	beats     = "fff.heartbeat."
	instances = "fff.instance."
)

// Announce registers an instance with NATS micro, so that `nats micro ls` shows it, and
// sends its beats until ctx ends.
func Announce(ctx context.Context, c *broker.Client, name string, beat func() Beat) error {
	b := beat()
	svc, err := micro.AddService(c.NC, micro.Config{
		Name:         name,
		Version:      "0.1.0",
		Description:  "Fast Feature Fetch: " + name,
		Metadata:     map[string]string{"instance": b.Instance},
		StatsHandler: func(*micro.Endpoint) any { return beat() },
	})
	if err != nil {
		return fmt.Errorf("register %s with NATS micro: %w", name, err)
	}
	defer func() { _ = svc.Stop() }()
	err = svc.AddEndpoint("stats", micro.HandlerFunc(func(r micro.Request) { _ = r.RespondJSON(beat()) }),
		micro.WithEndpointSubject(instances+b.Instance),
		micro.WithEndpointQueueGroupDisabled())
	if err != nil {
		return fmt.Errorf("register %s with NATS micro: %w", name, err)
	}
	tick := time.NewTicker(BeatInterval)
	defer tick.Stop()
	for {
		send(c.NC, beat())
		select {
		case <-ctx.Done():
			last := beat()
			last.State = "stopped"
			send(c.NC, last)
			return nil
		case <-tick.C:
		}
	}
}

func send(nc *nats.Conn, b Beat) {
	if data, err := json.Marshal(b); err == nil {
		_ = nc.Publish(beats+b.Service+"."+b.Instance, data) // the next beat comes in a second
	}
}

// Listener remembers the last beat of every instance, those that fell silent included:
// what they did still counts.
type Listener struct {
	mu    sync.Mutex
	beats map[string]Beat
	sub   *nats.Subscription
	began time.Time
}

// Listen starts to listen.
func Listen(c *broker.Client) (*Listener, error) {
	l := &Listener{beats: map[string]Beat{}, began: time.Now()}
	sub, err := c.NC.Subscribe(beats+">", func(m *nats.Msg) {
		l.hear(m.Data)
	})
	if err != nil {
		return nil, fmt.Errorf("listen to heartbeats: %w", err)
	}
	l.sub = sub
	return l, nil
}

func (l *Listener) hear(data []byte) {
	var b Beat
	if json.Unmarshal(data, &b) != nil || b.Instance == "" {
		return
	}
	b.Seen = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beats[b.Instance] = b
}

// Beats gives the last beat of every instance heard.
func (l *Listener) Beats() []Beat {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Beat, 0, len(l.beats))
	for _, b := range l.beats {
		all = append(all, b)
	}
	return all
}

// Listened gives for how long it has listened.
func (l *Listener) Listened() time.Duration { return time.Since(l.began) }

// Ask has the live instances of a service say at once how they stand. One that does not
// answer soon keeps what it said last.
func (l *Listener) Ask(ctx context.Context, c *broker.Client, service string) {
	ctx, cancel := context.WithTimeout(ctx, 2*BeatInterval)
	defer cancel()
	for _, b := range l.Beats() {
		if b.Service != service || !b.Alive() {
			continue
		}
		if m, err := c.NC.RequestWithContext(ctx, instances+b.Instance, nil); err == nil {
			l.hear(m.Data)
		}
	}
}

// Stop ends the listening.
func (l *Listener) Stop() { _ = l.sub.Unsubscribe() }

// Alive tells whether the instance has spoken lately and has not said good-bye.
func (b *Beat) Alive() bool { return b.State != "stopped" && time.Since(b.Seen) < 4*BeatInterval }
