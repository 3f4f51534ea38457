// Package lane is what fs-fast and fs-slow have in common as services: the two differ in
// their stage only.
package lane

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/featureservice"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// workers is how many messages of a run, of up to 16 requests each, are worked on at the
// same time: enough to fill the largest share of a lane.
const workers = 128

// weigh tells what a message takes: its requests, each with a goroutine of its own.
func weigh(data []byte) (working, held int64) {
	const goroutine = 16 << 10
	n := int64(len(data))
	return 10*n + work.MaxRequestsPerLane*goroutine, n
}

// MemoryBound tells what the service of a lane takes at the most.
func MemoryBound() service.Memory {
	return service.MemoryFor(
		service.Room{For: "messages in hand", Bytes: runner.DefaultMemory},
		service.Room{For: "requests in flight and their answers", Bytes: featureservice.MemoryBytes},
		service.Room{For: "one answer beyond them", Bytes: featureservice.MaxAnswerBytes},
		service.Room{For: "cells on their way to the broker", Bytes: runner.DefaultOutputs})
}

// Service is a lane of the feature service.
type Service struct {
	name   string
	d      service.Deps
	holder *shares.Holder
	client *featureservice.Client
	runner *runner.Runner[work.Request]
}

// New makes the service of a lane. newStage gives its stage, limits the lane's limits of a
// run file.
func New(name stage.Name, d service.Deps,
	newStage func(*featureservice.Client, featureservice.Slots, featureservice.Timed) *featureservice.Lane,
	limits func(*runfile.FeatureService) runfile.LaneLimits) *Service {
	s := &Service{name: string(name), d: d, client: featureservice.NewClient()}
	s.holder = shares.NewHolder(d.Instance+"."+string(name), s.ask)
	s.runner = runner.New(runner.Config{
		Stage: name, Service: string(name), Instance: d.Instance,
		Workers: workers, Weigh: weigh, Grace: d.Grace,
		Attempts: func(run *stage.Run) int { return limits(run.File.FeatureService).MaxAttempts },
	}, newStage(s.client, s.holder, s.timed), d.Client, d.Metrics, d.Log)
	return s
}

func (s *Service) timed(run string, families []string, took time.Duration) {
	s.runner.Stats().Answered(run, families, took)
}

// ask asks the orchestrator's leader for a share of a feature service.
func (s *Service) ask(ctx context.Context, r shares.Request) (shares.Grant, error) {
	var g shares.Grant
	data, err := json.Marshal(r)
	if err != nil {
		return g, fmt.Errorf("share: %w", err)
	}
	reply, err := desk.Share(ctx, s.d.Client, data)
	if err != nil {
		return g, err
	}
	if err := json.Unmarshal(reply, &g); err != nil {
		return g, fmt.Errorf("share: %w", err)
	}
	return g, nil
}

// State gives starting, ready, draining or stopped.
func (s *Service) State() string { return s.runner.State() }

// Run works until ctx ends, then finishes what is in hand.
func (s *Service) Run(ctx context.Context) error {
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	held := make(chan struct{})
	go func() { defer close(held); s.holder.Run(holding) }()
	defer s.client.Close()
	defer func() { release(); <-held }() // the share goes back when the last request is done
	return service.Announced(ctx, s.d.Client, "fff-"+s.name, s.runner.Beat, s.runner.Run)
}
