package fff

import (
	"context"
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/services/fff/progress"
	"github.com/fastfeaturefetch/fff/services/fff/system"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// session is a system that can be asked.
type session = system.System

// starter starts the all-in-one system.
type starter func(context.Context, allinone.Options) (*session, error)

// common reads the settings that every command shares.
func (a *app) common() (settings.Common, zerolog.Logger, error) { return system.Settings(a.stderr) }

// broker gives the settings of the broker that a flag names; "" is the one of the settings.
func (a *app) broker(flag string) (settings.NATS, zerolog.Logger, error) {
	c, log, err := a.common()
	if err == nil && flag != "" {
		c.NATS.URL = flag
		if bad := c.NATS.Validate(); bad != nil {
			err = usage("--nats: %w", bad)
		}
	}
	return c.NATS, log, err
}

// connect connects to a system elsewhere. flag is "" for the one of the settings.
func (a *app) connect(ctx context.Context, flag string) (*session, error) {
	at, log, err := a.broker(flag)
	if err != nil {
		return nil, err
	}
	return system.Connect(ctx, at, log)
}

// startHere starts the whole system in this process. A service that ends by itself ends
// the command.
func (a *app) startHere(o allinone.Options) (*session, error) {
	var err error
	if o.Common, o.Log, err = a.common(); err != nil {
		return nil, err
	}
	s, err := a.start(a.soft, o)
	if err != nil {
		return nil, err
	}
	soft, cancel := context.WithCancelCause(a.soft)
	a.soft = soft
	context.AfterFunc(a.hard, func() { cancel(nil) })
	go func() {
		if err := <-s.Failed; err != nil {
			cancel(err)
		}
	}()
	return s, nil
}

// stop ends a session; the second interrupt does not wait for it.
func (a *app) stop(s *session) error {
	ctx, cancel := context.WithTimeout(a.hard, a.pace.OrUsual().Stop)
	defer cancel()
	return s.Stop(ctx)
}

// view makes the view of a command and lets logs appear above it. The returned func
// ends the view and is to be called once.
func (a *app) view(flags progressFlags) (progress.View, func()) {
	mode := progress.Mode(flags.Progress)
	if flags.Quiet {
		mode = progress.None
	}
	v := progress.NewView(mode, a.screen, a.stderr, a.stdout)
	above, ok := v.(io.Writer)
	if !ok {
		return v, v.Close
	}
	before := a.stderr.swap(above)
	return v, func() {
		v.Close()
		a.stderr.swap(before)
	}
}

// codeOf gives the exit code of an ended run.
func codeOf(s *control.Status) int {
	switch s.State {
	case control.Completed:
		return exitOK
	case control.CompletedWithFailures:
		return exitPartial
	}
	return exitFailed
}

// isTerminal tells whether a person looks at w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}
