package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	fsfast "github.com/fastfeaturefetch/fff/services/fs-fast"
	fsslow "github.com/fastfeaturefetch/fff/services/fs-slow"
	"github.com/fastfeaturefetch/fff/services/ingest"
	"github.com/fastfeaturefetch/fff/services/orchestrator"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/services/writer"
	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/runner"
	shared "github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/streams"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// natsOptions reads a server's configuration as the server does.
func natsOptions(t *testing.T, path string) *server.Options {
	t.Helper()
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func natsConfig(t *testing.T, name string) *server.Options {
	t.Helper()
	return natsOptions(t, filepath.Join(root(t), "deploy", "nats", name))
}

// startNATS starts a server as configured, but for where it listens and stores.
func startNATS(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s := launchNATS(t, o)
	if !s.ReadyForConnections(harness.Patience) {
		t.Fatal("the server takes no connections")
	}
	return s
}

// launchNATS is startNATS without waiting for it.
func launchNATS(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.HTTPPort, o.StoreDir, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, 0, t.TempDir(), true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// setPasswords gives every user the password "secret".
func setPasswords(t *testing.T) {
	t.Helper()
	for _, s := range services {
		t.Setenv(strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))+"_PASSWORD", "secret")
	}
	t.Setenv("CLIENT_PASSWORD", "secret")
	t.Setenv("SYSTEM_PASSWORD", "secret")
}

func TestNATSConfigurationsAgree(t *testing.T) {
	setPasswords(t)
	t.Setenv("SERVER_NAME", "nats-1")
	var sum int64
	for _, c := range streams.Configs() {
		sum += c.MaxBytes
	}
	for _, name := range []string{"nats.conf", "secure.conf", "cluster.conf"} {
		o := natsConfig(t, name)
		if o.MaxPayload != broker.MaxPayload {
			t.Errorf("%s: max_payload is %d, want %d", name, o.MaxPayload, broker.MaxPayload)
		}
		if !o.JetStream || !o.SyncAlways || o.StoreDir != "/data" {
			t.Errorf("%s: JetStream %v in %s, sync_interval always %v", name, o.JetStream, o.StoreDir, o.SyncAlways)
		}
		if o.JetStreamMaxStore < sum {
			t.Errorf("%s: the streams may take %d bytes, max_file_store is %d", name, sum, o.JetStreamMaxStore)
		}
	}
	if o := natsConfig(t, "cluster.conf"); o.Cluster.Name != "fff" || len(o.Routes) != 3 || o.ServerName != "nats-1" {
		t.Errorf("cluster %q of %v, server %q", o.Cluster.Name, o.Routes, o.ServerName)
	}
}

// violations collects what the server refused, by user.
type violations struct {
	mu  sync.Mutex
	all []string
}

func (v *violations) option(user string) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.all = append(v.all, user+": "+err.Error())
		}
	})
}

func (v *violations) list() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all
}

