package dynamofetcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
	"github.com/fastfeaturefetch/fff/shared/work"
)

func TestThrottlingIsWaitedOut(t *testing.T) {
	for _, err := range []*apiError{errThrottled, {"ThrottlingException", 400}, {"RequestLimitExceeded", 400}, {"HTTP 429", 429}} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
				if calls++; calls < 6 {
					return "", fmt.Errorf("wrapped: %w", err)
				}
				return reply(keys, nil), nil
			})
			m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a"}})
			out := newOutputs(t)
			start := time.Now()
			if v := do(t, g, m, b, out); len(v) > 0 {
				t.Errorf("%v: verdicts are %v", err, v)
			}
			out.wantHits("u@0/a")
			if time.Since(start) == 0 {
				t.Errorf("%v: it did not wait", err)
			}
		})
	}
}

func TestALongWaitIsHandedBackAndNoFailedAttempt(t *testing.T) {
	tests := []struct {
		name string
		get  getter
		want string
	}{
		{"throttled", func(context.Context, string, []string) (string, error) { return "", errThrottled },
			`table "features" is throttled: ProvisionedThroughputExceededException`},
		{"unprocessed", func(_ context.Context, _ string, keys []string) (string, error) { return reply(nil, keys), nil },
			`table "features" is throttled: 2 keys stay unprocessed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a", "b"}, Direct: []string{"d"}})
				out := newOutputs(t)
				verdicts := do(t, tt.get, m, b, out)
				if len(verdicts) != 1 {
					t.Fatalf("verdicts are %v", verdicts)
				}
				e := failure.As(verdicts[0].Err)
				if e.Action != failure.HoldOn || e.Code != failure.DynamoDBError || e.Delay <= 0 || !strings.HasPrefix(e.Error(), tt.want) {
					t.Errorf("verdict is %+v", e)
				}
				if got := cellsOf(verdicts[0].Rest); !slices.Equal(got, []string{"u@0/a", "u@0/b"}) {
					t.Errorf("rest is %v", got)
				}
				out.wantHits()
				out.wantRequests("fs-fast u@0 d")
			})
		})
	}
}

// A table that answers one key a call is slow, but it gets there: it is asked less and
// less often, and the call is not handed back.
func TestALittleProgressIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		g := getter(func(_ context.Context, _ string, keys []string) (string, error) {
			calls++
			return reply(keys[:1], keys[1:]), nil
		})
		var requests []work.Request
		for i := range 40 {
			requests = append(requests, work.Request{UserID: fmt.Sprintf("u%02d", i), Families: []string{"a"}})
		}
		m, b := newMessage(t, threeLanes, requests...)
		out := newOutputs(t)
		start := time.Now()
		if v := do(t, g, m, b, out); len(v) > 0 || len(out.hits) != 40 || calls != 40 {
			t.Errorf("verdicts are %v, %d hits, %d calls", v, len(out.hits), calls)
		}
		if waited := time.Since(start); waited < 10*time.Second {
			t.Errorf("it asked 40 times within %v", waited)
		}
	})
}

func TestErrorsSayWhatToDo(t *testing.T) {
	tests := []struct {
		err    error
		action failure.Action
		want   string
	}{
		{io.ErrUnexpectedEOF, failure.TryAgain, `table "features": call: unexpected EOF`},
		{&apiError{"InternalServerError", 500}, failure.TryAgain, `table "features": call: InternalServerError`},
		{&apiError{"HTTP 503 Service Unavailable", 503}, failure.TryAgain, "503"},
		{&apiError{"ExpiredTokenException", 400}, failure.TryAgain, "ExpiredToken"},
		{&apiError{"InvalidSignatureException", 400}, failure.TryAgain, "check the AWS credentials and this machine's clock"},
		{&apiError{"ValidationException", 400}, failure.GiveUp, "check that partition_key and sort_key"},
		{&apiError{"ResourceNotFoundException", 400}, failure.GiveUp, "check the table's name"},
		{&apiError{"AccessDeniedException", 400}, failure.GiveUp, "allow dynamodb:BatchGetItem"},
		{&apiError{"UnrecognizedClientException", 400}, failure.GiveUp, "check the AWS credentials"},
		{&apiError{"SomethingNew", 400}, failure.GiveUp, `table "features": call: SomethingNew`},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			g := getter(func(context.Context, string, []string) (string, error) { return "", fmt.Errorf("call: %w", tt.err) })
			m, b := newMessage(t, threeLanes, work.Request{UserID: "u", Families: []string{"a"}})
			out := newOutputs(t)
			verdicts := do(t, g, m, b, out)
			if len(verdicts) != 1 {
				t.Fatalf("verdicts are %v", verdicts)
			}
			e := failure.As(verdicts[0].Err)
			if e.Code != failure.DynamoDBError || e.Action != tt.action || !strings.Contains(e.Error(), tt.want) || !errors.Is(e, tt.err) {
				t.Errorf("verdict is %v, action %v: %v", e.Code, e.Action, e)
			}
			out.wantHits()
			out.wantRequests()
		})
	}
}
