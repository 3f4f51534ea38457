package harness

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fastfeaturefetch/fff/shared/testport"
)

// Services are the services of the system, in the order in which a cell passes them.
var Services = []string{"orchestrator", "ingest", "dynamo-fetcher", "fs-fast", "fs-slow", "writer"}

// buildFleet builds every service, the stand-ins and the NATS server, whose version is the
// one that the system embeds.
var buildFleet = sync.OnceValue(func() error {
	return errors.Join(build(raced, "./services/..."), build(false, "github.com/nats-io/nats-server/v2"))
})

// Fleet is the system in processes of its own: a NATS server, instances of every service,
// and stand-ins for the backends. Each instance reaches the broker over a link of its own.
type Fleet struct {
	URL     string // of the broker, without a link between
	Account string // URL of the stand-ins for DynamoDB and RDS
	Broker  *Instance
	Sandbox *Instance

	t       testing.TB
	dir     string
	job     *Job
	env     Env
	numbers map[string]int // instances made so far, by service
	all     []*Instance
}

// NewFleet starts a broker and stand-ins and points the job at them; Add adds the services,
// which get the job's settings. Logs and stores of a failed test are kept.
func NewFleet(t testing.TB, j *Job) *Fleet {
	t.Helper()
	if err := buildFleet(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "fff-fleet-")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{t: t, dir: dir, job: j, numbers: map[string]int{}}
	j.Out = filepath.Join(dir, "out")
	t.Cleanup(f.end)

	db, features, nats := freeAddr(t), freeAddr(t), freeAddr(t)
	j.Backend = "http://" + features + "/features"
	f.env = j.Settings()
	f.Sandbox = f.instance("fff-sandbox", "sandbox", j.RunFile(t))
	f.Sandbox.env = Env{"FFF_SANDBOX_DYNAMODB_ADDR": db, "FFF_SANDBOX_FEATURE_SERVICE_ADDR": features}
	for name, value := range f.env {
		f.Sandbox.env[name] = value
	}
	f.Account = "http://" + db
	f.env["AWS_ENDPOINT_URL_DYNAMODB"], f.env["AWS_ENDPOINT_URL_RDS"] = f.Account, f.Account
	maps.Copy(f.env, j.Env) // a test may have put something between
	f.Sandbox.Start(t)
	f.Broker = f.instance("nats-server", "nats-server", "-c", f.brokerConfig(nats))
	f.URL = "nats://" + nats
	return f
}

// brokerConfig writes the configuration of the NATS server.
func (f *Fleet) brokerConfig(addr string) string {
	path := filepath.Join(f.dir, "nats-server.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 2MB\njetstream { store_dir: %q, sync_interval: always, max_file_store: 64GB }\n",
		addr, filepath.Join(f.dir, "store"))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *Fleet) instance(program, name string, args ...string) *Instance {
	i := &Instance{Name: name, program: filepath.Join(programs, program), args: args, log: filepath.Join(f.dir, name+".log")}
	f.all = append(f.all, i)
	return i
}

// StartBroker starts the broker, unless it runs, and waits until it takes connections.
func (f *Fleet) StartBroker() {
	f.t.Helper()
	f.Broker.Start(f.t)
	Await(f.t, "the broker takes connections", func() bool { return Listens(strings.TrimPrefix(f.URL, "nats://")) })
}

// Add starts one more instance of a service.
func (f *Fleet) Add(service string) *Instance {
	f.t.Helper()
	f.numbers[service]++
	i := f.instance("fff-"+service, fmt.Sprintf("%s-%d", service, f.numbers[service]))
	i.Number, i.Link, i.HTTP = f.numbers[service], NewLink(f.t, strings.TrimPrefix(f.URL, "nats://")), freeAddr(f.t)
	i.env = Env{"FFF_NATS_URL": "nats://" + i.Link.Addr(), "FFF_HTTP_ADDR": i.HTTP, "FFF_LOG_LEVEL": "debug"}
	for name, value := range f.env {
		i.env[name] = value
	}
	i.Start(f.t)
	return i
}

// AddEach starts so many instances of every service.
func (f *Fleet) AddEach(n int) {
	f.t.Helper()
	for range n {
		for _, s := range Services {
			f.Add(s)
		}
	}
}

// Of gives the instances of a service that were ever added.
func (f *Fleet) Of(service string) []*Instance {
	var all []*Instance
	for _, i := range f.all {
		if strings.HasPrefix(i.Name, service+"-") && i.Link != nil {
			all = append(all, i)
		}
	}
	return all
}

// Each gives all instances of all services.
func (f *Fleet) Each() []*Instance {
	var all []*Instance
	for _, s := range Services {
		all = append(all, f.Of(s)...)
	}
	return all
}

// AwaitReady waits until every instance says that it is ready.
func (f *Fleet) AwaitReady() {
	f.t.Helper()
	for _, i := range f.Each() {
		Await(f.t, i.Name+" is ready", func() bool { status, _ := i.Probe("/readyz"); return status == 200 })
	}
}

// Submit gives a job to the fleet and follows it to its end.
func (f *Fleet) Submit(j *Job, more ...string) *Process {
	f.t.Helper()
	args := append([]string{"submit", "-f", j.RunFile(f.t), "--records", j.JSONL(f.t), "--nats", f.URL, "--wait", "--progress", "plain"}, more...)
	return Start(f.t, j.Settings(), args...)
}

// Leader gives the orchestrator that leads, by the lease that it holds; nil if nobody does.
func (f *Fleet) Leader() *Instance {
	holder := f.leaseHolder("leader")
	for _, i := range f.Of("orchestrator") {
		if holder != "" && holder == i.id() {
			return i
		}
	}
	return nil
}

// Crashes tells which instances have ended without being told to.
func (f *Fleet) Crashes() []string {
	var all []string
	for _, i := range f.all {
		all = append(all, i.Crashes()...)
	}
	return all
}

// Heal undoes every fault: what is paused goes on, what is gone, or about to go, is started,
// links are whole.
func (f *Fleet) Heal() {
	f.t.Helper()
	f.Broker.Resume()
	f.StartBroker()
	for _, i := range f.Each() {
		i.Link.Heal()
		i.Resume()
		Await(f.t, i.Name+" ends after SIGTERM", func() bool { return !i.leaving() })
		i.Start(f.t)
	}
}

// tail is how much of each log a failed test shows.
const tail = 4 << 10

// end ends all processes. What a failed test leaves is kept, and its logs are shown.
func (f *Fleet) end() {
	for _, i := range f.all {
		expectNoRace(f.t, i.Name, i.Log())
	}
	if f.t.Failed() {
		for _, i := range f.all {
			f.t.Logf("--- the end of %s\n%s", i.log, i.tail(tail))
			i.Stuck() // what its goroutines wait for goes to the log
		}
	}
	for _, i := range f.all {
		i.Kill()
	}
	if !f.t.Failed() {
		if err := os.RemoveAll(f.dir); err != nil {
			f.t.Error(err)
		}
		return
	}
	f.t.Logf("logs, the broker's store and the dataset are kept in %s", f.dir)
}

// freeAddr gives an address that nobody else is given, and that stays free while its program
// is away.
func freeAddr(t testing.TB) string { return testport.Addr(testport.Free(t)) }
