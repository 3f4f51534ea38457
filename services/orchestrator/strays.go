package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// Bounds of batches that wait for a run that nobody has opened.
const (
	maxStrayRuns    = 1_000          // runs that they wait for; those whose newest is oldest go first
	maxStrayBatches = 10_000         // of one run; the oldest go first
	maxStrayAge     = 24 * time.Hour // since the newest of a run; then all of them go
	strayInterval   = 30 * time.Second
)

// maxStrayShare is how full FFF_INGEST may be while strays are in it: beyond this share the
// room belongs to runs, and strays go, those with the most batches first.
const maxStrayShare = 0.75

// stray is a run that nobody has opened, or that has ended, and its batches.
type stray struct {
	run     string
	batches uint64
	newest  time.Time
}

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
	counts, err := s.strays(ctx, func(j *job) bool { return j == nil || j.status.Load().TornDown() })
	if err != nil {
		return err
	}
	var all []stray
	for run, n := range counts {
		newest, err := streams.LastTime(ctx, s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, run))
		if err != nil {
			return err
		}
		all = append(all, stray{run, n, newest})
	}
	var left []stray
	for one, keep := range keepOf(all, time.Now()) {
		if keep < one.batches {
			if err := s.dropStray(ctx, one, keep); err != nil {
				return err
			}
		}
		if one.batches = min(one.batches, keep); keep > 0 {
			left = append(left, one)
		}
	}
	return s.makeRoom(ctx, left)
}

// keepOf tells how many batches of each stray may stay. Among too many of them the newest
// are kept.
func keepOf(all []stray, now time.Time) map[stray]uint64 {
	slices.SortFunc(all, func(a, b stray) int { return b.newest.Compare(a.newest) })
	keep := make(map[stray]uint64, len(all))
	for i, one := range all {
		keep[one] = maxStrayBatches
		if i >= maxStrayRuns || !one.newest.IsZero() && now.Sub(one.newest) > maxStrayAge {
			keep[one] = 0
		}
	}
	return keep
}

// makeRoom drops strays until FFF_INGEST has room for the runs.
func (s *Service) makeRoom(ctx context.Context, strays []stray) error {
	slices.SortFunc(strays, func(a, b stray) int {
		return int(min(b.batches, maxStrayBatches)) - int(min(a.batches, maxStrayBatches))
	})
	for _, one := range strays {
		st, err := s.d.Client.JS.Stream(ctx, streams.Ingest)
		if err != nil {
			return fmt.Errorf("stream %s: %w", streams.Ingest, err)
		}
		info := st.CachedInfo()
		if info.Config.MaxBytes <= 0 || float64(info.State.Bytes) < maxStrayShare*float64(info.Config.MaxBytes) {
			return nil
		}
		if err := s.dropStray(ctx, one, 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) dropStray(ctx context.Context, one stray, keep uint64) error {
	s.mu.Lock()
	j := s.jobs[one.run]
	s.dropping = one.run // until it is done nobody opens the run
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropping = ""
	}()
	if j != nil {
		// Whoever opens the run holds this, and its status tells of it only afterwards.
		if !j.mu.TryLock() {
			return nil
		}
		defer j.mu.Unlock()
		if !j.rec.State.Ended() || j.rec.Teardown == runs.TeardownPending {
			return nil
		}
	}
	s.d.Log.Warn().Str("run", one.run).Uint64("batches", one.batches-keep).Msg("dropping batches of a run that nobody opened")
	return streams.PurgeKeep(ctx, s.d.Client.JS, streams.Ingest, streams.Subject(stage.Ingest, one.run), keep)
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
