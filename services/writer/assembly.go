package writer

import (
	"context"
	"errors"
	"time"

	"github.com/fastfeaturefetch/fff/shared/commitlog"
	"github.com/fastfeaturefetch/fff/shared/completion"
	"github.com/fastfeaturefetch/fff/shared/dataset"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/sample"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// assembly is a part that is being gathered or written. A cell stands in it once.
type assembly struct {
	run     *stage.Run
	bytes   int64
	timer   *time.Timer
	due     bool // old enough: it is closed as soon as no other part of the run is written
	samples *completion.Samples
	cells   *completion.Cells
	picks   map[string][]pick // by family

	// ctx ends when nobody waits for the part any more: the run's epoch is over, or the
	// process stops.
	ctx    context.Context
	cancel context.CancelFunc

	waiting turns
	err     error // set before the first turn
}

// pick is the rows of a block that belong to the part.
type pick struct {
	message *packed.Message
	block   *packed.BlockView
	rows    []uint32
	sample  []uint32 // number of each row's sample in the part
}

func newAssembly(run *stage.Run) *assembly {
	a := &assembly{run: run, samples: completion.NewSamples(), cells: completion.NewCells(), picks: map[string][]pick{}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// drift is what does not fit the declared types.
type drift struct {
	family, feature string
	cells           work.Block
}

// add takes in a message: its cells that are not in the part yet and fit their declared
// types. Its sender waits for its turn.
func (a *assembly) add(p *packed.Message, sequence uint64, size int64) (*turn, *drift) {
	a.bytes += size
	t := a.waiting.join(sequence)
	numbers := make([]uint32, len(p.Samples))
	for i, s := range p.Samples {
		numbers[i] = a.samples.Add(sample.KeyOf(s.UserID, s.EpochMS))
	}
	var drifted *drift
	for i := range p.Blocks {
		block := &p.Blocks[i]
		family, ok := a.run.File.Family(block.Family)
		if !ok {
			continue // of an older run file; nobody asks for it
		}
		var bad map[int]bool
		if len(family.Features) > 0 {
			bad = a.drift(p, block, family.Features, &drifted)
		}
		k := pick{message: p, block: block}
		for row, s := range block.SampleOf {
			if !bad[row] && a.cells.Add(block.Family, numbers[s]) {
				k.rows = append(k.rows, uint32(row))
				k.sample = append(k.sample, numbers[s])
			}
		}
		if len(k.rows) > 0 {
			a.picks[block.Family] = append(a.picks[block.Family], k)
		}
	}
	return t, drifted
}

// without gives the picks of a staged part less the cells that are committed already.
func (a *assembly) without(picks map[string][]pick, staged *dataset.Part, rejected *commitlog.Entry) (map[string][]pick, error) {
	numbers := make([]uint32, len(staged.Keys))
	for i, k := range staged.Keys {
		numbers[i], _ = a.samples.Find(k) // the part was made of them
	}
	left := map[string][]pick{}
	for _, f := range staged.Families {
		var words []uint64
		if packed := rejected.Rejected[f.Family]; packed != nil {
			var err error
			if words, err = commitlog.UnpackBitmap(packed, len(staged.Keys)); err != nil {
				return nil, err
			}
		}
		gone := map[uint32]bool{}
		for i := range staged.Keys {
			if dataset.Bitmap(words).Has(i) {
				gone[numbers[i]] = true
			}
		}
		for _, k := range picks[f.Family] {
			n := pick{message: k.message, block: k.block}
			for i, s := range k.sample {
				if !gone[s] {
					n.rows, n.sample = append(n.rows, k.rows[i]), append(n.sample, s)
				}
			}
			if len(n.rows) > 0 {
				left[f.Family] = append(left[f.Family], n)
			}
		}
	}
	return left, nil
}

// wait waits until the part is committed. Its error says that the cells are to be given
// back to the queue.
func (a *assembly) wait(ctx context.Context, t *turn) error {
	select {
	case <-t.come:
		a.waiting.leave(t)
		return a.err
	case <-ctx.Done():
		if a.waiting.leave(t) {
			a.cancel()
		}
		return context.Cause(ctx)
	}
}

func (a *assembly) finish(err error) {
	if errors.Is(err, context.Canceled) {
		err = errors.New("the part was given up")
	}
	a.err = err
	a.picks = nil
	a.waiting.begin()
	a.cancel()
}
