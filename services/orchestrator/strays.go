package orchestrator

import (
	"context"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// Bounds of batches that wait for a run that nobody has opened.
const (
	maxStrayBatches = 10_000         // of one run; the oldest go first
	maxStrayAge     = 24 * time.Hour // since the newest of a run; then all of them go
	strayInterval   = 30 * time.Second
)

// tendStrays keeps batches for unknown runs within their bounds until ctx ends.
func (s *Service) tendStrays(ctx context.Context) error {
	tick := time.NewTicker(strayInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.dropStrays(ctx); err != nil && ctx.Err() == nil {
			s.d.Log.Warn().Err(err).Msg("batches of unknown runs cannot be looked at; trying again")
		}
	}
}

func (s *Service) dropStrays(ctx context.Context) error {
	strays, err := s.strays(ctx, func(j *job) bool { return j == nil || j.status.Load().TornDown() })
	if err != nil {
		return err
	}
	for run, n := range strays {
		subject := streams.Subject(stage.Ingest, run)
		newest, err := streams.LastTime(ctx, s.d.Client.JS, streams.Ingest, subject)
		if err != nil {
			return err
		}
		keep := uint64(maxStrayBatches)
		if !newest.IsZero() && time.Since(newest) > maxStrayAge {
			keep = 0
		}
		if n <= keep {
			continue
		}
		s.d.Log.Warn().Str("run", run).Uint64("batches", n-keep).Msg("dropping batches of a run that nobody opened")
		if err := streams.PurgeKeep(ctx, s.d.Client.JS, streams.Ingest, subject, keep); err != nil {
			return err
		}
	}
	return nil
}

// strays counts the batches of runs whose job, nil if there is none, is that of a stray.
func (s *Service) strays(ctx context.Context, is func(*job) bool) (map[string]uint64, error) {
	prefix := streams.Subject(stage.Ingest, "")
	subjects, err := streams.Subjects(ctx, s.d.Client.JS, streams.Ingest, prefix+"*")
	if err != nil {
		return nil, err
	}
	unknown := map[string]uint64{}
	for subject, n := range subjects {
		if run := strings.TrimPrefix(subject, prefix); is(s.job(run)) {
			unknown[run] = n
		}
	}
	return unknown, nil
}
