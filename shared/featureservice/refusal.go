package featureservice

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/fastfeaturefetch/fff/shared/failure"
)

// Bounds of the wait after a 429 or 503.
const (
	MinRetryAfter     = 100 * time.Millisecond // also for "Retry-After: 0"
	DefaultRetryAfter = time.Second            // without Retry-After; ± half of it
	MaxRetryAfter     = 5 * time.Minute
)

// refused says what an answer other than 200 means.
func (c *Client) refused(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, drainBytes)) // what came is good enough for a reason
	status := response.StatusCode
	reason := "HTTP " + strconv.Itoa(status)
	if excerpt := clean(string(body), excerptBytes); excerpt != "" {
		reason += ": " + excerpt
	}
	switch {
	case status == http.StatusTooManyRequests:
		c.Counters.Throttled.Add(1)
		return failure.RetryAfter(retryAfter(response.Header, time.Now()), failure.Rejected, "%s", reason)
	case status == http.StatusServiceUnavailable:
		c.Counters.Throttled.Add(1)
		return failure.RetryAfter(retryAfter(response.Header, time.Now()), failure.ServerError, "%s", reason)
	case status >= 500:
		return failure.Retry(failure.ServerError, "%s", reason)
	case status >= 300:
		return failure.Permanent(failure.Rejected, "%s", reason)
	default:
		return failure.Retry(failure.BadResponse, "%s instead of 200", reason)
	}
}

// retryAfter reads how long the service asks to wait: seconds, or a date, which is
// measured against the service's own clock where the answer tells it.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(max(time.Duration(seconds)*time.Second, MinRetryAfter), MaxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return DefaultRetryAfter/2 + rand.N(DefaultRetryAfter)
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), MinRetryAfter), MaxRetryAfter)
}
