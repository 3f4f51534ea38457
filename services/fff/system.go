package fff

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

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
func startSystem(context.Context, systemOptions) (*session, error) {
	return nil, errors.New("the all-in-one system is not part of this build; give --nats")
}
