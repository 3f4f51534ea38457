package featureservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	"github.com/fastfeaturefetch/fff/shared/runfile"
	"github.com/fastfeaturefetch/fff/shared/shares"
	"github.com/fastfeaturefetch/fff/shared/stage"
	"github.com/fastfeaturefetch/fff/shared/work"
)

const missing = "the answer holds neither features nor an error for the family"

type row = map[string]string

// What an answer means, case by case. Families a and b are asked for.
func TestAnswers(t *testing.T) {
	both := []string{"a", "b"}
	tests := []struct {
		name    string
		body    string
		want    map[string]row
		failed  []verdict
		unasked int64
	}{
		{
			name: "every kind of value",
			body: `{"features":{"a":{"i":-7,"d":2.5,"e":1e3,"s":"x\u00e9\n","y":true,"n":null,"l":[1,{"k":2}],"o":{}},"b":{"i":9223372036854775807,"big":9223372036854775808}},"errors":{}}`,
			want: map[string]row{
				"a": {"i": "int64 -7", "d": "double 2.5", "e": "double 1000", "s": "string xé\n", "y": "bool true", "n": "null", "l": `json [1,{"k":2}]`, "o": "json {}"},
				"b": {"i": "int64 9223372036854775807", "big": "double 9223372036854776000"},
			},
		},
		{
			name: "bare NaN and infinities",
			body: `{"features":{"a":{"x":NaN,"y":Infinity,"z":-Infinity},"b":{"j":[NaN]}}}`,
			want: map[string]row{"a": {"x": "double NaN", "y": "double Infinity", "z": "double -Infinity"}, "b": {"j": "json [NaN]"}},
		},
		{
			name: "an empty family is a row of nulls",
			body: `{"features":{"a":{},"b":{"x":null}}}`,
			want: map[string]row{"a": {}, "b": {"x": "null"}},
		},
		{
			name:   "a family is left out, another null",
			body:   `{"features":{"a":null}}`,
			failed: []verdict{{both, failure.MissingInResponse, failure.TryAgain, missing}},
		},
		{
			name:   "nothing at all",
			body:   `{}`,
			failed: []verdict{{both, failure.MissingInResponse, failure.TryAgain, missing}},
		},
		{
			name:   "features and errors are null",
			body:   `{"features":null,"errors":null}`,
			failed: []verdict{{both, failure.MissingInResponse, failure.TryAgain, missing}},
		},
		{
			name: "an error for one family",
			body: `{"features":{"a":{"x":1}},"errors":{"b":{"code":"DB_DOWN","message":"no replica","retryable":true}}}`,
			want: map[string]row{"a": {"x": "int64 1"}},
			failed: []verdict{
				{[]string{"b"}, failure.ServiceError, failure.TryAgain, "DB_DOWN: no replica"},
			},
		},
		{
			name: "an error that trying again does not cure; one that does not say",
			body: `{"errors":{"a":{"code":"UNKNOWN_USER","message":"u1","retryable":false},"b":{"code":"OOPS"}}}`,
			failed: []verdict{
				{[]string{"a"}, failure.ServiceError, failure.GiveUp, "UNKNOWN_USER: u1"},
				{[]string{"b"}, failure.ServiceError, failure.TryAgain, "OOPS"},
			},
		},
		{
			name:   "the same error for both is one verdict",
			body:   `{"errors":{"b":{"code":"C","message":"m"},"a":{"message":"m","code":"C","retryable":true,"more":[1]}}}`,
			failed: []verdict{{both, failure.ServiceError, failure.TryAgain, "C: m"}},
		},
		{
			name:   "an error that says nothing, and one of nulls",
			body:   `{"errors":{"a":{},"b":{"code":null,"message":null,"retryable":null}}}`,
			failed: []verdict{{both, failure.ServiceError, failure.TryAgain, "an error without code and message"}},
		},
		{
			name: "a null error is none",
			body: `{"features":{"a":{},"b":{}},"errors":{"a":null}}`,
			want: map[string]row{"a": {}, "b": {}},
		},
		{
			name:   "in both: the error wins, whichever comes first",
			body:   `{"errors":{"a":{"code":"E"}},"features":{"a":{"x":1},"b":{"x":1}},"more":{}}`,
			want:   map[string]row{"b": {"x": "int64 1"}},
			failed: []verdict{{[]string{"a"}, failure.ServiceError, failure.TryAgain, "E"}},
		},
		{
			name:    "not asked for: ignored and counted",
			body:    `{"features":{"c":{"x":1},"a":{},"b":{},"d":5},"errors":{"e":{"code":"E"}}}`,
			want:    map[string]row{"a": {}, "b": {}},
			unasked: 3,
		},
		{
			name: "family ids and names with escapes",
			body: "{\"features\":{\"\\u0061\":{\"\\u006E\\t\":1},\"b\":{}}}",
			want: map[string]row{"a": {"n\t": "int64 1"}, "b": {}},
		},
		{
			name:   "control bytes in an error's message",
			body:   `{"features":{"b":{}},"errors":{"a":{"code":"\u0007E","message":"x\u0000\r\n\u001b[31my"}}}`,
			want:   map[string]row{"b": {}},
			failed: []verdict{{[]string{"a"}, failure.ServiceError, failure.TryAgain, "E: x [31my"}},
		},
		{
			name: "a repeated feature spoils its family",
			body: `{"features":{"a":{"x":1,"\u0078":2},"b":{"x":1}}}`,
			want: map[string]row{"b": {"x": "int64 1"}},
			failed: []verdict{
				{[]string{"a"}, failure.BadResponse, failure.TryAgain, `the answer names feature "x" twice`},
			},
		},
		{
			name: "a repeated key within a value, too",
			body: `{"features":{"a":{"x":[{"k":1,"l":{"k":1}},{"k":1,"k":2}]},"b":{"x":[{"k":1},{"k":1}]}}}`,
			want: map[string]row{"b": {"x": `json [{"k":1},{"k":1}]`}},
			failed: []verdict{
				{[]string{"a"}, failure.BadResponse, failure.TryAgain, `the answer repeats key "k" within feature "x"`},
			},
		},
		{
			name:   "a repeated family",
			body:   `{"features":{"a":{},"b":{},"a":{}}}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the answer repeats family "a" under "features"`}},
		},
		{
			name:   "a repeated family, once null",
			body:   `{"features":{"a":{},"b":{},"a":null}}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the answer repeats family "a" under "features"`}},
		},
		{
			name:   "a repeated error",
			body:   `{"features":{"a":{}},"errors":{"b":{},"b":{}}}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the answer repeats family "b" under "errors"`}},
		},
		{
			name:   "repeated features",
			body:   `{"features":{"a":{}},"features":{"b":{}}}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the answer repeats "features"`}},
		},
		{
			name:   "a repeated key of an error",
			body:   `{"features":{"a":{}},"errors":{"b":{"code":"A","code":"B"}}}`,
			want:   map[string]row{"a": {}},
			failed: []verdict{{[]string{"b"}, failure.BadResponse, failure.TryAgain, `the error for the family repeats "code"`}},
		},
		{
			name:   "a family that is no object",
			body:   `{"features":{"a":5,"b":{}}}`,
			want:   map[string]row{"b": {}},
			failed: []verdict{{[]string{"a"}, failure.BadResponse, failure.TryAgain, "the answer's features of the family are no object"}},
		},
		{
			name:   "an error that is no object, and one with a code that is no string",
			body:   `{"errors":{"a":"broken","b":{"code":5}}}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the error for the family is not of the form {"code","message","retryable"}`}},
		},
		{
			name:   "a number that float64 cannot hold",
			body:   `{"features":{"a":{"y":1,"x":1e999},"b":{"x":1}}}`,
			want:   map[string]row{"b": {"x": "int64 1"}},
			failed: []verdict{{[]string{"a"}, failure.BadResponse, failure.TryAgain, "the answer's features of the family: JSON at byte 11: the number is too large for a float64"}},
		},
		{
			name:   "features that are no object",
			body:   `{"features":[]}`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, `the answer's "features" is an array instead of an object`}},
		},
		{
			name:   "no object",
			body:   `[]`,
			failed: []verdict{{both, failure.BadResponse, failure.TryAgain, "the answer cannot be read: JSON at byte 0: want an object, found an array"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run := serve(t, answers(http.StatusOK, tt.body))
			lane := newLane(t, &slots{})
			for range 2 { // again when names are known
				var out outputs
				r := request(both...)
				failed := plain(lane.Do(t.Context(), &stage.Message{Run: run}, r, &out))
				if !sameVerdicts(failed, tt.failed) {
					t.Errorf("failed:\n%v\nwant:\n%v", failed, tt.failed)
				}
				if got := out.values(t, r); !maps.EqualFunc(got, tt.want, maps.Equal) {
					t.Errorf("delivered %v, want %v", got, tt.want)
				}
			}
			if n := lane.client.Counters.Unasked.Load(); n != 2*tt.unasked {
				t.Errorf("%d not asked for, want %d", n, 2*tt.unasked)
			}
		})
	}
}

