package control

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Who follows a run looks when he is told of a change, and once more soon: the leader may
// not know of it at once.
func TestAFollowerLooksWhenTold(t *testing.T) {
	b, c := start(t)
	var looks atomic.Int32
	_, err := b.NC.Subscribe(SubjectStatus+".*", func(m *nats.Msg) {
		s := Status{Run: "demo", State: Running}
		if looks.Add(1) > 2 {
			s.State, s.Teardown = Completed, TeardownDone
		}
		_ = m.Respond(EncodeReply(s, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{})
	f := Follower{Client: c, Run: "demo", Poll: time.Hour, Silence: time.Hour, Changed: changed, Progress: func(*Status) {}, Note: func(string) {}}
	ended := make(chan *Status)
	go func() {
		s, err := f.Until(t.Context())
		if err != nil {
			t.Error(err)
		}
		ended <- s
	}()
	changed <- struct{}{} // taken behind the first look
	if s := <-ended; s == nil || s.State != Completed || looks.Load() != 3 {
		t.Errorf("after %d looks it gives %+v", looks.Load(), s)
	}
}
