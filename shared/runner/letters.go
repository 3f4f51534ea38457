package runner

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// maxReason bounds the reason of a dead letter, so that it fits the headers.
const maxReason = 1000

// deadLetter publishes what failed to fff.failed.<run>.<stage> and waits for the broker's
// acknowledgement.
func (r *Runner[U]) deadLetter(ctx context.Context, m *stage.Message, h *held, l stage.Letter, e *failure.Error, attempts int) error {
	msg := &nats.Msg{
		Subject: streams.FailedSubject(m.Run.ID, string(r.cfg.Stage)),
		Data:    l.Data,
		Header: nats.Header{
			streams.HeaderCode:     {string(e.Code)},
			streams.HeaderReason:   {HeaderText(e.Error(), maxReason)},
			streams.HeaderKind:     {l.Kind},
			streams.HeaderStage:    {string(r.cfg.Stage)},
			streams.HeaderSubject:  {h.msg.Subject()},
			streams.HeaderSequence: {strconv.FormatUint(h.seq, 10)},
			streams.HeaderAttempts: {strconv.Itoa(attempts)},
			streams.HeaderCount:    {strconv.Itoa(l.Count)},
			streams.HeaderService:  {r.cfg.Service + "." + r.cfg.Instance},
			streams.HeaderEpoch:    {strconv.FormatUint(m.Run.Epoch, 10)},
			streams.HeaderAt:       {time.Now().UTC().Format(time.RFC3339Nano)},
		},
	}
	if l.ContentType != "" {
		msg.Header.Set("Content-Type", l.ContentType)
	}
	err := r.c.PublishUntil(ctx, msg, func(why string) { r.stats.waiting(m.Run.ID, why) })
	if err != nil {
		return err
	}
	if l.Kind == stage.KindCell {
		r.stats.failed(m.Run.ID, int64(l.Count))
	}
	r.metrics.Failures.WithLabelValues(string(r.cfg.Stage), string(e.Code)).Add(float64(l.Count))
	r.log.Debug().Str("run", m.Run.ID).Str("code", string(e.Code)).Int("count", l.Count).Err(e).Msg("dead letter")
	return nil
}

// HeaderText makes a text fit for a header: one line of valid UTF-8, at most limit bytes.
func HeaderText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
