// Package desk carries questions of the services to the orchestrator's leader: which cells
// are done already, what share of a feature service an instance may use, and how many read
// units.
package desk

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/sample"
)

const (
	subjectDone  = "fff.done."
	subjectShare = "fff.share"
	subjectSpend = "fff.spend"
)

// ErrNobody says that no leader answered; one will soon.
var ErrNobody = errors.New("no orchestrator leads; waiting for one")

// Done asks which families of samples are committed or have failed in the run's epoch.
// families is the number of families; bit i of a sample's set is the run file's family i.
func Done(ctx context.Context, c *broker.Client, run string, epoch uint64, keys []sample.Key, families int) ([][]uint64, error) {
	req := binary.LittleEndian.AppendUint64(nil, epoch)
	for _, k := range keys {
		req = append(req, k[:]...)
	}
	reply, err := request(ctx, c, subjectDone+run, req)
	if err != nil {
		return nil, err
	}
	words := (families + 63) / 64
	if len(reply) != len(keys)*words*8 {
		return nil, fmt.Errorf("the orchestrator answers for another epoch or run file")
	}
	sets := make([][]uint64, len(keys))
	for i := range sets {
		sets[i] = make([]uint64, words)
		for w := range words {
			sets[i][w] = binary.LittleEndian.Uint64(reply[(i*words+w)*8:])
		}
	}
	return sets, nil
}

// ServeDone answers Done. done gives the sets, or an error when it cannot tell.
func ServeDone(c *broker.Client, done func(run string, epoch uint64, keys []sample.Key) ([][]uint64, error)) (stop func(), err error) {
	return c.Serve(subjectDone+"*", func(m *broker.Request) []byte {
		const key = len(sample.Key{})
		if len(m.Data) < 8 || (len(m.Data)-8)%key != 0 {
			return nil
		}
		keys := make([]sample.Key, (len(m.Data)-8)/key)
		for i := range keys {
			keys[i] = sample.Key(m.Data[8+i*key:])
		}
		sets, err := done(m.Subject[len(subjectDone):], binary.LittleEndian.Uint64(m.Data), keys)
		if err != nil {
			return nil
		}
		reply := []byte{}
		for _, s := range sets {
			for _, w := range s {
				reply = binary.LittleEndian.AppendUint64(reply, w)
			}
		}
		return reply
	})
}

// Share asks for a share of a feature service; both sides are JSON of package shares.
func Share(ctx context.Context, c *broker.Client, ask []byte) ([]byte, error) {
	return request(ctx, c, subjectShare, ask)
}

// ServeShare answers Share.
func ServeShare(c *broker.Client, answer func([]byte) []byte) (stop func(), err error) {
	return c.Serve(subjectShare, func(m *broker.Request) []byte { return answer(m.Data) })
}

// Spend asks for more of a run's read units.
func Spend(ctx context.Context, c *broker.Client, ask budget.Ask) (answer budget.Answer, err error) {
	data, err := json.Marshal(ask)
	if err != nil {
		return answer, fmt.Errorf("ask for read units: %w", err)
	}
	reply, err := request(ctx, c, subjectSpend, data)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return answer, fmt.Errorf("ask for read units: %w", err)
	}
	return answer, nil
}

// ServeSpend answers Spend.
func ServeSpend(c *broker.Client, answer func(budget.Ask) budget.Answer) (stop func(), err error) {
	return c.Serve(subjectSpend, func(m *broker.Request) []byte {
		var ask budget.Ask
		if json.Unmarshal(m.Data, &ask) != nil {
			return nil
		}
		reply, _ := json.Marshal(answer(ask)) // a number that is finite
		return reply
	})
}

func request(ctx context.Context, c *broker.Client, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := c.NC.RequestWithContext(ctx, subject, data)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return nil, ErrNobody
	}
	if err != nil {
		return nil, fmt.Errorf("ask the orchestrator on %s: %w", subject, err)
	}
	return m.Data, nil
}
