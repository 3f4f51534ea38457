package featureservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/packed"
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

func TestConnectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run := runOn("http://user:secret@" + listener.Addr().String() + "/?token=secret")
	listener.Close()
	got := plain(newLane(t, &slots{}).Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{}))
	if len(got) != 1 || got[0].code != failure.Unreachable || got[0].action != failure.TryAgain ||
		!strings.Contains(got[0].reason, "connection refused") || strings.Contains(got[0].reason, "secret") {
		t.Errorf("%v", got)
	}
}

func TestURLThatIsNone(t *testing.T) {
	for _, url := range []string{"features", "http://%zz?secret", ":"} {
		got := plain(newLane(t, &slots{}).Do(t.Context(), &stage.Message{Run: runOn(url)}, request("a"), &outputs{}))
		if len(got) != 1 || got[0].action != failure.GiveUp || !strings.HasPrefix(got[0].reason, "feature_service.url: ") ||
			strings.Contains(got[0].reason, "secret") {
			t.Errorf("%q: %v", url, got)
		}
	}
}

// hang answers nothing, or half an answer, until the client has gone.
func hang(begin string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if begin != "" {
			io.WriteString(w, begin)
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

func TestTimeoutHalvesTheRequest(t *testing.T) {
	for name, begin := range map[string]string{"no answer": "", "half an answer": `{"features":{`} {
		t.Run(name, func(t *testing.T) {
			run := serve(t, hang(begin))
			run.File.FeatureService.Fast.Timeout = 20 * time.Millisecond
			lane := newLane(t, &slots{})
			const reason = "no complete answer within 20ms"
			got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a", "b", "c"), &outputs{}))
			want := []verdict{
				{[]string{"a"}, failure.Timeout, failure.TryAgain, reason},
				{[]string{"b", "c"}, failure.Timeout, failure.TryAgain, reason},
			}
			if !sameVerdicts(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			got = plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{}))
			if !sameVerdicts(got, want[:1]) {
				t.Errorf("one family: %v, want %v", got, want[:1])
			}
			if n := lane.client.Counters.Halved.Load(); n != 1 {
				t.Errorf("%d halved, want 1", n)
			}
		})
	}
}

// A stage that is stopped has not failed.
func TestStopIsNoFailedAttempt(t *testing.T) {
	why := errors.New("service stops")
	want := []verdict{{[]string{"a", "b"}, failure.Internal, failure.HoldOn, "stopped: service stops"}}
	ctx, cancel := context.WithCancelCause(t.Context())
	run := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel(why)
		<-r.Context().Done()
	})
	lane := newLane(t, &slots{})
	if got := plain(lane.Do(ctx, &stage.Message{Run: run}, request("a", "b"), &outputs{})); !sameVerdicts(got, want) {
		t.Errorf("during the request: %v, want %v", got, want)
	}
	run = serve(t, answers(200, `{"features":{"a":{},"b":{}}}`))
	out := &outputs{err: why}
	if got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a", "b"), out)); !sameVerdicts(got, want) {
		t.Errorf("while it waits for room: %v, want %v", got, want)
	}
	holder := shares.NewHolder("a", nil) // does not run: gives no slot
	lane = newLane(t, holder)
	if got := plain(lane.Do(ctx, &stage.Message{Run: run}, request("a", "b"), out)); !sameVerdicts(got, want) {
		t.Errorf("while it waits for a slot: %v, want %v", got, want)
	}
}

func TestHugeAnswer(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprint("chunked ", chunked), func(t *testing.T) {
			run := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", fmt.Sprint(MaxAnswerBytes+1))
				}
				blank := bytes.Repeat([]byte(" "), 1<<20)
				for range MaxAnswerBytes>>20 + 1 {
					if _, err := w.Write(blank); err != nil {
						return
					}
				}
			})
			const reason = "the answer is larger than 32 MB"
			lane := newLane(t, &slots{})
			got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a", "b"), &outputs{}))
			want := []verdict{
				{[]string{"a"}, failure.TooLarge, failure.TryAgain, reason},
				{[]string{"b"}, failure.TooLarge, failure.TryAgain, reason},
			}
			if !sameVerdicts(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			got = plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{}))
			want = []verdict{{[]string{"a"}, failure.TooLarge, failure.GiveUp, reason}}
			if !sameVerdicts(got, want) {
				t.Errorf("one family: %v, want %v", got, want)
			}
			if n := lane.client.room.Used() + int64(len(lane.client.beyond)); n != 0 {
				t.Errorf("%d bytes are not given back", n)
			}
		})
	}
}

