package fff

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/services/sandbox"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// upCmd runs the whole system in this process and waits for jobs.
type upCmd struct {
	Store   string `default:"./out/.fff/store" placeholder:"DIR" help:"Directory of the embedded broker's store (${default})."`
	Port    int    `default:"4222" help:"Port of the broker on the loopback; 0 picks a free one."`
	Sandbox bool   `help:"Start stand-ins for DynamoDB and the feature service, and use them."`
}

// Run is called by kong.
func (c *upCmd) Run(a *app) error {
	if c.Port < 0 || c.Port > 65535 {
		return usage("--port %d: give 0 to 65535", c.Port)
	}
	spareProcessor()
	s, err := a.startHere(allinone.Options{Store: c.Store, Sandbox: c.Sandbox, Port: c.Port})
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, s.URL)
	a.note("the system is up; submit jobs with `fff submit --nats %s …`, end it with Ctrl-C", s.URL)
	if s.FeatureService != "" {
		a.note("the sandbox's feature service is at %s", s.FeatureService)
	}
	<-a.soft.Done()
	a.note("stopping; runs that are under way go on at the next start")
	err = a.stop(s)
	if cause := context.Cause(a.soft); !errors.Is(cause, errInterrupted) {
		err = errors.Join(cause, err)
	}
	return err
}

// sandboxCmd runs stand-ins for the backends.
type sandboxCmd struct {
	File string `short:"f" placeholder:"FILE" help:"Run file that says which tables and families there are."`
}

// Run is called by kong.
func (c *sandboxCmd) Run(a *app) error {
	var cfg sandbox.Config
	if err := settings.Load(&cfg); err != nil {
		return err
	}
	var file *runfile.File
	if c.File != "" {
		f, err := a.loadRunFile(jobFlags{File: c.File})
		if err != nil {
			return err
		}
		if file, err = f.Expand(a.getenv); err != nil {
			return err
		}
	}
	s, err := sandbox.New(cfg, file)
	if err != nil {
		return err
	}
	return s.Run(a.soft, func(at sandbox.Endpoints) {
		fmt.Fprintf(a.stdout, "AWS_ENDPOINT_URL_DYNAMODB=%s\nAWS_ENDPOINT_URL_RDS=%s\nfeature_service.url: %s\n", at.DynamoDB, at.RDS, at.FeatureService)
		a.note("the sandbox is up; end it with Ctrl-C")
	})
}

// spareProcessor lets one more goroutine run at a time than there are processors, unless
// GOMAXPROCS says how many. The broker of this process waits for the disk at each message, and
// a goroutine in a system call keeps its place until the runtime's monitor looks, which is
// often not before the call has returned.
var spareProcessor = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
})
