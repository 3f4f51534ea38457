// Package compose builds the images, brings docker-compose.yml up, and kills its containers
// in the middle of a run.
package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

func TestMain(m *testing.M) {
	if os.Getenv("FFF_COMPOSE") == "" {
		fmt.Println("compose: no container is started unless FFF_COMPOSE is set; `make compose` sets it")
		return
	}
	os.Exit(m.Run())
}

// project names the containers, volumes and images of the test.
const project = "fff-smoke"

// slow stretches the run, so that every service is killed in the middle of it, and has the
// broker wait less for instances that are dead.
const slow = `services:
  orchestrator: {environment: {FFF_ACK_WAIT: 5s}}
  sandbox: {environment: {FFF_SANDBOX_DYNAMODB_LATENCY: 250ms, FFF_SANDBOX_FAST_MIN: 20ms, FFF_SANDBOX_FAST_MAX: 40ms, FFF_SANDBOX_SLOW_MIN: 200ms, FFF_SANDBOX_SLOW_MAX: 400ms}}
  dynamo-fetcher: {environment: {FFF_DYNAMO_MAX_IN_FLIGHT: "4"}}
`

func TestEveryServiceIsKilledOnce(t *testing.T) {
	e := newEngine(t)
	up(t, e)
	submit := e.begin(t, e.with("run", "--rm", "-T", "fff", "submit", "-f", "examples/services.yaml", "--records", "examples/records.jsonl", "--wait", "--progress", "plain")...)
	defer func() {
		if t.Failed() {
			t.Log(e.do(e.with("logs", "--tail", "30")...))
		}
	}()

	for _, service := range append(harness.Services, "nats") {
		awaitProgress(t, e, submit)
		e.crash(t, e.containers(t, service)[0])
		t.Logf("one container of %s was killed, and runs again", service)
	}
	<-submit.ended
	t.Logf("%s", submit.out.String())
	if submit.err != nil {
		t.Fatalf("submit: %v", submit.err)
	}
	verdict := e.must(t, e.with("run", "--rm", "-T", "fff", "verify", "out/demo", "--records", "examples/records.jsonl")...)
	if !strings.HasPrefix(verdict, "exact:") {
		t.Errorf("verify says %q", verdict)
	}
	t.Log(verdict)
}

// up builds the images and brings up the compose file with two of each service.
func up(t *testing.T, e *engine) {
	t.Helper()
	override := filepath.Join(t.TempDir(), "slow.yml")
	if err := os.WriteFile(override, []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	services, nats := "fastfeaturefetch/fff:smoke", "fastfeaturefetch/nats:smoke"
	e.env = append(e.env, "SERVICES_IMAGE="+services, "NATS_IMAGE="+nats, "NATS_PORT=0")
	e.compose = append(e.compose, "-p", project, "--env-file", "deploy/sandbox.env", "-f", "docker-compose.yml", "-f", override)
	t.Cleanup(func() {
		for _, args := range [][]string{e.with("down", "-v", "--remove-orphans", "-t", "5"), {"docker", "rmi", "-f", services, nats}} {
			if out, err := e.do(args...); err != nil {
				t.Error(out, err)
			}
		}
	})
	e.must(t, "scripts/images.sh")
	args := e.with("up", "-d", "--no-build")
	for _, s := range harness.Services {
		args = append(args, "--scale", s+"=2")
	}
	e.must(t, args...)
	for _, s := range harness.Services {
		ids := e.containers(t, s)
		if len(ids) != 2 {
			t.Fatalf("%d containers of %s, want 2", len(ids), s)
		}
		for _, id := range ids {
			await(t, s+" is healthy", func() bool {
				health, err := e.do("docker", "inspect", "-f", "{{.State.Health.Status}}", id)
				return err == nil && health == "healthy"
			})
		}
	}
}

// awaitProgress waits until the run has come further than when it was asked, and has not
// ended: a container that is killed after the end proves nothing.
func awaitProgress(t *testing.T, e *engine, submit *job) {
	t.Helper()
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: "nats://" + e.must(t, e.with("port", "nats", "4222")...)}, "smoke", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	client, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	before := int64(-1)
	await(t, "the run goes on", func() bool {
		select {
		case <-submit.ended:
			t.Fatalf("the run has ended before every service was killed\n%s", submit.out.String())
		default:
		}
		status, err := control.NewClient(client).Status(t.Context(), "demo")
		if err != nil || status.State != control.Running && status.State != control.Draining {
			return false
		}
		out := int64(0)
		for _, s := range status.Stages {
			out += s.CellsOut
		}
		moved := before >= 0 && out != before
		before = out
		return moved
	})
}