// sampled is told of the memory in use while a cell is handed on.
type sampled struct {
	outputs
	sample func()
}

func (s *sampled) Cells(ctx context.Context, src packed.Source, fn func(*packed.Builder) error) error {
	s.sample()
	return s.outputs.Cells(ctx, src, fn)
}

// TestMemoryOfAnswers has many large answers come at the same time: they stay within the
// room and one answer more, all get through, and waiting for memory is no time-out.
func TestMemoryOfAnswers(t *testing.T) {
	const calls, size = 24, 8 << 20
	var all sync.WaitGroup
	all.Add(calls)
	blank := bytes.Repeat([]byte(" "), size)
	run := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		all.Done()
		all.Wait()
		_, _ = w.Write(blank)
		_, _ = io.WriteString(w, `{"features":{"a":{"x":1}}}`)
	})
	lane := newLane(t, &slots{})
	var most atomic.Int64
	sample := func() {
		used := lane.client.room.Used()
		for was := most.Load(); used > was && !most.CompareAndSwap(was, used); was = most.Load() {
		}
	}
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if got := lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &sampled{sample: sample}); len(got) > 0 {
				t.Errorf("verdicts %v", plain(got))
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > MemoryBytes || n < size {
		t.Errorf("%d bytes were in use at the most, want those of an answer at least and %d at most", n, MemoryBytes)
	}
	if n := lane.client.room.Used() + int64(len(lane.client.beyond)); n != 0 {
		t.Errorf("%d bytes are not given back", n)
	}
}

func TestLargeCells(t *testing.T) {
	cell := func(n int) string { return fmt.Sprintf(`{"x":%q}`, strings.Repeat("v", n)) }
	fits := work.MaxCellBytes - 100
	body := fmt.Sprintf(`{"features":{"a":%s,"b":%s,"c":{"x":1},"d":%s}}`, cell(fits), cell(work.MaxCellBytes), cell(fits))
	var out outputs
	run := serve(t, answers(200, body))
	r := request("a", "b", "c", "d")
	got := plain(newLane(t, &slots{}).Do(t.Context(), &stage.Message{Run: run}, r, &out))
	want := []verdict{{[]string{"b"}, failure.TooLarge, failure.GiveUp, "the cell is larger than 512 KB"}}
	if !sameVerdicts(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	values := out.values(t, r)
	if len(values) != 3 || len(values["a"]["x"]) < fits || len(values["d"]["x"]) < fits {
		t.Errorf("%d families were delivered, want a, c and d", len(values))
	}
	for i, m := range out.messages {
		if len(m) > work.MaxPublishBytes {
			t.Errorf("message %d has %d bytes", i, len(m))
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	var got decoded
	var header http.Header
	run := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.Method != http.MethodPost || r.URL.Path != "/features" || r.ProtoMajor != 1 {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Proto)
		}
		data, _ := io.ReadAll(r.Body)
		got = decoded{}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		io.WriteString(w, `{}`)
	})
	var s slots
	lane := newLane(t, &s)
	tests := []struct {
		request work.Request
		want    decoded
	}{
		{
			work.Request{UserID: "u1", EpochMS: 1738324800000, Families: []string{"a"}},
			decoded{UserID: "u1", Time: "2025-01-31T12:00:00Z", Families: []string{"a"}},
		},
		{
			work.Request{UserID: "ü\"\\\n<", EpochMS: 1738324800001, Families: []string{"a", "b\u2028"}, Attributes: json.RawMessage(`{"country":"KE"}`)},
			decoded{UserID: "ü\"\\\n<", Time: "2025-01-31T12:00:00.001Z", Families: []string{"a", "b\u2028"}, Attributes: json.RawMessage(`{"country":"KE"}`)},
		},
	}
	for _, tt := range tests {
		lane.Do(t.Context(), &stage.Message{Run: run}, tt.request, &outputs{})
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v, want %+v", got, tt.want)
		}
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Accept-Encoding") != "" {
		t.Errorf("header %v", header)
	}
	want := shares.Want{Key: shares.Key{URL: run.File.FeatureService.URL, Lane: runfile.LaneFast}, Run: "demo", Max: 100}
	if s.wants[0] != want {
		t.Errorf("slot %+v, want %+v", s.wants[0], want)
	}
}

