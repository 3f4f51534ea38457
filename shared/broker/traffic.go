package broker

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Traffic is what has come into a broker, under the names of nats-server's monitoring.
type Traffic struct {
	InMsgs  int64            `json:"in_msgs"`  // since it started; acks, pulls and questions are messages too
	InBytes int64            `json:"in_bytes"` // of them
	Stored  map[string]int64 `json:"stored"`   // messages that a stream has taken since it was made
}

// Traffic asks the server, which counts all of that by itself.
func (e *Embedded) Traffic() (t Traffic, err error) {
	all, err := e.srv.Varz(nil)
	if err != nil {
		return t, fmt.Errorf("traffic of the embedded broker: %w", err)
	}
	js, err := e.srv.Jsz(&server.JSzOptions{Streams: true})
	if err != nil {
		return t, fmt.Errorf("streams of the embedded broker: %w", err)
	}
	t = Traffic{InMsgs: all.InMsgs, InBytes: all.InBytes, Stored: map[string]int64{}}
	for _, account := range js.AccountDetails {
		for _, s := range account.Streams {
			t.Stored[s.Name] = int64(s.State.LastSeq)
		}
	}
	return t, nil
}
