package writer

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/fastfeaturefetch/fff/shared/broker/runs"
	"github.com/fastfeaturefetch/fff/shared/destination"
	"github.com/fastfeaturefetch/fff/shared/runner"
	"github.com/fastfeaturefetch/fff/shared/service"
	"github.com/fastfeaturefetch/fff/shared/settings"
	"github.com/fastfeaturefetch/fff/shared/stage"
)

// Config is what the environment says of the writer.
type Config struct {
	BufferBytes int64         `envconfig:"FFF_WRITER_BUFFER_BYTES" default:"268435456" unit:"bytes" desc:"Memory of packed cells until they are committed, over all runs; a run that is alone uses two thirds of it."`
	PartBytes   int64         `envconfig:"FFF_WRITER_PART_BYTES" default:"67108864" unit:"bytes" desc:"Packed cells of a part; a part is staged when it has grown to this."`
	PartAge     time.Duration `envconfig:"FFF_WRITER_PART_AGE" default:"10s" desc:"A part is staged when its first cell has waited for so long."`
}

// Validate checks the bounds against each other.
func (c *Config) Validate() error {
	if c.PartBytes < 1<<20 || c.BufferBytes < 2*c.PartBytes {
		return &settings.Error{
			Variable: "FFF_WRITER_PART_BYTES", Value: strconv.FormatInt(c.PartBytes, 10),
			Problem: "a part is at least 1 MiB and at most half of FFF_WRITER_BUFFER_BYTES",
			Remedy:  fmt.Sprintf("give 1048576 to %d, or raise FFF_WRITER_BUFFER_BYTES", c.BufferBytes/2),
		}
	}
	return nil
}

// MemoryBound tells what the service takes at the most: beside its buffer, files while they
// are encoded.
func (c Config) MemoryBound() service.Memory {
	return service.MemoryFor(
		service.Room{For: "cells until they are committed", Setting: "FFF_WRITER_BUFFER_BYTES", Bytes: c.BufferBytes},
		service.Room{For: "files while they are encoded", Bytes: encodeBytes},
		service.Room{For: "compressors, 16 MiB for each of GOMAXPROCS", Setting: "GOMAXPROCS", Bytes: int64(runtime.GOMAXPROCS(0)) * compressorBytes})
}

// encodeBytes is what files may take while they are encoded, over all runs.
const encodeBytes = 128 << 20

// compressorBytes is what a compressor takes for each processor.
const compressorBytes = 16 << 20

// flushes is how many parts of a run are staged at the same time: one is encoded while the
// disk works on another.
const flushes = 2

// prefetch is how many messages are asked for at a time. With the runner's own bound the writer
// falls behind fetchers that keep the processors busy, and then reads from the broker's disk.
const prefetch = 8

// filesAtOnce is how many files of a part are encoded and written, or uploaded, at the same
// time: much of that is waiting for the disk or the network. Their memory is bounded by
// Bounds.EncodeBytes all the same.
const filesAtOnce = 8

// Service is the writer.
type Service struct {
	d      service.Deps
	stage  *Stage
	runner *runner.Runner[*Unit]
	commit *logCommitter
	bucket *runs.Bucket
	opener destination.Opener
}

// New makes the service. It starts nothing.
func New(cfg Config, d service.Deps) *Service {
	s := &Service{d: d, bucket: runs.Open(d.Client.NC, d.Client.JS)}
	s.commit = &logCommitter{c: d.Client, log: d.Log, logs: map[string]*followed{}}
	b := Bounds{EncodeBytes: encodeBytes, PartBytes: cfg.PartBytes, PartAge: cfg.PartAge, Flushes: flushes}
	s.stage = NewStage(b, d.Instance, s.open, s.commit, d.Log)
	s.runner = runner.New(runner.Config{
		Stage: stage.Writer, Service: "writer", Instance: d.Instance,
		// A message is held until it is committed, so what bounds the writer is bytes.
		Workers: 8192, MaxHeld: 8192, Prefetch: prefetch, Memory: cfg.BufferBytes, Weigh: Weigh, Full: s.stage.Full, Ended: s.stage.Forget,
		Grace: d.Grace, DoubleAck: true,
	}, s.stage, d.Client, d.Metrics, d.Log)
	return s
}

// State gives starting, ready, draining or stopped.
func (s *Service) State() string { return s.runner.State() }

// Run works until ctx ends, then finishes what is in hand.
func (s *Service) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.commit.ctx = background
	unsubscribe, err := s.d.Client.OnFlush(s.stage.Flush)
	if err != nil {
		return err
	}
	defer unsubscribe()
	defer context.AfterFunc(ctx, s.stage.Drain)()
	return service.Announced(ctx, s.d.Client, "fff-writer", s.runner.Beat, s.runner.Run)
}

// open opens the dataset of a run and finds the epoch's staging area.
func (s *Service) open(ctx context.Context, run *stage.Run) (*Place, error) {
	rec, err := s.bucket.Get(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	store, _, err := s.opener.Open(ctx, &run.File.Output, run.ID)
	if err != nil {
		return nil, err
	}
	p := &Place{Store: store, Token: rec.Token, FilesAtOnce: filesAtOnce}
	if run.File.Output.S3 != nil {
		p.UploadBytes = destination.UploadBytes
	}
	return p, nil
}
