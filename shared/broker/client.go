package broker

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Client is a connection and JetStream on it.
type Client struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// NewClient wraps a connection. Calls that bring no deadline of their own get 10 s.
func NewClient(nc *nats.Conn) (*Client, error) {
	js, err := jetstream.New(nc,
		jetstream.WithDefaultTimeout(10*time.Second),
		jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return &Client{NC: nc, JS: js}, nil
}
