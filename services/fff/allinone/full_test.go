package allinone_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fastfeaturefetch/fff/shared/control"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/streams"
)

// A full queue holds back whoever publishes to it and fails no cell: the run says what it
// waits for, and goes on when there is room.
func TestFullQueuesAreBackPressure(t *testing.T) {
	for _, queue := range []stage.Name{stage.Dynamo, stage.FSFast, stage.FSSlow, stage.Writer} {
		t.Run(string(queue), func(t *testing.T) {
			s := start(t, job{})
			stream, other := streams.Of(queue), streams.Subject(queue, "somebody-else")
			var room int64
			s.update(stream, func(c *jetstream.StreamConfig) { room, c.MaxBytes = c.MaxBytes, 64<<10 })
			if _, err := s.js.Publish(t.Context(), other, make([]byte, 64<<10-200)); err != nil {
				t.Fatal(err)
			}
			r := s.open(job{})
			r.submit(usual())
			s.await("the run waits for room on "+stream, func() bool {
				for _, st := range r.status().Stages {
					if strings.Contains(st.Waiting, "room on "+streams.Subject(queue, r.id)) {
						return true
					}
				}
				return false
			})
			if n := r.status().Failed; n != 0 {
				t.Errorf("%d cells have failed because %s is full", n, stream)
			}
			if n, err := streams.PurgeSubject(t.Context(), s.js, stream, other); err != nil || n != 1 {
				t.Fatalf("%d messages are purged, %v", n, err)
			}
			s.update(stream, func(c *jetstream.StreamConfig) { c.MaxBytes = room })
			r.ends(control.Completed)
			r.isExact()
		})
	}
}
