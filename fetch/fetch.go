// Package fetch runs feature fetches from programs: start with a configuration, warm up,
// fetch the records of an iterator, close.
//
//	run, err := fetch.Open(ctx, fetch.Config{File: "run.yaml"})
//	if err != nil {
//		return err
//	}
//	defer run.Close() // brings everything down, also on panic
//	status, err := run.Fetch(ctx, records)
//
// Without a broker's URL the whole system runs in this process, over the same queues as
// anywhere else, with nothing installed. The command line is built on this package.
package fetch

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/record"
	"github.com/fastfeaturefetch/fff/shared/recordsfile"
	"github.com/fastfeaturefetch/fff/shared/runfile"
)

// Record asks for families of one sample: a user at a point in time.
type Record = record.Record

// BadRecord is, as the error of an iterator, a record that cannot be read: it is listed with
// the run's failures, and the rest goes on.
type BadRecord = recordsfile.BadRecord

// Status is what is known of a run.
type Status = control.Status

// Config says what is run, and where. Process settings, such as those of AWS, come from the
// environment, as everywhere.
type Config struct {
	File    string // path of the run file, and its name in errors
	RunFile []byte // the run file itself, in place of the one at File; nil = read File

	Run       string // id of the run; "" = the run file's
	OutputDir string // directory of the output; "" = the run file's
	InputHash string // tells inputs apart: a run that is sealed with another is refused; "" = not known
	TakeOver  bool   // take the dataset over from another system that is believed to be alive

	NATS    string // URL of the broker of a system that runs elsewhere; "" = all in this process
	Store   string // directory of this process's broker; "" = <output>/.fff/<run>, removed after success
	Sandbox bool   // start stand-ins for the backends in this process, and use them

	// Detach leaves the run to the system elsewhere: Close only closes the connection.
	Detach bool

	// Guard is a command that brings down what this process has scaled up if the process
	// is killed: {"/usr/bin/fff", "guard"}. Without one that waits for the next start of
	// the run, or for `fff runs teardown --dir`.
	Guard []string

	Progress func(*Status) // told how the run gets on, by one goroutine at a time; nil = nobody
	Note     func(string)  // told, in words, what a person should know; may be called by any goroutine; nil = nobody
	Log      io.Writer     // where the system of this process logs warnings; nil = nowhere

	// Haste, when it ends, has Close wait for nothing but what is scaled up; Leave has it
	// leave even that, to the guard or to the next start. nil = never.
	Haste, Leave context.Context

	Getenv func(string) (string, bool) // expands ${ENV} of the run file; nil = the environment's
	Pace   Pace
}

// Pace says how often things are looked at, and how long they may take. 0 = the usual.
type Pace struct {
	Poll    time.Duration // between two looks at a run
	Cancel  time.Duration // for a run to be torn down
	Stop    time.Duration // for the system of this process to stop
	Silence time.Duration // of the orchestrator, before a run is given up
}

// warmCancel is Pace.Cancel of a run that was warmed up: a database takes long to come down,
// and sometimes to come up before that.
const warmCancel = 2 * time.Hour

func (c *Config) setDefaults() {
	c.Pace = c.Pace.OrUsual()
	progress, mu := c.Progress, new(sync.Mutex)
	c.Progress = func(s *Status) {
		mu.Lock()
		defer mu.Unlock()
		if progress != nil {
			progress(s)
		}
	}
	if c.Note == nil {
		c.Note = func(string) {}
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Haste == nil {
		c.Haste = context.Background()
	}
	if c.Leave == nil {
		c.Leave = context.Background()
	}
	if c.Getenv == nil {
		c.Getenv = os.LookupEnv
	}
}

// OrUsual gives the usual pace where p has none.
func (p Pace) OrUsual() Pace {
	for _, one := range []struct {
		of    *time.Duration
		usual time.Duration
	}{{&p.Poll, 500 * time.Millisecond}, {&p.Cancel, 2 * time.Minute}, {&p.Stop, 30 * time.Second}, {&p.Silence, 5 * time.Minute}} {
		if *one.of == 0 {
			*one.of = one.usual
		}
	}
	return p
}

// load reads and checks the run file. expanded is nil where it is another machine that
// knows what ${ENV} is.
func (c *Config) load() (file, expanded *runfile.File, err error) {
	data := c.RunFile
	if data == nil {
		if data, err = os.ReadFile(c.File); err != nil {
			return nil, nil, fmt.Errorf("run file: %w", err)
		}
	}
	if file, err = runfile.Parse(c.File, data); err != nil {
		return nil, nil, err
	}
	if file, err = file.Override(runfile.Overrides{Run: c.Run, OutputDir: c.OutputDir}); err != nil {
		return nil, nil, err
	}
	if expanded, err = file.Expand(c.Getenv); err != nil && c.NATS == "" {
		return nil, nil, err
	}
	return file, expanded, nil
}

func (c *Config) connect(ctx context.Context, url string) (*system.System, error) {
	common, log, err := system.Settings(c.Log)
	if err != nil {
		return nil, err
	}
	common.NATS.URL = url
	if err := common.NATS.Validate(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return system.Connect(ctx, common.NATS, log)
}

// start starts the system, or connects to it. store is "" for one elsewhere.
func (c *Config) start(ctx context.Context, file, expanded *runfile.File) (s *system.System, store string, err error) {
	if c.NATS != "" {
		s, err = c.connect(ctx, c.NATS)
		return s, "", err
	}
	if store = c.Store; store == "" {
		store = filepath.Join(file.Output.Dir, ".fff", file.Run)
	}
	o := allinone.Options{Store: store, Sandbox: c.Sandbox, Once: true, Job: expanded}
	if o.Common, o.Log, err = system.Settings(c.Log); err != nil {
		return nil, "", err
	}
	s, err = system.Start(ctx, o)
	return s, store, err
}
