package fff

import (
	"context"

	"github.com/fastfeaturefetch/fff/services/fff/allinone"
	"github.com/fastfeaturefetch/fff/shared/control"
)

// starter starts the all-in-one system: embedded broker and every service, in this
// process, over the same subjects with the same acks as elsewhere.
type starter func(context.Context, allinone.Options) (*session, error)

// startSystem is the starter of the real command line.
func startSystem(ctx context.Context, o allinone.Options) (*session, error) {
	s, err := allinone.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &session{
		broker: s.Client, ctl: control.NewClient(s.Client), url: s.URL,
		featureService: s.FeatureService, failed: s.Failed(), stop: s.Stop,
	}, nil
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
		if err := <-s.failed; err != nil {
			cancel(err)
		}
	}()
	return s, nil
}
