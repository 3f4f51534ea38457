package fff

import "fmt"

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
	s, err := a.startHere(systemOptions{Store: c.Store, Sandbox: c.Sandbox, Port: c.Port})
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, s.url)
	a.note("the system is up; submit jobs with `fff submit --nats %s …`, end it with Ctrl-C", s.url)
	if s.featureService != "" {
		a.note("the sandbox's feature service is at %s", s.featureService)
	}
	<-a.soft.Done()
	a.note("stopping; runs that are under way go on at the next start")
	return a.stop(s)
}

// sandboxCmd runs stand-ins for the backends.
type sandboxCmd struct {
}

// Run is called by kong.
func (c *sandboxCmd) Run(a *app) error { return fmt.Errorf("not yet") }

// verifyCmd proves a dataset.
type verifyCmd struct {
	Dir     string `arg:"" help:"Directory of the dataset: <output.dir>/<run>."`
	Records string `required:"" placeholder:"FILE" help:"Records file that the dataset was made from."`
}

// Run is called by kong.
func (c *verifyCmd) Run(a *app) error { return fmt.Errorf("not yet") }