// A kept connection that the server has closed is no failed attempt.
func TestKeptConnectionIsClosed(t *testing.T) {
	server := httptest.NewServer(answers(200, `{"features":{"a":{}}}`))
	defer server.Close()
	run := runOn(server.URL)
	lane := newLane(t, &slots{})
	for range 20 {
		if got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{})); len(got) != 0 {
			t.Fatal(got)
		}
		server.CloseClientConnections()
	}
}

// However many requests there are, the service sees no more than its limit at a time.
func TestLimitHolds(t *testing.T) {
	const most = 4
	var inFlight, peak atomic.Int64
	run := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := inFlight.Add(1)
		defer inFlight.Add(-1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		answers(200, `{"features":{"a":{"x":1},"b":{"y":[{}]}}}`)(w, r)
	})
	run.File.FeatureService.Fast.MaxInFlight = most
	granter := shares.NewGranter(shares.DefaultLease)
	holder := shares.NewHolder("a", func(_ context.Context, r shares.Request) (shares.Grant, error) {
		return granter.Grant(time.Now(), r), nil
	})
	var workers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	holding := make(chan struct{})
	go func() { holder.Run(ctx); close(holding) }()
	lane := newLane(t, holder)
	var out outputs
	for range 32 {
		workers.Go(func() {
			for range 20 {
				if got := plain(lane.Do(ctx, &stage.Message{Run: run}, request("a", "b"), &out)); len(got) != 0 {
					t.Error(got)
				}
			}
		})
	}
	workers.Wait()
	cancel()
	<-holding
	if p := peak.Load(); p > most || len(out.messages) != 640 {
		t.Errorf("%d requests at a time, want at most %d; %d answers", p, most, len(out.messages))
	}
}

func TestConnectionsAreKept(t *testing.T) {
	remotes := make(map[string]int)
	run := serve(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr]++
		answers(200, `{"features":{"a":{}}}`)(w, r)
	})
	lane := newLane(t, &slots{})
	for range 10 {
		if got := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a"), &outputs{})); len(got) != 0 {
			t.Fatal(got)
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections for 10 requests one after the other", len(remotes))
	}
}

func TestUnits(t *testing.T) {
	many := make([]string, 45)
	for i := range many {
		many[i] = fmt.Sprintf("f%02d", i)
	}
	run := runOn("http://features.test")
	tests := []struct {
		name  string
		block work.Block
		want  []int // families of each unit
	}{
		{"one request", work.Block{Requests: []work.Request{request("a", "b")}}, []int{2}},
		{"several", work.Block{Requests: []work.Request{request("a"), request("a", "b", "c")}}, []int{1, 3}},
		{"too many families for one: equal parts", work.Block{Requests: []work.Request{request(many...)}}, []int{15, 15, 15}},
		{"just too many", work.Block{Requests: []work.Request{request(many[:21]...)}}, []int{11, 10}},
		{"edited by hand", work.Block{Requests: []work.Request{{UserID: "u", Families: []string{"a", "b", "a"}, Direct: []string{"b", "c"}}}}, []int{3}},
	}
	lane := newLane(t, &slots{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			units, err := lane.Units(&stage.Message{Run: run, Data: tt.block.Encode()})
			if err != nil {
				t.Fatal(err)
			}
			var sizes []int
			for _, u := range units {
				sizes = append(sizes, len(u.Families))
				letter := lane.Letter(nil, u)
				again, err := work.Decode(letter.Data)
				if err != nil || len(again.Requests) != 1 || !reflect.DeepEqual(again.Requests[0], u) ||
					letter.Kind != stage.KindCell || letter.Count != len(u.Families) {
					t.Errorf("letter %+v of %+v: %v", letter, u, err)
				}
			}
			if !slices.Equal(sizes, tt.want) {
				t.Errorf("units of %v families, want %v", sizes, tt.want)
			}
		})
	}
}

func TestUnitsOfABadMessage(t *testing.T) {
	lane := newLane(t, &slots{})
	without := &stage.Run{ID: "demo", File: &runfile.File{}}
	good := (&work.Block{Requests: []work.Request{request("a")}}).Encode()
	for _, m := range []*stage.Message{
		{Run: runOn("http://features.test"), Data: []byte(`{"requests":[{}]}`)},
		{Run: runOn("http://features.test"), Data: []byte("x")},
		{Run: without, Data: good},
	} {
		_, err := lane.Units(m)
		if f := failure.As(err); err == nil || f.Code != failure.BadMessage || f.Action != failure.GiveUp {
			t.Errorf("%s: %v", m.Data, err)
		}
	}
}
