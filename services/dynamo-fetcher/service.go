package dynamofetcher

import (
	"context"
	"os"
	"sync"

	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/awsdynamodb"
	"github.com/fastfeaturefetch/fff/shared/broker/desk"
	"github.com/fastfeaturefetch/fff/shared/budget"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// Config is what the environment says of the dynamo-fetcher.
type Config struct {
	MaxInFlight int `envconfig:"FFF_DYNAMO_MAX_IN_FLIGHT" default:"64" min:"1" max:"10000" unit:"calls" desc:"BatchGetItem calls of one process at the same time, over all runs."`

	// Endpoint is that of a sandbox in the same process, "" otherwise: then the SDK finds
	// DynamoDB and credentials by its own means.
	Endpoint string `ignored:"true"`
}

// MemoryBound tells what the service takes at the most.
func (c Config) MemoryBound() service.Memory {
	return service.MemoryFor(
		service.Room{For: "messages in hand", Bytes: messageBytes},
		service.Room{For: "keys of their cells", Bytes: PlanBytes},
		service.Room{For: "calls and their answers, 1 MiB a call", Setting: "FFF_DYNAMO_MAX_IN_FLIGHT", Bytes: answerBytes(c.MaxInFlight)},
		service.Room{For: "one answer beyond them", Bytes: awsdynamodb.MaxAnswerBytes},
		service.Room{For: "cells and misses on their way to the broker", Bytes: runner.DefaultOutputs})
}

// messageBytes is what messages in hand may take, over all runs.
const messageBytes = 32 << 20

// Service is the dynamo-fetcher.
type Service struct {
	d      service.Deps
	runner *runner.Runner[*work.Block]

	mu     sync.Mutex
	purses map[string]*budget.Purse // by run
}

// New makes the service. It reads the AWS configuration and does not connect.
func New(ctx context.Context, cfg Config, d service.Deps) (*Service, error) {
	client, err := awsdynamodb.New(ctx, awsdynamodb.Config{Endpoint: cfg.Endpoint, DummyCredentials: cfg.Endpoint != "" && os.Getenv("AWS_ACCESS_KEY_ID") == "", MaxInFlight: cfg.MaxInFlight})
	if err != nil {
		return nil, err
	}
	s := &Service{d: d, purses: map[string]*budget.Purse{}}
	st := NewStage(client, StageConfig{
		MaxInFlight: cfg.MaxInFlight,
		Consumed:    func(run *stage.Run, table string, units float64) { s.runner.Stats().Units(run.ID, table, units) },
		Purse:       s.purse,
		Panicked: func(value any, stack []byte) {
			d.Log.Error().Bytes("stack", stack).Msgf("panic in a call: %v", value)
		},
	})
	s.runner = runner.New(runner.Config{
		Stage: stage.Dynamo, Service: "dynamo-fetcher", Instance: d.Instance,
		Workers: 8, Memory: messageBytes, Grace: d.Grace,
	}, st, d.Client, d.Metrics, d.Log)
	return s, nil
}

// purse gives what is left of a run's budget, nil if it has none. It outlives the run's
// epochs, as the count of what was used does.
func (s *Service) purse(run *stage.Run) *budget.Purse {
	_, bounded := budget.ReadUnits(&run.File.Budget)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bounded {
		delete(s.purses, run.ID) // it would not know what is used meanwhile
		return nil
	}
	p := s.purses[run.ID]
	if p == nil {
		used := 0.0
		for _, n := range s.runner.Beat().Runs[run.ID].Units {
			used += n
		}
		p = budget.NewPurse(run.ID, s.d.Instance, used, func(ctx context.Context, ask budget.Ask) (budget.Answer, error) {
			return desk.Spend(ctx, s.d.Client, ask)
		})
		s.purses[run.ID] = p
	}
	return p
}

// State gives starting, ready, draining or stopped.
func (s *Service) State() string { return s.runner.State() }

// Run works until ctx ends, then finishes what is in hand.
func (s *Service) Run(ctx context.Context) error {
	return service.Announced(ctx, s.d.Client, "fff-dynamo-fetcher", s.runner.Beat, s.runner.Run)
}
