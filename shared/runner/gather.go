package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/room"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
	"github.com/fastfeaturefetch/fff/streams"
)

// publishing is how many messages of a run an instance publishes at the same time.
const publishing = 16

// gatherer collects the outputs of a run's messages into larger messages, because small
// ones are dear, and publishes them.
type gatherer struct {
	ctx   context.Context // ends with the run's epoch
	cfg   *Config
	run   *stage.Run
	c     *broker.Client
	stats *Stats
	slots chan struct{}
	room  *room.Room  // of the process
	more  func() bool // tells whether messages of the run are worked on, so that more outputs are to come

	mu      sync.Mutex
	idle    map[destination][]*batch
	filling map[destination]chan struct{}
}

// destination is what outputs must have in common to travel together.
type destination struct {
	to  stage.Name
	src packed.Source
}

// batch is a message that is being gathered. Who took it from the idle ones has it for
// itself until it is given back or published.
type batch struct {
	dest     destination
	packed   *packed.Builder // to the writer
	block    work.Block      // to the other stages
	bytes    int             // of block
	memory   int64           // what it has of the room
	trackers map[*tracker]struct{}
	lingers  int  // begun so far
	due      bool // its linger ended while somebody had it
	taken    bool
}

func newGatherer(ctx context.Context, cfg *Config, run *stage.Run, c *broker.Client, stats *Stats, outputs *room.Room, more func() bool) *gatherer {
	return &gatherer{ctx: ctx, cfg: cfg, run: run, c: c, stats: stats, room: outputs, more: more,
		slots: make(chan struct{}, publishing), idle: map[destination][]*batch{}, filling: map[destination]chan struct{}{}}
}

