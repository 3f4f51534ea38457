package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/warmup/ramp"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Bounds of the samples that are kept for sample requests.
const (
	maxSampleRequests = 500
	maxSampleBytes    = 4 << 20
)

// samples are requests as the run itself will make them.
type samples struct {
	all   []work.Request
	bytes int
}

// add keeps a request if there is room. Each asks for the families that go to the feature
// service: those of the fast lane, as many as one request takes.
func (s *samples) add(file *runfile.File, r *work.Request) {
	if len(s.all) >= maxSampleRequests || s.bytes+r.Size() > maxSampleBytes {
		return
	}
	one := work.Request{UserID: r.UserID, EpochMS: r.EpochMS, Attributes: slices.Clone(r.Attributes)}
	for _, id := range r.Families {
		if f, ok := file.Family(id); ok && f.Lane != runfile.LaneSlow && len(one.Families) < file.FeatureService.Fast.MaxFamilies {
			one.Families = append(one.Families, id)
		}
	}
	if len(one.Families) > 0 {
		s.all, s.bytes = append(s.all, one), s.bytes+one.Size()
	}
}

// sampling warms a feature service up with requests of the run.
type sampling struct {
	run      string
	service  *runfile.FeatureService
	warmUp   *runfile.WarmUpFeatureService
	requests []work.Request
}

var errNoSamples = errors.New("no sample asks for a family of the fast lane")

// send sends the requests. A service that does not settle is told of, and stops no run.
func (s *sampling) send(ctx context.Context, t *tender) error {
	if len(s.requests) == 0 {
		t.log.Warn().Err(errNoSamples).Msg("the feature service is not warmed up")
		return nil
	}
	client := featureservice.NewClient()
	defer client.Close()
	t.say(fmt.Sprintf("warming up the feature service, up to %v", s.warmUp.MaxDuration))
	result, err := ramp.Run(ctx, ramp.Config{
		RequestsPerSecond: s.warmUp.RequestsPerSecond, MaxDuration: s.warmUp.MaxDuration,
		Send: func(ctx context.Context, n int) error {
			return client.Try(ctx, s.service.URL, s.service.Fast.Timeout, s.run, &s.requests[n%len(s.requests)])
		},
		Progress: func(w ramp.Window) {
			t.say(fmt.Sprintf("warming up the feature service: %.3g requests a second, 95 %% of them within %v, %d of %d failed",
				w.Rate, w.P95.Round(time.Millisecond), w.Errors, w.Requests))
		},
	})
	if err != nil {
		return err
	}
	log := t.log.Info()
	if !result.Settled {
		log = t.log.Warn()
	}
	log.Msg("feature service: " + result.String())
	return nil
}
