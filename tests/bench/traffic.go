package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// traffic asks the broker for what came into it.
func (r *result) traffic(ctx context.Context, port int) error {
	perMillion := func(n int64) int64 { return n * 1_000_000 / int64(r.Cells) }
	var varz struct {
		InMsgs  int64 `json:"in_msgs"`
		InBytes int64 `json:"in_bytes"`
	}
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
	if err := errors.Join(ask(ctx, port, "varz", &varz), ask(ctx, port, "jsz?streams=true", &jsz), ask(ctx, port, "connz", &connz)); err != nil {
		return err
	}
	r.Sent = map[string]int64{}
	for _, c := range connz.Connections {
		name, _, _ := strings.Cut(c.Name, ".")
		r.Sent[name] += perMillion(c.InMsgs)
	}
	r.Messages, r.MessageBytes = perMillion(varz.InMsgs), perMillion(varz.InBytes)
	r.Stored = map[string]int64{}
	for _, a := range jsz.Accounts {
		for _, s := range a.Streams {
			r.Stored[s.Name] = perMillion(s.State.LastSeq)
		}
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
