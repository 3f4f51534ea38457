package control_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/control"
)

func TestReplies(t *testing.T) {
	at := time.Date(2025, 1, 31, 12, 0, 0, 123, time.UTC)
	want := control.Status{Run: "demo", State: control.Running, Committed: 7, BySource: map[string]int64{"dynamodb": 7}, StartedAt: at}
	var got control.Status
	if err := control.DecodeReply(control.EncodeReply(want, nil), &got); err != nil || got.Committed != 7 || !got.StartedAt.Equal(at) {
		t.Errorf("got %+v, %v", got, err)
	}
	var list []control.Status
	if err := control.DecodeReply(control.EncodeReply([]control.Status{want}, nil), &list); err != nil || len(list) != 1 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestErrorsInReplies(t *testing.T) {
	for _, c := range []struct {
		err  error
		want control.Error
	}{
		{&control.Error{Code: control.CodeBadRunFile, Message: "no", Field: "families"}, control.Error{Code: control.CodeBadRunFile, Message: "no", Field: "families"}},
		{errors.Join(control.Errorf(control.CodeOwned, "by %s", "them")), control.Error{Code: control.CodeOwned, Message: "by them"}},
		{errors.New("disk full"), control.Error{Code: control.CodeInternal, Message: "disk full"}},
	} {
		err := control.DecodeReply(control.EncodeReply(nil, c.err), &struct{}{})
		if e, ok := errors.AsType[*control.Error](err); !ok || *e != c.want {
			t.Errorf("%v came back as %#v", c.err, err)
		}
	}
	reply := control.EncodeReply(control.Status{ReadUnits: map[string]float64{"t": math.NaN()}}, nil)
	if err := control.DecodeReply(reply, &control.Status{}); err == nil || !strings.Contains(err.Error(), "cannot be encoded") {
		t.Errorf("a reply that cannot be encoded gives %v", err)
	}
}

func TestSelection(t *testing.T) {
	timeout := &control.Letter{Sequence: 3, Stage: "fs-fast", Code: "timeout", Kind: "cell"}
	for _, c := range []struct {
		s       control.Selection
		ok      bool
		matches bool
	}{
		{control.Selection{}, false, true},
		{control.Selection{All: true}, true, true},
		{control.Selection{Sequences: []uint64{1, 3}}, true, true},
		{control.Selection{Sequences: []uint64{1}}, true, false},
		{control.Selection{Sequences: []uint64{3}, All: true}, false, true},
		{control.Selection{Stage: "fs-fast", Code: "timeout", Kind: "cell"}, true, true},
		{control.Selection{Stage: "fs-slow"}, true, false},
		{control.Selection{Code: "poison"}, true, false},
		{control.Selection{Kind: "record"}, true, false},
	} {
		if err := c.s.Check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.s, err)
		}
		if got := c.s.Matches(timeout); got != c.matches {
			t.Errorf("%+v matches: %v", c.s, got)
		}
	}
}

func TestEndedAndTornDown(t *testing.T) {
	for _, c := range []struct {
		s               control.Status
		ended, tornDown bool
	}{
		{control.Status{State: control.Running}, false, false},
		{control.Status{State: control.Finalising, Teardown: control.TeardownDone}, false, false},
		{control.Status{State: control.Failed, Teardown: control.TeardownPending}, true, false},
		{control.Status{State: control.Completed, Teardown: control.TeardownDone}, true, true},
	} {
		if c.s.Ended() != c.ended || c.s.TornDown() != c.tornDown {
			t.Errorf("%s, teardown %q: ended %v, torn down %v", c.s.State, c.s.Teardown, c.s.Ended(), c.s.TornDown())
		}
	}
}

func FuzzDecodeReply(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, ``, `{"error":{"code":"internal"}}`, `{"run":"demo","state":"running","stages":[{"name":"ingest"}]}`, `{"error":null}`, `{"error":3}`, `[{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s control.Status
		if control.DecodeReply(data, &s) == nil {
			var again control.Status
			if err := control.DecodeReply(control.EncodeReply(s, nil), &again); err != nil {
				t.Fatalf("%q was read, but what was read cannot be: %v", data, err)
			}
		}
	})
}
