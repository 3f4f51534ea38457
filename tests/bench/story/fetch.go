package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	dynamofetcher "github.com/fastfeaturefetch/fff/services/dynamo-fetcher"
	"github.com/fastfeaturefetch/fff/services/dynamo-fetcher/awsdynamodb"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// callsInFlight are BatchGetItem calls at the same time, for all ways alike.
const callsInFlight = dynamofetcher.DefaultMaxInFlight

// fetchConfig says what the client "fetch" fetches: blocks of requests, through the stage of
// the dynamo-fetcher with its client of the SDK, its parser and its columns. What is in a
// block is what one call, or some full ones, can be made of.
type fetchConfig struct {
	Endpoint string
	First    int // sample
	Samples  int
	Block    int // samples of a block
	Families int // of a request; a sample of 50 is 50/Families requests, in blocks of their own
	AtOnce   int // blocks
}

// fetched is what the client says of it.
type fetched struct {
	Cells int64
	Bytes int64 // of packed messages
	Units float64
}

func fetchClient(ctx context.Context, cfg fetchConfig) (*fetched, error) {
	f, err := newFetcher(ctx, cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if err := f.fetch(ctx, &cfg); err != nil {
		return nil, err
	}
	said := &fetched{Cells: f.cells.Load(), Units: float64(f.halfUnits.Load()) / 2}
	for _, m := range f.messages() {
		said.Bytes += int64(len(m))
	}
	return said, nil
}

// fetcher looks cells up and packs them into messages, as the pipeline does.
type fetcher struct {
	stage            *dynamofetcher.Stage
	message          *stage.Message
	builders         chan *packed.Builder
	done             chan []byte // messages that are full
	cells, halfUnits atomic.Int64
}

// maxMessages bounds the messages of a client, which keeps them all.
const maxMessages = 1 << 14

func newFetcher(ctx context.Context, endpoint string) (*fetcher, error) {
	r := runFile{cached: true, url: "http://127.0.0.1/"}
	file, err := r.parsed()
	if err != nil {
		return nil, err
	}
	getter, err := awsdynamodb.New(ctx, awsdynamodb.Config{Endpoint: endpoint, DummyCredentials: true, MaxInFlight: callsInFlight})
	if err != nil {
		return nil, err
	}
	f := &fetcher{
		message:  &stage.Message{Run: &stage.Run{ID: file.Run, Epoch: 1, File: file}},
		builders: make(chan *packed.Builder, callsInFlight),
		done:     make(chan []byte, maxMessages),
	}
	for range callsInFlight {
		f.builders <- packed.NewBuilder()
	}
	f.stage = dynamofetcher.NewStage(getter, dynamofetcher.StageConfig{
		MaxInFlight: callsInFlight,
		Consumed:    func(_ *stage.Run, _ string, units float64) { f.halfUnits.Add(int64(2 * units)) },
	})
	return f, nil
}

// fetch looks up all blocks.
func (f *fetcher) fetch(ctx context.Context, cfg *fetchConfig) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cfg.AtOnce)
	for first := cfg.First; first < cfg.First+cfg.Samples && ctx.Err() == nil; first += cfg.Block {
		for family := 0; family < families; family += cfg.Families {
			block := &work.Block{}
			for n := first; n < min(first+cfg.Block, cfg.First+cfg.Samples); n++ {
				r := work.Request{UserID: userID(n), EpochMS: pitcTimestamp.UnixMilli()}
				for id := family; id < family+cfg.Families; id++ {
					r.Families = append(r.Families, familyID(id))
				}
				block.Requests = append(block.Requests, r)
			}
			g.Go(func() error {
				for _, v := range f.stage.Do(ctx, f.message, block, f) {
					return v.Err
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// Cells implements stage.Outputs.
func (f *fetcher) Cells(ctx context.Context, src packed.Source, fn func(*packed.Builder) error) error {
	b := <-f.builders
	defer func() { f.builders <- b }()
	before := b.Rows()
	if err := fn(b); err != nil {
		return err
	}
	f.cells.Add(int64(b.Rows() - before))
	if b.Size() < work.TargetPackedBytes {
		return nil
	}
	select {
	case f.done <- b.Encode(nil, src):
	default:
		return fmt.Errorf("more than %d messages", maxMessages)
	}
	b.Reset()
	return nil
}

// Request implements stage.Outputs: every key has an item.
func (f *fetcher) Request(context.Context, stage.Name, work.Request) error {
	return fmt.Errorf("a key without an item")
}

// messages takes all messages, those that are not full too.
func (f *fetcher) messages() [][]byte {
	var all [][]byte
	for len(f.done) > 0 {
		all = append(all, <-f.done)
	}
	for range callsInFlight {
		b := <-f.builders
		if b.Rows() > 0 {
			all = append(all, b.Encode(nil, packed.DynamoDB))
			b.Reset()
		}
		f.builders <- b
	}
	return all
}
