package featureservice

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/stage"
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
