package warmup

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/services/sandbox/featureservice"
	"github.com/fastfeaturefetch/fff/tests/harness"
)

// A run that comes to its end by itself.
func TestComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	p := w.start()
	w.running()
	p.Wait(t).Expect(t, 0)
	if after := w.state(); after.String() != w.before.String() { // when fff has ended, not later
		t.Errorf("before the run: %s\nafter it: %s", w.before, after)
	}
	w.clean()
	w.job.Verify(t, 0)
}

func TestCompleteWithFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	w.job.More += "failure_policy: {failed_ratio: {over: 0.01, do: warn}}\n" // or it is stopped when a look falls between failures and the end
	w.backends.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault { return featureservice.Fault{Status: 404} }})
	p := w.start()
	w.running()
	p.Wait(t).Expect(t, 3)
	w.clean()
}

// A run that its failure policy stops.
func TestStoppedByThePolicy(t *testing.T) {
	t.Parallel()
	w := &world{job: newJob(t, 1100)} // enough cells that a rule counts
	w.job.Families, w.job.Sandbox.HitRatio = []string{"{id: credit}", "{id: session, cached: false}"}, 1
	w.job.More += "failure_policy: {data: {constant: stop}}\n"
	w.serve(t)
	w.backends.SetFaults(sandbox.Faults{Features: func(*featureservice.Request) featureservice.Fault {
		return featureservice.Fault{Body: []byte(`{"features":{"session":{"clicks":0}}}`)}
	}})
	p := w.start()
	w.running()
	p.Wait(t).Expect(t, 1)
	w.clean()
}

// A table that could not be brought down again today is not raised. The databases that were
// raised before come down, and the run says why it has failed.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	w.setReadUnits(readUnits + 4)
	for n := int64(3); n >= 0; n-- {
		w.setReadUnits(readUnits + n)
	}
	w.is(w.before)
	p := w.start()
	w.raising()
	r := p.Wait(t).Expect(t, 1)
	if !strings.Contains(r.Stdout+r.Stderr, "decreased 4 times today") {
		t.Errorf("it does not say why\n%s", r)
	}
	w.clean()
	if n := w.backends.DynamoDB.Stats().BatchGets; n > 0 {
		t.Errorf("%d reads of a run that was not to begin", n)
	}
}

// Signals, at two moments of a run.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name    string
		signals []os.Signal
	}{
		{"SIGINT", []os.Signal{os.Interrupt}},
		{"SIGTERM", []os.Signal{syscall.SIGTERM}},
		{"a second SIGINT", []os.Signal{os.Interrupt, os.Interrupt}},
	} {
		for moment, reached := range map[string]func(*world){"while it warms up": (*world).raising, "while it runs": (*world).running} {
			t.Run(end.name+" "+moment, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, enough)
				w.slow()
				p := w.start()
				reached(w)
				p.Signal(end.signals[0])
				if len(end.signals) > 1 {
					p.Stderr(t, "it has understood the first", func(s string) bool { return strings.Contains(s, "interrupt to hasten") })
					p.Signal(end.signals[1])
				}
				p.Wait(t).Expect(t, 130)
				w.clean()
			})
		}
	}
}

// A process that ends with a panic, or is killed, leaves the work to its child.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*harness.Process){
		"kill -9":       (*harness.Process).Kill,
		"a fatal error": func(p *harness.Process) { p.Signal(syscall.SIGQUIT) },
	} {
		for moment, reached := range map[string]func(*world){"while it warms up": (*world).raising, "while it runs": (*world).running} {
			t.Run(name+" "+moment, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, enough)
				w.slow()
				p := w.start()
				reached(w)
				kill(p)
				<-p.Ended()
				w.clean()
			})
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	w.slow()
	when := filepath.Join(t.TempDir(), "now")
	w.job.Env["PANIC_WHEN"] = when
	p := harness.StartProgram(t, w.job.Settings(), harness.Build(t, "./warmup/cmd/panicking-fff"), w.job.Args(t, "--progress", "plain")...)
	w.running()
	if err := os.WriteFile(when, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := p.Wait(t).Expect(t, 2); !strings.Contains(r.Stderr, "a service has a bug") {
		t.Errorf("it did not end with the panic\n%s", r)
	}
	w.clean()
}

// The whole machine is lost, and the run started again.
func TestNextStart(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*world){
		"store kept": func(*world) {},
		"store lost": func(w *world) {
			if err := os.RemoveAll(w.job.Store()); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, enough)
			w.slow()
			p := w.start()
			w.running()
			killAll(t, p)
			if s := w.state(); !s.raised() {
				t.Fatalf("somebody is left who has brought it down: %s", s)
			}
			harm(w)
			w.backends.SetFaults(sandbox.Faults{})
			w.start().Wait(t).Expect(t, 0)
			w.clean()
			w.job.Verify(t, 0)
		})
	}
}

// The whole machine is lost, and nobody wants the run any more.
func TestTeardownWithoutBroker(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(*world) []string{
		"a dataset": func(w *world) []string { return []string{"--dir", w.job.Dataset()} },
		"a run":     func(w *world) []string { return []string{w.job.Run, "--dir", w.job.Out} },
		"all":       func(w *world) []string { return []string{"--all", "--dir", w.job.Out} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, enough)
			w.slow()
			p := w.start()
			w.running()
			teardown := append([]string{"runs", "teardown"}, args(w)...)
			r := harness.Run(t, w.job.Settings(), teardown...).Expect(t, 1) // it lives
			if !strings.Contains(r.Stderr, "interrupt that process") {
				t.Errorf("it does not say what to do\n%s", r)
			}
			killAll(t, p)
			harness.Run(t, w.job.Settings(), teardown...).Expect(t, 0)
			if after := w.state(); after.String() != w.before.String() {
				t.Errorf("before the run: %s\nafter the teardown: %s", w.before, after)
			}
			w.clean()
			harness.Run(t, w.job.Settings(), teardown...).Expect(t, 0) // there is nothing left to do
		})
	}
}

// What is up for too long comes down while the run goes on.
func TestMaxHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	w.job.More = strings.Replace(w.job.More, "target_duration", "max_hold: 5s\n  target_duration", 1)
	w.shut()
	p := w.start()
	w.await("all is up", state.raised)
	w.await("all is down", func(s state) bool { return s.unraised(w.before) })
	w.open()
	p.Wait(t).Expect(t, 0)
	w.clean()
	w.job.Verify(t, 0)
}

// What somebody changes by hand meanwhile is left alone, and told of.
func TestChangedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, enough)
	w.slow()
	p := w.start()
	w.running()
	w.setReadUnits(77)
	w.await("it is changed", func(s state) bool { return s.quiet() && s.ReadUnits == 77 })
	p.Interrupt()
	r := p.Wait(t).Expect(t, 130)
	if !strings.Contains(r.Stderr, "somebody else has changed") || !strings.Contains(r.Stderr, "table features") {
		t.Errorf("it does not tell of the change\n%s", r)
	}
	w.before.ReadUnits = 77
	w.clean()
}
