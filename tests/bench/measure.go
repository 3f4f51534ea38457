package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// result is one measured job.
type result struct {
	scenario
	Samples       int              `json:"samples"`
	Cells         int              `json:"cells"`
	Wall          float64          `json:"wall_seconds"`
	PerSecond     float64          `json:"families_per_second"`
	CPU           float64          `json:"cpu_seconds"` // of the pipeline and the broker, without the stub
	CPUPerMillion float64          `json:"cpu_seconds_per_million_families"`
	Processes     map[string]usage `json:"processes"`
	Stub          stub.Counted     `json:"stub"`
	StubCPU       float64          `json:"stub_cpu_seconds"`
	Messages      int64            `json:"messages_per_million_families,omitempty"` // into the broker; separate processes only
	MessageBytes  int64            `json:"message_bytes_per_million_families,omitempty"`
	Stored        map[string]int64 `json:"stored_per_million_families,omitempty"` // messages, by stream; the rest are pulls, acks and questions
	Sent          map[string]int64 `json:"sent_per_million_families,omitempty"`   // messages into the broker, by process
}

// peak gives the largest resident memory of a process.
func (r *result) peak() int64 {
	var most int64
	for _, u := range r.Processes {
		most = max(most, u.Peak)
	}
	return most
}

// measure runs the job of a scenario once.
func (p *programs) measure(ctx context.Context, s scenario, o *options) (*result, error) {
	dir, err := os.MkdirTemp("", "fff-bench-job-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	records, err := writeRecords(dir, o.samples)
	if err != nil {
		return nil, err
	}
	back, err := startStub(stub.Config{Layout: s.Layout, HitRatio: s.Hits, Features: features})
	if err != nil {
		return nil, err
	}
	job := filepath.Join(dir, "run.yaml")
	if err := os.WriteFile(job, []byte(s.runFile("http://"+back.addr+"/features", filepath.Join(dir, "out"))), 0o644); err != nil {
		return nil, err
	}
	env := []string{
		"AWS_ENDPOINT_URL_DYNAMODB=http://" + back.addr, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"FFF_HTTP_ADDR=off",
	}
	r := &result{scenario: s, Samples: o.samples, Cells: o.samples * families, Processes: map[string]usage{}}
	if s.Separate {
		err = p.apart(ctx, r, dir, job, records, env)
	} else {
		err = p.together(ctx, r, job, records, env)
	}
	u, counted, stubErr := back.finish()
	if err := errors.Join(err, stubErr); err != nil {
		return nil, err
	}
	r.Stub, r.StubCPU = counted, u.CPU
	for _, u := range r.Processes {
		r.CPU += u.CPU
	}
	r.PerSecond = float64(r.Cells) / r.Wall
	r.CPUPerMillion = r.CPU / float64(r.Cells) * 1e6
	return r, nil
}

// together runs the job in one process.
func (p *programs) together(ctx context.Context, r *result, job, records string, env []string) error {
	begin := time.Now()
	q, err := p.start("fff", io.Discard, env, "run", "-f", job, "--records", records, "--progress", "none")
	if err != nil {
		return err
	}
	u, err := q.wait(ctx)
	r.Wall = time.Since(begin).Seconds()
	r.Processes["fff"] = u
	return err
}

// apart runs the job with each service in a process of its own, beside a nats-server.
func (p *programs) apart(ctx context.Context, r *result, dir, job, records string, env []string) (err error) {
	port, err := freePort()
	if err != nil {
		return err
	}
	monitor, err := freePort()
	if err != nil {
		return err
	}
	conf := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nhttp: 127.0.0.1:%d\nmax_payload: 2MB\njetstream {store_dir: %q, sync_interval: always}\n", port, monitor, filepath.Join(dir, "store"))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	url := "nats://127.0.0.1:" + strconv.Itoa(port)
	env = append(env, "FFF_NATS_URL="+url)
	var fleet []*process
	stop := func() (err error) {
		for _, q := range slices.Backward(fleet) {
			u, stopErr := q.stop()
			err = errors.Join(err, stopErr)
			r.Processes[q.name] = u
		}
		fleet = nil
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	server, err := p.start("nats-server", io.Discard, nil, "-c", conf)
	if err != nil {
		return err
	}
	fleet = append(fleet, server)
	if err := reachable(ctx, port); err != nil {
		return err
	}
	for _, name := range services {
		q, err := p.start("fff-"+name, io.Discard, env)
		if err != nil {
			return err
		}
		fleet = append(fleet, q)
	}
	begin := time.Now()
	client, err := p.start("fff", io.Discard, env, "run", "-f", job, "--records", records, "--nats", url, "--progress", "none")
	if err != nil {
		return err
	}
	u, err := client.wait(ctx)
	r.Wall = time.Since(begin).Seconds()
	r.Processes["fff (submits)"] = u
	if err != nil {
		return err
	}
	return r.traffic(ctx, monitor)
}

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

// median gives the try with the median cost.
func median(tries []result) result {
	slices.SortFunc(tries, func(a, b result) int {
		if a.CPUPerMillion < b.CPUPerMillion {
			return -1
		}
		return 1
	})
	return tries[len(tries)/2]
}