// fill waits for a turn to fill a batch of a destination, and gives what ends it. There are
// as many turns as goroutines run at a time: filling is work of processors, so more batches would not be done
// sooner, and hundreds of units would share as many batches that are all nearly empty.
func (g *gatherer) fill(ctx context.Context, d destination) (end func(), err error) {
	g.mu.Lock()
	turns := g.filling[d]
	if turns == nil {
		turns = make(chan struct{}, runtime.GOMAXPROCS(0))
		g.filling[d] = turns
	}
	g.mu.Unlock()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

var builders = sync.Pool{New: func() any { return packed.NewBuilder() }}

// Bytes that a batch takes while it is gathered and encoded: twice what it may grow to, and
// what its builder keeps for others.
const (
	blockBytes  = 2 * work.MaxPublishBytes
	packedBytes = 2*(work.GatherPackedBytes+work.MaxCellBytes) + packed.MaxKeptBytes
)

func (d destination) batchBytes() int64 {
	if d.to == stage.Writer {
		return packedBytes
	}
	return blockBytes
}

// target is how many bytes of cells are gathered: those of lookups come with as many rows of
// a family as a message needs, those of the feature service with one.
func (d destination) target() int {
	if d.src == packed.FeatureService {
		return work.GatherPackedBytes
	}
	return work.TargetPackedBytes
}

// full tells whether a batch of cells has grown to its target, or a block of it to what
// leaves room for one more cell in a message.
func (b *batch) full() bool {
	return b.packed.Size() >= b.dest.target() ||
		b.packed.Largest() >= work.MaxPublishBytes-work.MaxCellBytes
}

// take gives a batch with room for need more bytes, a new one if it is not to be shared.
// Before it makes one it waits until there is memory for it. Those that are being gathered
// hold some only until they are published, which waits for the broker and nothing else.
func (g *gatherer) take(ctx context.Context, d destination, need int, alone bool) (*batch, error) {
	if !alone {
		b, full := g.reuse(d, need)
		if b != nil {
			return b, nil
		}
		if full != nil {
			g.publish(ctx, full)
		}
	}
	if err := g.room.Take(ctx, g.run.ID, d.batchBytes()); err != nil {
		return nil, err
	}
	b := &batch{dest: d, trackers: map[*tracker]struct{}{}, taken: true, lingers: 1, memory: d.batchBytes()}
	if d.to == stage.Writer {
		b.packed = builders.Get().(*packed.Builder)
	}
	time.AfterFunc(g.cfg.Linger, func() { g.lingered(b) })
	return b, nil
}

// reuse gives an idle batch with room for need more bytes, or one that is too full for it.
func (g *gatherer) reuse(d destination, need int) (b, full *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.idle[d]
	if len(list) == 0 {
		return nil, nil
	}
	last := list[len(list)-1]
	g.idle[d] = list[:len(list)-1]
	last.taken = true
	if last.packed != nil || last.bytes+need <= work.MaxMessageBytes {
		return last, nil
	}
	return nil, last
}

// give returns a batch that has room left.
func (g *gatherer) give(b *batch) {
	g.mu.Lock()
	due := b.due && !g.lingersOn(b)
	if !due {
		b.due, b.taken = false, false
		g.idle[b.dest] = append(g.idle[b.dest], b)
	}
	g.mu.Unlock()
	if due {
		go g.publish(g.ctx, b)
	}
}

// maxLingers is how many times a batch lingers. Those after the first are for one that is
// small while the run is worked on: where backends or the machine are slow, little comes in
// a linger, and small messages would make all slower still.
const maxLingers = 5

// lingersOn lets a batch that has lingered do so once more, if that is worth while. Nobody
// else has it.
func (g *gatherer) lingersOn(b *batch) bool {
	if b.lingers >= maxLingers || b.halfFull() || !g.more() {
		return false
	}
	b.lingers++
	time.AfterFunc(g.cfg.Linger, func() { g.lingered(b) })
	return true
}

func (b *batch) halfFull() bool {
	if b.packed != nil {
		return b.packed.Size() >= b.dest.target()/2
	}
	return len(b.block.Requests) >= maxRequests(b.dest.to)/2 || b.bytes >= work.MaxMessageBytes/2
}

func maxRequests(to stage.Name) int {
	if to == stage.Dynamo {
		return work.MaxSamplesPerBlock
	}
	return work.MaxRequestsPerLane
}

// lingered publishes a batch that has waited long enough, or sees to it that who has it
// does so.
func (g *gatherer) lingered(b *batch) {
	g.mu.Lock()
	if b.taken {
		b.due = true
		g.mu.Unlock()
		return
	}
	if g.lingersOn(b) {
		g.mu.Unlock()
		return
	}
	b.taken = true
	list := g.idle[b.dest]
	for i := range list {
		if list[i] == b {
			g.idle[b.dest] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	g.mu.Unlock()
	g.publish(g.ctx, b)
}

// publish sends a batch that the caller has for itself, and tells those who wait for it.
// It returns when there was room for it. When the caller's context ends before, the batch
// waits on without it: outputs of other messages are in it too.
func (g *gatherer) publish(ctx context.Context, b *batch) {
	if b.empty() {
		g.finish(b, nil)
		return
	}
	room := make(chan struct{})
	found := sync.OnceFunc(func() { close(room) })
	go func() {
		defer found()
		g.finish(b, g.send(b, found))
	}()
	select {
	case <-room:
	case <-ctx.Done():
	}
}

func (b *batch) empty() bool {
	if b.packed != nil {
		return b.packed.Rows() == 0
	}
	return len(b.block.Requests) == 0
}

func (g *gatherer) finish(b *batch, err error) {
	b.recycle()
	g.room.Give(g.run.ID, b.memory)
	for t := range b.trackers {
		t.done(err)
	}
}

// recycle gives the builder to other batches.
func (b *batch) recycle() {
	if b.packed != nil {
		b.packed.Reset()
		builders.Put(b.packed)
		b.packed = nil
	}
}

// encode gives the batch's messages, and gives back the memory that they were made with.
func (g *gatherer) encode(b *batch) (messages [][]byte) {
	if b.packed != nil {
		g.stats.fetched(g.run.ID, b.packed)
		messages = b.packed.EncodeParts(b.dest.src, work.TargetPackedBytes, work.MaxPublishBytes)
		b.recycle()
	} else {
		messages = [][]byte{b.block.Encode()}
		b.block.Requests = nil
	}
	rest := b.memory
	for _, data := range messages {
		rest -= int64(len(data))
	}
	if rest > 0 {
		b.memory -= rest
		g.room.Give(g.run.ID, rest)
	}
	return messages
}

// discard drops a batch whose content a panic has left in the middle of something.
func (g *gatherer) discard(b *batch) {
	b.packed = nil
	g.finish(b, errDiscarded)
}

var errDiscarded = errors.New("its outputs were lost in a panic")

// send waits for room, says that it was found, and publishes.
func (g *gatherer) send(b *batch, found func()) error {
	if g.cfg.Gate != nil {
		if err := g.cfg.Gate(g.ctx, g.run); err != nil {
			return err
		}
	}
	select {
	case g.slots <- struct{}{}:
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
	defer func() { <-g.slots }()
	found()
	for _, data := range g.encode(b) {
		msg := &nats.Msg{Subject: streams.Subject(b.dest.to, g.run.ID), Data: data, Header: nats.Header{
			streams.HeaderEpoch: {strconv.FormatUint(g.run.Epoch, 10)},
			// Saves a copy when an answer is lost and the message is sent again; nothing
			// depends on it.
			jetstream.MsgIDHeader: {nuid.Next()},
		}}
		if err := g.c.PublishUntil(g.ctx, msg, func(why string) { g.stats.waiting(g.run.ID, why) }); err != nil {
			return err
		}
	}
	return nil
}

// tracker counts the batches that carry outputs of one message.
type tracker struct {
	mu      sync.Mutex
	pending int
	sealed  bool
	err     error
	ready   chan struct{}
}

func newTracker() *tracker { return &tracker{ready: make(chan struct{})} }

func (t *tracker) add(b *batch) {
	if _, ok := b.trackers[t]; ok {
		return
	}
	b.trackers[t] = struct{}{}
	t.mu.Lock()
	t.pending++
	t.mu.Unlock()
}

func (t *tracker) done(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending--
	t.err = errors.Join(t.err, err)
	if t.sealed && t.pending == 0 {
		close(t.ready)
	}
}

// wait waits until the broker has acknowledged every batch.
func (t *tracker) wait(ctx context.Context) error {
	t.mu.Lock()
	t.sealed = true
	if t.pending == 0 {
		t.mu.Unlock()
		return t.err
	}
	t.mu.Unlock()
	select {
	case <-t.ready:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// outputs is what a stage sees while it works on one message.
type outputs struct {
	g     *gatherer
	t     *tracker
	alone bool // each output travels by itself, so that one that fails takes no other along
}

// Cells implements stage.Outputs.
func (o *outputs) Cells(ctx context.Context, src packed.Source, fn func(*packed.Builder) error) error {
	d := destination{stage.Writer, src}
	end, err := o.g.fill(ctx, d)
	if err != nil {
		return err
	}
	defer end()
	b, err := o.g.take(ctx, d, 0, o.alone)
	if err != nil {
		return err
	}
	before, returned := b.packed.Rows(), false
	defer func() {
		if !returned {
			o.g.discard(b)
		}
	}()
	err = fn(b.packed)
	returned = true
	if n := b.packed.Rows() - before; n > 0 {
		o.t.add(b)
		o.g.stats.out(o.g.run.ID, int64(n))
	}
	if o.alone || b.full() {
		o.g.publish(ctx, b)
	} else {
		o.g.give(b)
	}
	return err
}

// Request implements stage.Outputs.
func (o *outputs) Request(ctx context.Context, to stage.Name, r work.Request) error {
	if to != stage.Dynamo && to != stage.FSFast && to != stage.FSSlow {
		return fmt.Errorf("no requests go to stage %s", to)
	}
	d, size := destination{to: to}, r.Size()
	end, err := o.g.fill(ctx, d)
	if err != nil {
		return err
	}
	defer end()
	b, err := o.g.take(ctx, d, size, o.alone)
	if err != nil {
		return err
	}
	b.block.Requests = append(b.block.Requests, r)
	b.bytes += size
	o.t.add(b)
	o.g.stats.out(o.g.run.ID, int64(r.Cells()))
	if o.alone || len(b.block.Requests) >= maxRequests(to) {
		o.g.publish(ctx, b)
	} else {
		o.g.give(b)
	}
	return nil
}
