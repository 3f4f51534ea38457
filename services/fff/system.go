package fff

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/settings"
)

// systemOptions say what the all-in-one system needs to know.
type systemOptions struct {
	Store   string        // directory of the broker's store; made when missing, locked
	Sandbox bool          // start the stand-in backends too, and point the clients at them
	Port    int           // of the broker on the loopback; 0 = a free one
	Job     *runfile.File // the job that the sandbox serves; nil = any
	Common  settings.Common
	Log     zerolog.Logger
}

// starter starts the all-in-one system: embedded broker and every service, in this
// process, over the same subjects with the same acks as elsewhere.
type starter func(context.Context, systemOptions) (*session, error)

// startSystem is the starter of the real command line.
func startSystem(ctx context.Context, o systemOptions) (*session, error) {
	s, err := allinone.Start(ctx, allinone.Options{Store: o.Store, Port: o.Port, Sandbox: o.Sandbox, Job: o.Job, Common: o.Common, Log: o.Log})
	if err != nil {
		return nil, err
	}
	return &session{broker: s.Client, ctl: control.NewClient(s.Client), url: s.URL, featureService: s.FeatureService, stop: s.Stop}, nil
}
