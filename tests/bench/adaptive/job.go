package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/tests/bench/release"
)

// samples of a job are more than any of them comes to.
const samples = 500_000

// programs are what is measured, and the records of every job.
type programs struct{ dir string }

func build(ctx context.Context) (*programs, error) {
	dir, err := release.FFF(ctx, "fff-adaptive-")
	if err != nil {
		return nil, err
	}
	p := &programs{dir}
	var b bytes.Buffer
	b.WriteString("user_id,pitc_timestamp\n")
	for n := range samples {
		fmt.Fprintf(&b, "user-%07d,2025-01-31T12:00:00Z\n", n)
	}
	return p, os.WriteFile(p.records(), b.Bytes(), 0o644)
}

func (p *programs) records() string { return filepath.Join(p.dir, "records.csv") }
func (p *programs) remove()         { _ = os.RemoveAll(p.dir) }

// job is a job under way, and the service that it asks.
type job struct {
	service  *featureservice.Server
	recorder *recorder
	http     *http.Server
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	ended    chan error
	dir      string
}

// start starts a job with a limit on a service of its own.
func (p *programs) start(k *kind, capacity int, limit string) (j *job, err error) {
	cfg := k.service
	cfg.FeaturesPerFamily = 10
	cfg.Latency = func(string) featureservice.Range { return latency }
	j = &job{service: featureservice.New(cfg), ended: make(chan error, 1)}
	j.service.Declare([]runfile.Family{{ID: "family"}})
	k.set(j.service, capacity)
	j.recorder = newRecorder(j.service)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	j.http = &http.Server{Handler: j.recorder, ReadHeaderTimeout: time.Minute}
	go func() { _ = j.http.Serve(listener) }()
	if j.dir, err = os.MkdirTemp(p.dir, "job-"); err != nil {
		return nil, err
	}
	file := filepath.Join(j.dir, "run.yaml")
	text := fmt.Sprintf("run: adaptive\nfamilies:\n  - {id: family, cached: false}\nfeature_service: {url: \"http://%s/features\", fast: {max_in_flight: %s}}\noutput: {dir: %q}\n",
		listener.Addr(), limit, filepath.Join(j.dir, "out"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	j.cmd = exec.Command(filepath.Join(p.dir, "fff"), "run", "-f", file, "--records", p.records(), "--progress", "none")
	j.cmd.Stderr = &j.stderr
	j.cmd.Env = append(os.Environ(), "FFF_HTTP_ADDR=off")
	if err := j.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { j.ended <- j.cmd.Wait() }()
	return j, nil
}

// record gives what the service sees second by second, from the first answer on.
func (j *job) record(ctx context.Context, d time.Duration) ([]second, error) {
	if err := j.await(ctx, j.recorder.began); err != nil {
		return nil, err
	}
	j.recorder.clear()
	over := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	if err := j.await(ctx, over); err != nil {
		return nil, err
	}
	return j.recorder.take(int(d / time.Second)), nil
}

// await waits for something, or for the job to end before its time.
func (j *job) await(ctx context.Context, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	case err := <-j.ended:
		return errors.Join(fmt.Errorf("the job has ended too soon\n%s", strings.TrimSpace(j.stderr.String())), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j *job) end() {
	_ = j.cmd.Process.Kill() // what it has fetched is nothing to us
	select {
	case <-j.ended:
	case <-time.After(10 * time.Second):
	}
	_ = j.http.Close()
	_ = os.RemoveAll(j.dir)
}
