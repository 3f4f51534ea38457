package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/fastfeaturefetch/fff/streams"
)

// maxReason bounds the reason of a dead letter in bytes, so that it fits the headers.
const maxReason = 1000

// Letter is a dead letter on its way to FFF_FAILED.
type Letter struct {
	Run, Stage  string
	Kind        string // cell, record or batch
	Code        string
	Reason      string
	Subject     string // that the message came from
	Sequence    uint64 // its sequence there
	Attempts    int
	Count       int // cells or records
	Epoch       uint64
	Service     string // service and instance
	ContentType string
	Data        []byte
}

// PublishLetter publishes a dead letter to fff.failed.<run>.<stage>, with back-off until
// the broker acknowledges it or ctx ends. One that is too large goes without its data: the
// reason says so, and where the data was.
func (c *Client) PublishLetter(ctx context.Context, l *Letter, waiting func(string)) error {
	msg := &nats.Msg{
		Subject: streams.FailedSubject(l.Run, l.Stage),
		Data:    l.Data,
		Header: nats.Header{
			streams.HeaderCode:     {l.Code},
			streams.HeaderReason:   {HeaderText(l.Reason, maxReason)},
			streams.HeaderKind:     {l.Kind},
			streams.HeaderStage:    {l.Stage},
			streams.HeaderSubject:  {l.Subject},
			streams.HeaderSequence: {strconv.FormatUint(l.Sequence, 10)},
			streams.HeaderAttempts: {strconv.Itoa(l.Attempts)},
			streams.HeaderCount:    {strconv.Itoa(l.Count)},
			streams.HeaderService:  {l.Service},
			streams.HeaderEpoch:    {strconv.FormatUint(l.Epoch, 10)},
			streams.HeaderAt:       {time.Now().UTC().Format(time.RFC3339Nano)},
		},
	}
	if l.ContentType != "" {
		msg.Header.Set("Content-Type", l.ContentType)
	}
	err := c.PublishUntil(ctx, msg, waiting)
	if errors.Is(err, ErrTooLarge) && len(msg.Data) > 0 {
		why := fmt.Sprintf("%s (the data of %d bytes does not fit a dead letter; it was message %d on %s)",
			HeaderText(l.Reason, maxReason/2), len(l.Data), l.Sequence, l.Subject)
		msg.Header.Set(streams.HeaderReason, HeaderText(why, maxReason))
		msg.Data = nil
		err = c.PublishUntil(ctx, msg, waiting)
	}
	return err
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