// connect connects as a service does that is told who it is.
func connect(t *testing.T, url, user string, v *violations) *broker.Client {
	t.Helper()
	nc, err := broker.Connect(t.Context(), settings.NATS{URL: url, InboxPrefix: "_INBOX." + user}, user, zerolog.Nop(), v.option(user))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c, err := broker.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func natsURL(s *server.Server, user string) string {
	return strings.Replace(s.ClientURL(), "nats://", fmt.Sprintf("nats://%s:secret@", user), 1)
}

// TestEveryServiceMayDoItsWork runs a job, some of whose cells fail, with every service as
// its own user: the server must have nothing to refuse.
func TestEveryServiceMayDoItsWork(t *testing.T) {
	setPasswords(t)
	s := startNATS(t, natsConfig(t, "secure.conf"))
	j := harness.NewJob(t, 200)
	j.Lanes = "max_attempts: 1"
	backends := harness.NewBackends(t, j)
	backends.SetFaults(sandbox.Faults{Features: func(r *featureservice.Request) featureservice.Fault {
		if slices.Contains(r.Families, "statement") {
			return featureservice.Fault{Status: 500}
		}
		return featureservice.Fault{}
	}})
	var v violations
	startServices(t, j, 1, func(user string) *broker.Client { return connect(t, natsURL(s, user), user, &v) })

	env := harness.Env{"FFF_NATS_INBOX_PREFIX": "_INBOX.client"}
	url := natsURL(s, "client")
	harness.Run(t, env, "submit", "-f", j.RunFile(t), "--records", j.JSONL(t), "--nats", url, "--wait", "--progress", "plain").Expect(t, 3)
	j.Verify(t, 3)
	harness.Run(t, env, "failed", "list", j.Run, "--nats", url).Expect(t, 0)
	backends.SetFaults(sandbox.Faults{})
	harness.Run(t, env, "failed", "replay", j.Run, "--all", "--nats", url).Expect(t, 0)
	harness.Run(t, env, "runs", "wait", j.Run, "--nats", url).Expect(t, 0)
	j.Verify(t, 0)
	harness.Run(t, env, "runs", "list", "--nats", url).Expect(t, 0)
	for _, refused := range v.list() {
		t.Errorf("refused to %s", refused)
	}
}

// startServices starts two of each service for a job, each with a connection of its own.
func startServices(t *testing.T, j *harness.Job, replicas int, connect func(user string) *broker.Client) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": j.Env["AWS_ENDPOINT_URL_DYNAMODB"],
		"AWS_ACCESS_KEY_ID":         "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1",
	} {
		t.Setenv(name, value)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	make := map[string]func(shared.Deps) (shared.Service, error){
		"orchestrator": func(d shared.Deps) (shared.Service, error) {
			c := config[orchestrator.Config](t)
			c.Replicas = replicas
			return orchestrator.New(c, d), nil
		},
		"ingest": func(d shared.Deps) (shared.Service, error) { return ingest.New(config[ingest.Config](t), d), nil },
		"dynamo-fetcher": func(d shared.Deps) (shared.Service, error) {
			return dynamofetcher.New(ctx, config[dynamofetcher.Config](t), d)
		},
		"fs-fast": func(d shared.Deps) (shared.Service, error) { return fsfast.New(config[fsfast.Config](t), d), nil },
		"fs-slow": func(d shared.Deps) (shared.Service, error) { return fsslow.New(config[fsslow.Config](t), d), nil },
		"writer":  func(d shared.Deps) (shared.Service, error) { return writer.New(config[writer.Config](t), d), nil },
	}
	for _, known := range services {
		for range 2 {
			one, err := make[known.name](shared.Deps{
				Client: connect(known.name), Instance: shared.NewInstance(),
				Metrics: runner.NewMetrics(prometheus.NewRegistry()), Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel), Grace: time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() {
				if err := one.Run(ctx); err != nil {
					t.Errorf("%s: %v", known.name, err)
				}
			})
		}
	}
}

// config gives a service's settings by default.
func config[C any](t *testing.T) C {
	t.Helper()
	var c C
	if err := settings.Defaults(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAWorkerMayDoNothingElse tries what a stolen password of a worker would be used for.
func TestAWorkerMayDoNothingElse(t *testing.T) {
	setPasswords(t)
	s := startNATS(t, natsConfig(t, "secure.conf"))
	admin := connect(t, natsURL(s, "orchestrator"), "orchestrator", &violations{})
	if err := streams.Ensure(t.Context(), admin.JS, 1); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		"fff.commits.demo", "fff.ingest.demo", "fff.dynamo.demo", "fff.open.demo", "$KV.FFF_RUNS.demo", "$KV.FFF_LEASES.leader",
		"$JS.API.STREAM.DELETE.FFF_WRITER", "$JS.API.STREAM.PURGE.FFF_WRITER", "$JS.API.CONSUMER.MSG.NEXT.FFF_DYNAMO.dynamo-demo",
	} {
		var v violations
		c := connect(t, natsURL(s, "writer"), "writer", &v)
		if err := c.NC.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "the server refuses "+subject, func() bool { return len(v.list()) > 0 })
	}
	for _, subject := range []string{"_INBOX.>", "fff.>", "fff.ingest.*"} {
		var v violations
		c := connect(t, natsURL(s, "writer"), "writer", &v)
		if _, err := c.NC.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "the server refuses to tell of "+subject, func() bool { return len(v.list()) > 0 })
	}
	if _, err := admin.JS.Stream(t.Context(), streams.Writer); err != nil {
		t.Errorf("the stream of the writers: %v", err)
	}
	stored, err := admin.JS.Stream(t.Context(), streams.Commits)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stored.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("the commit logs hold %+v (%v)", info, err)
	}
}

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
