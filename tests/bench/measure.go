package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/fastfeaturefetch/fff/tests/bench/stub"
)

// result is one measured job.
type result struct {
	scenario
	Samples       int                `json:"samples"`
	Cells         int                `json:"cells"`
	Wall          float64            `json:"wall_seconds"`
	PerSecond     float64            `json:"families_per_second"`
	CPU           float64            `json:"cpu_seconds"` // of the pipeline and the broker, without the stub
	CPUPerMillion float64            `json:"cpu_seconds_per_million_families"`
	Processes     map[string]usage   `json:"processes"`
	Stub          stub.Counted       `json:"stub"`
	StubCPU       float64            `json:"stub_cpu_seconds"`
	Messages      int64              `json:"messages_per_million_families"` // into the broker
	MessageBytes  int64              `json:"message_bytes_per_million_families"`
	Stored        map[string]int64   `json:"stored_per_million_families"`         // messages, by stream; the rest are pulls, acks and questions
	Sent          map[string]int64   `json:"sent_per_million_families,omitempty"` // messages into the broker, by process; separate ones only
	Factor        float64            `json:"speed_factor"`                        // of the machine, around it; see calibrate
	Stages        map[string]float64 `json:"cpu_seconds_by_stage_per_million_families,omitempty"`
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
func (p *programs) measure(ctx context.Context, s scenario, samples int) (*result, error) {
	return p.try(ctx, s, samples, nil)
}

// trial is what else a job is to do.
type trial struct {
	profile string              // file of a CPU profile of the all-in-one process
	during  func(q *process)    // called when the all-in-one process has started
	after   func(*output) error // looks at what the job has left behind
}

// output is what a job has left behind.
type output struct{ dataset, records string }

// try runs the job of a scenario once.
func (p *programs) try(ctx context.Context, s scenario, samples int, t *trial) (*result, error) {
	if t == nil {
		t = &trial{}
	}
	dir, err := os.MkdirTemp(p.dir, "job-")
	if err != nil {
		return nil, err
	}
	defer p.leave(dir, samples)
	records, err := writeRecords(dir, samples)
	if err != nil {
		return nil, err
	}
	cfg := s.delays
	cfg.Layout, cfg.HitRatio, cfg.Features = s.Layout, s.Hits, features
	back, err := startStub(cfg)
	if err != nil {
		return nil, err
	}
	job, out := filepath.Join(dir, "run.yaml"), filepath.Join(dir, "out")
	if err := os.WriteFile(job, []byte(s.runFile("http://"+back.addr+"/features", out)), 0o644); err != nil {
		return nil, err
	}
	env := []string{
		"AWS_ENDPOINT_URL_DYNAMODB=http://" + back.addr, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench",
		"FFF_HTTP_ADDR=off", "FFF_CPU_PROFILE=" + t.profile,
	}
	r := &result{scenario: s, Samples: samples, Cells: samples * families, Processes: map[string]usage{}}
	if s.Separate {
		err = p.apart(ctx, r, dir, job, records, env)
	} else {
		err = p.together(ctx, r, t, job, records, env)
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
	if t.after != nil {
		err = t.after(&output{filepath.Join(out, "bench"), records})
	}
	return r, err
}

// together runs the job in one process.
func (p *programs) together(ctx context.Context, r *result, t *trial, job, records string, env []string) error {
	program := "fff"
	if r.OneAMessage {
		program = oneAMessage
	}
	env = append(env, "FFF_LOG_LEVEL=debug", "FFF_LOG_FORMAT=json") // a few lines, of which one tells the traffic
	begin := time.Now()
	q, err := p.start(program, io.Discard, env, "run", "-f", job, "--records", records, "--progress", "none")
	if err != nil {
		return err
	}
	if t.during != nil {
		t.during(q)
	}
	u, err := q.wait(ctx)
	r.Wall = time.Since(begin).Seconds()
	r.Processes["fff"] = u
	if err != nil {
		return err
	}
	came, err := embeddedTraffic(q.stderr.Bytes())
	if err != nil {
		return err
	}
	r.came(came)
	return nil
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
	r.Processes[submits] = u
	if err != nil {
		return err
	}
	return r.traffic(ctx, monitor)
}

// cost is what tries are compared by.
func (r result) cost() float64 { return r.CPUPerMillion }

// median gives the try with the median cost.
func median[T interface{ cost() float64 }](tries []T) T {
	slices.SortFunc(tries, func(a, b T) int { return cmp.Compare(a.cost(), b.cost()) })
	return tries[len(tries)/2]
}