// Answers that are no JSON, to their last byte.
func TestBrokenAnswers(t *testing.T) {
	good := `{"features":{"a":{"x":1.5,"s":"text","l":[true,null]}},"errors":{"b":{"code":"E"}}}`
	bodies := []string{
		"", "null", "<html>", good + "x", good + good,
		`{"features":{"a":{"x":01}}}`, `{"features":{"a":{"x":nan}}}`, `{"features":{"a":{"x":1,}}}`,
		`{"features":{"a":{"x":"` + "\n" + `"}}}`, `{"features":{"a":{'x':1}}}`,
		`{"features":{"a":{"x":` + strings.Repeat("[", 100_000) + `}}}`,
		`{"features":{"c":{"x":}}}`, `{"other":{]}`,
	}
	for i := range len(good) - 1 {
		bodies = append(bodies, good[:i+1])
	}
	var body string
	run := serve(t, func(w http.ResponseWriter, r *http.Request) { answers(http.StatusOK, body)(w, r) })
	lane := newLane(t, &slots{})
	for _, body = range bodies {
		var out outputs
		failed := plain(lane.Do(t.Context(), &stage.Message{Run: run}, request("a", "b"), &out))
		if len(failed) != 1 || len(failed[0].families) != 2 || failed[0].code != failure.BadResponse ||
			failed[0].action != failure.TryAgain || len(out.messages) != 0 {
			t.Errorf("%.80q: %v, %d messages", body, failed, len(out.messages))
		}
	}
}

