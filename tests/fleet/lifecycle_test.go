package fleet

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fastfeaturefetch/fff/tests/harness"
)

// Services that are started before their broker wait for it and say so; those whose broker
// goes away live on and take their work up when it is back.
func TestServicesWaitForTheBroker(t *testing.T) {
	t.Parallel()
	j := longJob(t, 60)
	f := harness.NewFleet(t, j)
	f.AddEach(1)
	for _, i := range f.Each() {
		harness.Await(t, i.Name+" says what it waits for", func() bool {
			return strings.Contains(i.Log(), "waiting for a NATS server") && strings.Contains(i.Log(), "FFF_NATS_URL")
		})
		probe(t, i, "/healthz", 200, "ok")
		probe(t, i, "/readyz", 503, "starting")
	}
	impatient := f.Add("writer")
	harness.Await(t, "it waits", func() bool { return strings.Contains(impatient.Log(), "waiting for a NATS server") })
	impatient.Term()
	if code := impatient.Wait(t); code != 0 {
		t.Errorf("a service that waited for its broker ended with %d after SIGTERM, want 0", code)
	}

	f.StartBroker()
	awaitReady(t, f, harness.Services...)
	f.Broker.Kill()
	for _, i := range f.Each() {
		if i != impatient {
			harness.Await(t, i.Name+" says that it lost its broker", func() bool { return strings.Contains(i.Log(), "connection to NATS lost") })
			probe(t, i, "/healthz", 200, "ok")
		}
	}
	f.StartBroker()
	prove(t, f, j.Start(t, "--nats", f.URL), j)
}

// SIGTERM: an instance takes no more, says that it drains, finishes what it has in hand, and
// ends with 0. A second signal ends it at once; what it had goes to another.
func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	j := longJob(t, 30)
	j.Families = []string{"{id: graph, lane: slow, cached: false}"}
	j.Env["FFF_SHUTDOWN_GRACE"] = "10m"
	f := harness.NewFleet(t, j)
	b := harness.StartBackends(t, j.Sandbox, j.File(t))
	j.Backend = b.At.FeatureService
	gate := harness.NewGate(b)
	f.StartBroker()
	f.AddEach(1)
	f.AwaitReady()
	p := f.Submit(j)
	patient := f.Of("fs-slow")[0]
	hasWork(t, f, patient, j)
	patient.Term()
	drains(t, patient)
	probe(t, patient, "/healthz", 200, "ok")
	hasty := f.Add("fs-slow")
	gate.Open()
	if code := patient.Wait(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	prove(t, f, p, j)

	// In a run of its own: the first may have had all of that one's work in hand.
	j.Run = "second"
	gate = harness.NewGate(b)
	p = f.Submit(j)
	hasWork(t, f, hasty, j)
	hasty.Term()
	drains(t, hasty)
	hasty.Term()
	if code := hasty.Wait(t); code != -1 {
		t.Errorf("exit code %d after the second SIGTERM, want the signal", code)
	}
	gate.Open()
	f.Add("fs-slow")
	prove(t, f, p, j)
}

// drains awaits that an instance says that it drains.
func drains(t *testing.T, i *harness.Instance) {
	t.Helper()
	harness.Await(t, i.Name+" drains", func() bool { status, body := i.Probe("/readyz"); return status == 503 && body == "draining" })
}

// Services whose broker is gone end when they are told to, with work in hand too.
func TestServicesStopWithoutTheirBroker(t *testing.T) {
	t.Parallel()
	j := longJob(t, 300)
	j.Env["FFF_SHUTDOWN_GRACE"] = "2s"
	f, p, gate := start(t, j, 1)
	await(t, p, harness.Once(j, 1, harness.Indexes))
	f.Broker.Kill()
	for _, i := range f.Each() {
		i.Term()
	}
	for _, i := range f.Each() {
		if code := i.Wait(t); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM, want 0", i.Name, code)
		}
	}
	f.Heal()
	gate.Open()
	prove(t, f, p, j)
}

// hasWork awaits that an instance has messages of the job in hand.
func hasWork(t *testing.T, f *harness.Fleet, i *harness.Instance, j *harness.Job) {
	t.Helper()
	harness.Await(t, i.Name+" has work in hand", func() bool {
		beat, ok := f.Beat(i)
		return ok && beat.Runs[j.Run].Held > 0
	})
}

// Instances join while a job goes on, and those that were there first leave.
func TestInstancesJoinAndLeave(t *testing.T) {
	t.Parallel()
	j := longJob(t, 500)
	f, p, gate := start(t, j, 1)
	await(t, p, harness.Once(j, 1, harness.Indexes))
	first := f.Each()
	f.AddEach(1)
	f.AwaitReady()
	listed(t, f, 2)
	for _, i := range first {
		i.Term()
	}
	for _, i := range first {
		if code := i.Wait(t); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM, want 0", i.Name, code)
		}
	}
	gate.Open()
	prove(t, f, p, j)
	listed(t, f, 1)
}

// listed checks that NATS's own command line lists so many instances of each service.
func listed(t *testing.T, f *harness.Fleet, each int) {
	t.Helper()
	text := harness.RunNATS(t, f.URL, "", "micro", "ls", "--json").Expect(t, 0).Stdout
	var all []struct{ Name string }
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	count := map[string]int{}
	for _, one := range all {
		count[one.Name]++
	}
	for _, service := range harness.Services {
		if n := count["fff-"+service]; n != each {
			t.Errorf("`nats micro ls` lists %d of fff-%s, want %d\n%s", n, service, each, text)
		}
	}
}

// awaitReady awaits that the first instance of each service is ready.
func awaitReady(t *testing.T, f *harness.Fleet, services ...string) {
	t.Helper()
	for _, s := range services {
		i := f.Of(s)[0]
		harness.Await(t, i.Name+" is ready", func() bool { status, body := i.Probe("/readyz"); return status == 200 && body == "ready" })
	}
}

// probe checks the answer of a probe.
func probe(t *testing.T, i *harness.Instance, path string, status int, body string) {
	t.Helper()
	if s, b := i.Probe(path); s != status || b != body {
		t.Errorf("%s of %s: %d %q, want %d %q", path, i.Name, s, b, status, body)
	}
}
