package runner

import (
	"context"

	"github.com/fastfeaturefetch/fff/shared/broker"
	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

// deadLetter publishes what failed to fff.failed.<run>.<stage> and waits for the broker's
// acknowledgement.
func (w *worker[U]) deadLetter(ctx context.Context, l stage.Letter, e *failure.Error, attempts int) error {
	r, m := w.r, w.m
	err := r.c.PublishLetter(ctx, &broker.Letter{
		Run: m.Run.ID, Stage: string(r.cfg.Stage), Kind: l.Kind, Code: string(e.Code), Reason: e.Error(),
		Subject: w.h.msg.Subject(), Sequence: m.Sequence, Attempts: attempts, Count: l.Count, Epoch: m.Run.Epoch,
		Service: r.cfg.Service + "." + r.cfg.Instance, ContentType: l.ContentType, Data: l.Data,
	}, func(why string) { r.stats.waiting(m.Run.ID, why) })
	if err != nil {
		return err
	}
	if l.Kind == stage.KindCell {
		r.stats.failed(m.Run.ID, int64(l.Count), familiesOf(l.Data))
	}
	r.metrics.Failures.WithLabelValues(string(r.cfg.Stage), string(e.Code)).Add(float64(l.Count))
	r.log.Debug().Str("run", m.Run.ID).Str("code", string(e.Code)).Int("count", l.Count).Err(e).Msg("dead letter")
	return nil
}

// familiesOf gives the family of each cell of a dead letter of cells.
func familiesOf(data []byte) (families []string) {
	b, err := work.Decode(data)
	if err != nil {
		return nil // the stage made it: there is nothing to read in a message that is no block
	}
	for i := range b.Requests {
		families = append(append(families, b.Requests[i].Families...), b.Requests[i].Direct...)
	}
	return families
}