func TestRefusals(t *testing.T) {
	date := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name     string
		handler  http.HandlerFunc
		code     failure.Code
		action   failure.Action
		reason   string
		min, max time.Duration // of the wait
	}{
		{"500", answers(500, "boom\x00\n<b>"), failure.ServerError, failure.TryAgain, "HTTP 500: boom <b>", 0, 0},
		{"502 without a body", answers(502, ""), failure.ServerError, failure.TryAgain, "HTTP 502", 0, 0},
		{"429", answers(429, "slow down", "Retry-After", "7"), failure.Rejected, failure.HoldOn, "HTTP 429: slow down", 7 * time.Second, 7 * time.Second},
		{"429 without Retry-After", answers(429, ""), failure.Rejected, failure.HoldOn, "HTTP 429", 500 * time.Millisecond, 1500 * time.Millisecond},
		{"503 with a date", answers(503, "", "Date", date.Format(http.TimeFormat), "Retry-After", date.Add(20*time.Second).Format(http.TimeFormat)), failure.ServerError, failure.HoldOn, "HTTP 503", 20 * time.Second, 20 * time.Second},
		{"503 with a date that is past", answers(503, "", "Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"), failure.ServerError, failure.HoldOn, "HTTP 503", MinRetryAfter, MinRetryAfter},
		{"503 for ever", answers(503, "", "Retry-After", "4000000000"), failure.ServerError, failure.HoldOn, "HTTP 503", MaxRetryAfter, MaxRetryAfter},
		{"503 at once", answers(503, "", "Retry-After", "0"), failure.ServerError, failure.HoldOn, "HTTP 503", MinRetryAfter, MinRetryAfter},
		{"503 with nonsense", answers(503, "", "Retry-After", "soon"), failure.ServerError, failure.HoldOn, "HTTP 503", 500 * time.Millisecond, 1500 * time.Millisecond},
		{"404", answers(404, strings.Repeat("é", 300)), failure.Rejected, failure.GiveUp, "HTTP 404: " + strings.Repeat("é", 100), 0, 0},
		{"408 is another 4xx", answers(408, ""), failure.Rejected, failure.GiveUp, "HTTP 408", 0, 0},
		{"a redirect is not followed", answers(307, "", "Location", "/features"), failure.Rejected, failure.GiveUp, "HTTP 307", 0, 0},
		{"202", answers(202, "{}"), failure.BadResponse, failure.TryAgain, "HTTP 202: {} instead of 200", 0, 0},
		{"half-written body", halfWritten, failure.Unreachable, failure.TryAgain, "the connection broke before the answer was complete", 0, 0},
		{"connection closed", hangUp, failure.Unreachable, failure.TryAgain, "EOF", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s slots
			var out outputs
			lane := newLane(t, &s)
			verdicts := lane.Do(t.Context(), &stage.Message{Run: serve(t, tt.handler)}, request("a", "b"), &out)
			want := []verdict{{[]string{"a", "b"}, tt.code, tt.action, tt.reason}}
			if got := plain(verdicts); !sameVerdicts(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			f := failure.As(verdicts[0].Err)
			if f.Delay < tt.min || f.Delay > tt.max {
				t.Errorf("wait %v, want %v to %v", f.Delay, tt.min, tt.max)
			}
			if paused := len(s.pauses) > 0; paused != (tt.action == failure.HoldOn) {
				t.Errorf("lane paused: %v", paused)
			}
			if s.inUse != 0 {
				t.Errorf("%d slots in use", s.inUse)
			}
		})
	}
}

func halfWritten(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"features":{"a":{`)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

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
			if n := len(lane.client.large); n != 0 {
				t.Errorf("%d permits for large answers are not given back", n)
			}
		})
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
