package failure_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	cause := context.DeadlineExceeded
	for name, tc := range map[string]struct {
		err    error
		code   failure.Code
		action failure.Action
		delay  time.Duration
		text   string
	}{
		"plain":     {cause, failure.Internal, failure.TryAgain, 0, cause.Error()},
		"retry":     {failure.Retry(failure.Timeout, "no answer: %w", cause), failure.Timeout, failure.TryAgain, 0, "no answer: " + cause.Error()},
		"permanent": {failure.Permanent(failure.Rejected, "HTTP %d: %w", 400, cause), failure.Rejected, failure.GiveUp, 0, "HTTP 400: " + cause.Error()},
		"hold on":   {failure.RetryAfter(time.Second, failure.Rejected, "HTTP 429: %w", cause), failure.Rejected, failure.HoldOn, time.Second, "HTTP 429: " + cause.Error()},
	} {
		for how, err := range map[string]error{"as it is": tc.err, "wrapped": fmt.Errorf("wrapped: %w", tc.err)} {
			e := failure.As(err)
			if e.Code != tc.code || e.Action != tc.action || e.Delay != tc.delay || !errors.Is(e, cause) {
				t.Errorf("%s, %s: %+v", name, how, e)
			}
			if name != "plain" && e.Error() != tc.text {
				t.Errorf("%s, %s: says %q, want %q", name, how, e.Error(), tc.text)
			}
		}
	}
}

func TestCodesAreOneWordEach(t *testing.T) {
	all := failure.Codes()
	for i, c := range all {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(string(c)) || slices.Contains(all[:i], c) {
			t.Errorf("code %q", c)
		}
	}
}
