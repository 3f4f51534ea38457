package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker"
)

// came sets what came into the broker.
func (r *result) came(t *broker.Traffic) {
	r.Messages, r.MessageBytes = r.perMillion(t.InMsgs), r.perMillion(t.InBytes)
	r.Stored = map[string]int64{}
	for stream, n := range t.Stored {
		r.Stored[stream] = r.perMillion(n)
	}
}

func (r *result) perMillion(n int64) int64 { return n * 1_000_000 / int64(r.Cells) }

// storedMessages gives the messages of all streams.
func (r *result) storedMessages() (n int64) {
	for _, of := range r.Stored {
		n += of
	}
	return n
}

// embeddedTraffic finds in the log of an all-in-one what came into its broker, which
// it says when it ends.
func embeddedTraffic(log []byte) (*broker.Traffic, error) {
	for line := range bytes.Lines(log) {
		var told struct {
			Traffic *broker.Traffic `json:"traffic"`
		}
		if json.Unmarshal(line, &told) == nil && told.Traffic != nil {
			return told.Traffic, nil
		}
	}
	return nil, errors.New("the log does not tell what came into the embedded broker")
}

// traffic asks a nats-server for what came into it.
func (r *result) traffic(ctx context.Context, port int) error {
	var all broker.Traffic
	var jsz struct {
		Accounts []struct {
			Streams []struct {
				Name  string `json:"name"`
				State struct {
					LastSeq int64 `json:"last_seq"`
				} `json:"state"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	var connz struct {
		Connections []struct {
			Name   string `json:"name"`
			InMsgs int64  `json:"in_msgs"`
		} `json:"connections"`
	}
	// Who has submitted the job has closed its connection.
	if err := errors.Join(ask(ctx, port, "varz", &all), ask(ctx, port, "jsz?streams=true", &jsz), ask(ctx, port, "connz?state=all", &connz)); err != nil {
		return err
	}
	all.Stored = map[string]int64{}
	for _, a := range jsz.Accounts {
		for _, s := range a.Streams {
			all.Stored[s.Name] = s.State.LastSeq
		}
	}
	r.came(&all)
	r.Sent = map[string]int64{}
	for _, c := range connz.Connections {
		name, _, _ := strings.Cut(c.Name, ".")
		if name == "fff" {
			name = submits
		}
		r.Sent[name] += r.perMillion(c.InMsgs)
	}
	return nil
}

// ask reads a page of the broker's monitoring.
func ask(ctx context.Context, port int, page string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/%s", port, page), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return json.NewDecoder(answer.Body).Decode(into)
}

// reachable waits until something listens on a port.
func reachable(ctx context.Context, port int) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("nats-server does not listen: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
